"""The frames that are aligned together: detection images made when needed, stars, fixed pattern."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mirar_dask.processors.align.cleaning import FloatImage
from mirar_dask.processors.align.pattern import fixed_pattern
from mirar_dask.processors.align.shapes import StarShape, star_shape
from mirar_dask.processors.align.starlist import KERNELS, StarList, best_kernel, find_stars
from mirar_dask.processors.align.transform import FloatArray, Shape
from mirar_dask.processors.align.zero import leave_out

PATTERN_FRAMES = 9
"""Most frames from which a fixed pattern is made."""
OTHER_WIDTHS = 2
"""Widths of stars that are tried beside the one that fits the frames best."""
KEPT_BYTES = 192 * 2**20
"""Detection images kept in memory; those beyond are made again when they are needed."""


class FrameSet:
    """Frames of one camera, in the form in which they are aligned.

    Parameters
    ----------
    load : callable
        Makes the detection image of frame i; may be called more than once.
    shapes : sequence of tuple
        (ny, nx) of each frame.
    """

    def __init__(self, load: Callable[[int], FloatImage], shapes: Sequence[Shape]) -> None:
        self.load = load
        self.shapes = list(shapes)
        self._kept: dict[int, FloatImage] = {}
        self._patterns: dict[Shape, FloatImage | None] = {}
        self._lists: dict[tuple[int, float], StarList] = {}
        self.pattern_places: FloatArray = np.zeros((0, 2))
        n = len(self.shapes)
        self.sigma = best_kernel([self.image(i) for i in sorted({0, n // 2, n - 1})])
        self.stars: list[StarList] = []
        self.looks: list[StarShape | None] = []
        for i in range(n):  # both at once: the image may be gone later
            self.stars.append(find_stars(self.image(i), self.sigma))
            self.looks.append(star_shape(self.image(i), self.stars[i]))

    def __len__(self) -> int:
        return len(self.shapes)

    def image(self, i: int) -> FloatImage:
        """The detection image of frame i; not to be modified."""
        image = self._kept.get(i)
        if image is None:
            image = self.load(i)
            if sum(kept.nbytes for kept in self._kept.values()) + image.nbytes <= KEPT_BYTES:
                self._kept[i] = image
        return image

    def stars_of_width(self, i: int, sigma: float) -> StarList:
        """The stars of frame i that stand out if stars have that width."""
        if sigma == self.sigma:
            return self.stars[i]
        if (i, sigma) not in self._lists:
            self._lists[i, sigma] = find_stars(self.image(i), sigma)
        return leave_out(self._lists[i, sigma], self.pattern_places)

    def leave_out(self, places: FloatArray) -> None:
        """Forget the sources at these places (n, 2) of every frame: they are the camera's."""
        self.pattern_places = np.concatenate([self.pattern_places, places])
        self.stars = [leave_out(stars, places) for stars in self.stars]

    def other_widths(self) -> list[float]:
        """Widths beside the one that was chosen, the nearest first."""
        others = [sigma for sigma in KERNELS if sigma != self.sigma]
        return sorted(others, key=lambda sigma: abs(np.log(sigma / self.sigma)))[:OTHER_WIDTHS]

    def without_pattern(self, i: int) -> FloatImage | None:
        """The detection image of frame i less what does not move; None if it is alone."""
        shape = self.shapes[i]
        if shape not in self._patterns:
            self._patterns[shape] = self._make_pattern(shape)
        pattern = self._patterns[shape]
        return None if pattern is None else self.image(i) - pattern

    def _make_pattern(self, shape: Shape) -> FloatImage | None:
        alike = [i for i, each in enumerate(self.shapes) if each == shape]
        if len(alike) < 2:
            return None
        if len(alike) > PATTERN_FRAMES:
            chosen = np.linspace(0, len(alike) - 1, PATTERN_FRAMES).round().astype(int)
            alike = [alike[k] for k in chosen]
        return fixed_pattern([self.image(i) for i in alike])

    def quality(self, i: int) -> float:
        """How well frame i would serve as reference."""
        return float(np.minimum(self.stars[i].snr[:50], 50.0).sum())

    def references(self, least: int, poor: float = 0.5) -> list[int]:
        """Frames that may serve as reference, best first.

        The first frame comes first, unless its stars are worse than the `poor` part of the median.
        The best comes after it, if it has the `least` number of stars.
        """
        quality = np.array([self.quality(i) for i in range(len(self))])
        best = int(np.argmax(quality))
        if quality[0] < poor * np.median(quality):
            return [best]
        with_stars = len(self) > 2 and len(self.stars[best]) >= least
        return [0, best] if best and with_stars else [0]
