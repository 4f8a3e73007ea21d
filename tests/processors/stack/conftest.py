"""A small simulator of frames with known shifts, independent of the package's own."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from mirar_dask.data import Image
from mirar_dask.processors.align.cleaning import detection_image
from mirar_dask.processors.align.solve import align
from mirar_dask.processors.align.transform import AlignmentError, Limits, Solution, Transform
from mirar_dask.testing.images import make_header

SHAPE = (300, 400)


@dataclass
class Sky:
    """Stars: positions in the undisturbed frame, and fluxes."""

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray


@dataclass
class Simulator:
    """Makes skies, fixed patterns, and the frames that show them."""

    shape: tuple[int, int] = SHAPE
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def seed(self, *seeds: int) -> Simulator:
        """A simulator with random numbers of its own."""
        return Simulator(self.shape, np.random.default_rng(seeds))

    def sky(self, n: int, bright: float = 3000.0, *, cluster: bool = False) -> Sky:
        """Place n stars well inside the frame, and as many around that may come into it."""
        ny, nx = self.shape
        x = self.rng.uniform(-0.4 * nx, 1.4 * nx, 2 * n)
        y = self.rng.uniform(-0.4 * ny, 1.4 * ny, 2 * n)
        x[:n], y[:n] = self.rng.uniform(0.12, 0.88, n) * nx, self.rng.uniform(0.12, 0.88, n) * ny
        if cluster:
            x[:n] = self.rng.normal(nx / 2, nx / 12, n)
            y[:n] = self.rng.normal(ny / 2, ny / 12, n)
        flux = bright * 10 ** (-0.4 * self.rng.exponential(1.2, 2 * n))
        flux[: min(3, n)] = bright
        return Sky(x, y, flux)

    def pattern(
        self, sigma: float = 0.0, hot: int = 0, groups: int = 0, columns: int = 0
    ) -> np.ndarray:
        """What stands still: noise of pixels, hot pixels, hot groups like stars, columns."""
        ny, nx = self.shape
        made = self.rng.normal(0, sigma, self.shape) if sigma else np.zeros(self.shape)
        for _ in range(hot):
            made[self.rng.integers(ny), self.rng.integers(nx)] += self.rng.exponential(800)
        smeared = np.zeros(self.shape)
        for _ in range(groups):
            smeared[self.rng.integers(ny), self.rng.integers(nx)] += 500 + self.rng.exponential(
                1500
            )
        for _ in range(columns):
            made[:, self.rng.integers(nx)] += self.rng.normal(0, 40)
        return made + ndimage.gaussian_filter(smeared, 0.95)

    def frame(
        self,
        sky: Sky | None,
        transform: Transform | None = None,
        *,
        fwhm: float = 3.0,
        level: float = 500.0,
        noise: float = 8.0,
        transparency: float = 1.0,
        pattern: np.ndarray | None = None,
        gradient: float = 0.0,
        rows: float = 0.0,
        rays: int = 0,
    ) -> np.ndarray:
        """One exposure of a sky, displaced by a transform."""
        ny, nx = self.shape
        image = np.zeros(self.shape)
        sigma = fwhm / 2.3548
        reach = int(5 * sigma) + 2
        if sky is not None:
            xs, ys = (transform or Transform()).apply(sky.x, sky.y)
            for x, y, flux in zip(xs, ys, sky.flux, strict=True):
                i, j = round(x), round(y)
                x0, x1 = max(0, i - reach), min(nx, i + reach + 1)
                y0, y1 = max(0, j - reach), min(ny, j + reach + 1)
                if x0 < x1 and y0 < y1:
                    gx = np.exp(-((np.arange(x0, x1) - x) ** 2) / (2 * sigma**2))
                    gy = np.exp(-((np.arange(y0, y1) - y) ** 2) / (2 * sigma**2))
                    image[y0:y1, x0:x1] += flux / (2 * np.pi * sigma**2) * np.outer(gy, gx)
        image *= transparency
        image += level + gradient * np.linspace(0, 1, nx)
        image = self.rng.normal(image, np.sqrt(noise**2 + 0.2 * np.maximum(image - level, 0)))
        if pattern is not None:
            image += pattern
        image += self.rng.normal(0, rows, ny)[:, None] if rows else 0.0
        for _ in range(rays):
            j, i, length = self.rng.integers(ny), self.rng.integers(nx), self.rng.integers(1, 10)
            angle = self.rng.uniform(0, 2 * np.pi)
            for k in range(length):
                jj, ii = int(j + k * math.sin(angle)), int(i + k * math.cos(angle))
                if 0 <= jj < ny and 0 <= ii < nx:
                    image[jj, ii] += self.rng.uniform(200, 3000)
        return image.astype(np.float32)

    def place(
        self, dx: float = 0.0, dy: float = 0.0, rotation: float = 0.0, scale: float = 1.0
    ) -> Transform:
        """A displacement about the middle of the frame."""
        pivot = ((self.shape[1] - 1) / 2, (self.shape[0] - 1) / 2)
        return Transform.similarity(dx, dy, rotation=rotation, scale=scale, pivot=pivot)

    def align(
        self, frames: list[np.ndarray], limits: Limits | None = None, **options: Any
    ) -> tuple[int, list[Solution | AlignmentError]]:
        """Align frames as ImageStacker does."""
        shapes = [frame.shape for frame in frames]
        return align(lambda i: detection_image(frames[i]), shapes, limits=limits, **options)

    def errors(
        self,
        found: list[Solution | AlignmentError],
        ref: int,
        truth: list[Transform],
    ) -> list[float | None]:
        """Largest error, over the frame, of each solution; None for those that are refused."""
        back = truth[ref].inverse
        return [
            None
            if isinstance(each, AlignmentError)
            else each.transform.largest_difference(true.after(back), self.shape)
            for each, true in zip(found, truth, strict=True)
        ]

    def image(self, name: str, data: np.ndarray, **keys: Any) -> Image:
        """An Image of a frame, with mirar's core fields."""
        return Image(data, make_header(name, **keys))


@pytest.fixture
def simulator() -> Simulator:
    """Return a simulator; `seed` gives others."""
    return Simulator()
