"""Where the points of one frame lie in another: shift, rotation and scale, and what is plausible.

Used by everything that aligns frames; knows no pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mirar_dask.errors import ProcessorError

if TYPE_CHECKING:
    from mirar_dask.processors.align.shapes import StarShape

FloatArray = NDArray[np.float64]
Shape = tuple[int, int]

MIN_STAR_FWHM_FRACTION = 0.25
"""Of the stars' width: residuals up to this are noise of the centroids, however wide the stars."""


class AlignmentError(ProcessorError):
    """Raised when a frame cannot be aligned with another; the message says why."""


@dataclass(frozen=True, slots=True)
class Transform:
    """A linear map of pixel positions (x, y counted from zero): ``(x', y') = M (x, y) + t``."""

    xx: float = 1.0
    xy: float = 0.0
    yx: float = 0.0
    yy: float = 1.0
    tx: float = 0.0
    """Pixels."""
    ty: float = 0.0
    """Pixels."""

    @classmethod
    def shift(cls, dx: float, dy: float) -> Transform:
        """Make a pure shift, in pixels."""
        return cls(tx=float(dx), ty=float(dy))

    @classmethod
    def similarity(
        cls,
        dx: float,
        dy: float,
        *,
        rotation: float = 0.0,
        scale: float = 1.0,
        pivot: tuple[float, float] = (0.0, 0.0),
    ) -> Transform:
        """Turn by `rotation` degrees and stretch about `pivot`, then shift by (dx, dy) pixels."""
        turn = math.radians(rotation)
        c, s = scale * math.cos(turn), scale * math.sin(turn)
        px, py = pivot
        return cls(c, -s, s, c, px + dx - c * px + s * py, py + dy - s * px - c * py)

    def apply(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Map positions of the reference frame to the other frame."""
        return self.xx * x + self.xy * y + self.tx, self.yx * x + self.yy * y + self.ty

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Map one position."""
        return (
            self.xx * x + self.xy * y + self.tx,
            self.yx * x + self.yy * y + self.ty,
        )

    def offset(self, shape: Shape) -> tuple[float, float]:
        """Displacement of the centre of a frame of that shape (ny, nx): pixels."""
        cx, cy = (shape[1] - 1) / 2, (shape[0] - 1) / 2
        x, y = self.at(cx, cy)
        return x - cx, y - cy

    @property
    def rotation(self) -> float:
        """Degrees, between -180 and 180."""
        return math.degrees(math.atan2(self.yx - self.xy, self.xx + self.yy))

    @property
    def scale(self) -> float:
        """Pixels of the other frame in one of the reference frame."""
        return math.sqrt(abs(self.xx * self.yy - self.xy * self.yx))

    @property
    def inverse(self) -> Transform:
        """The map from the other frame back to the reference frame."""
        det = self.xx * self.yy - self.xy * self.yx
        a, b, c, d = self.yy / det, -self.xy / det, -self.yx / det, self.xx / det
        return Transform(a, b, c, d, -(a * self.tx + b * self.ty), -(c * self.tx + d * self.ty))

    def after(self, first: Transform) -> Transform:
        """The map that applies `first` and then this one."""
        tx, ty = self.at(first.tx, first.ty)
        return Transform(
            self.xx * first.xx + self.xy * first.yx,
            self.xx * first.xy + self.xy * first.yy,
            self.yx * first.xx + self.yy * first.yx,
            self.yx * first.xy + self.yy * first.yy,
            tx,
            ty,
        )

    def largest_difference(self, other: Transform, shape: Shape) -> float:
        """Largest distance, over the corners of a frame, between what two maps say: pixels."""
        x = np.array([0.0, shape[1] - 1.0, 0.0, shape[1] - 1.0])
        y = np.array([0.0, 0.0, shape[0] - 1.0, shape[0] - 1.0])
        (x1, y1), (x2, y2) = self.apply(x, y), other.apply(x, y)
        return float(np.hypot(x1 - x2, y1 - y2).max())


@dataclass(frozen=True, slots=True)
class Limits:
    """What is believed of an alignment."""

    max_shift: float = 0.5
    """Largest shift, as a fraction of the frame's width and height."""
    max_rotation: float = 5.0
    """Largest rotation, from the reference or from upside down (meridian flip): degrees."""
    max_scale_error: float = 0.01
    """Largest difference of the scale from one."""
    min_matches: int = 3
    """Least number of stars that agree."""
    max_rms: float = 1.0
    """Largest residual of the matched stars, a coordinate, rms: pixels (for stars wider than four
    pixels a quarter of their width)."""
    min_significance: float = 4.0
    """Least ``-log10`` of the probability that so many stars agree by chance."""


@dataclass(frozen=True, slots=True)
class Solution:
    """How one frame lies with respect to the reference frame, and on what evidence."""

    transform: Transform
    """From the reference frame to this one."""
    method: str
    """wcs, stars, correlation, reference or none."""
    n_matches: int = 0
    """Stars that agree."""
    rms: float = 0.0
    """Their residuals, a coordinate: pixels."""
    significance: float = math.inf
    """``-log10`` of the probability of as good an agreement by chance."""
    flux_ratio: float | None = None
    """Median flux of the matched stars in this frame over that in the reference frame."""
    stars: StarShape | None = None
    """What the stars of this frame look like, where they were looked at."""


def objection(transform: Transform, shape: Shape, limits: Limits) -> str | None:
    """Say why a map cannot be true of two frames of one camera on one target; None if it can."""
    scale, rotation = transform.scale, transform.rotation
    if abs(scale - 1.0) > limits.max_scale_error:
        return f"its scale differs by a factor {scale:.4f} (allowed: {limits.max_scale_error:g})"
    from_upright = abs(rotation)
    if min(from_upright, 180.0 - from_upright) > limits.max_rotation:
        return f"it is turned by {rotation:.2f} degrees (allowed: {limits.max_rotation:g})"
    dx, dy = transform.offset(shape)
    if abs(dx) > limits.max_shift * shape[1] or abs(dy) > limits.max_shift * shape[0]:
        return (
            f"it is shifted by {dx:.0f}, {dy:.0f} pixels "
            f"(allowed: {limits.max_shift:g} of {shape[1]} x {shape[0]})"
        )
    return None


def rms_limit(limits: Limits, fwhm: float) -> float:
    """Largest residual that is believed of stars of that width: pixels."""
    return max(limits.max_rms, MIN_STAR_FWHM_FRACTION * fwhm)
