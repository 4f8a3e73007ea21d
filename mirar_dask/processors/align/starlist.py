"""Finding the stars of a frame for alignment: positions to a fraction of a pixel, brightest first.

Made for few or faint stars of unknown width among defects; photometry is the work of
`mirar_dask.processors.sources.source_detector`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mirar_dask.processors.align.cleaning import FloatImage, middle, robust_noise
from mirar_dask.processors.align.transform import FloatArray

KERNELS = (1.0, 1.6, 2.5, 3.8, 5.5)
"""Widths (sigma, pixels) of stars that are tried."""
THRESHOLD = 5.0
"""Least height of a star above the noise, both after smoothing."""
MAX_STARS = 300
MIN_ROUNDNESS = 0.2
"""Least ratio of a peak's two curvatures: bad columns and trails have less."""
KERNEL_CROP = 1536
"""Side of the part of a frame by which widths are compared: pixels."""
COMPARED = 12
"""Brightest stars that decide which width fits best."""


@dataclass(frozen=True, slots=True)
class StarList:
    """Stars of one frame, brightest first."""

    x: FloatArray
    """Pixels, counted from zero."""
    y: FloatArray
    """Pixels, counted from zero."""
    flux: FloatArray
    """Under a Gaussian window: the frame's units."""
    snr: FloatArray
    """Height over noise after smoothing."""
    sigma: float
    """Width of the smoothing: pixels."""
    threshold: float = THRESHOLD
    """Least `snr` of the list."""

    def __len__(self) -> int:
        return len(self.x)

    @property
    def fwhm(self) -> float:
        """Width that was assumed for the stars: pixels."""
        return 2.3548 * self.sigma

    def brightest(self, n: int) -> StarList:
        """The first n."""
        return self.select(slice(n))

    def select(self, which: slice | NDArray[np.bool_]) -> StarList:
        """Some of the stars."""
        return replace(
            self, x=self.x[which], y=self.y[which], flux=self.flux[which], snr=self.snr[which]
        )


def best_kernel(images: Sequence[FloatImage], kernels: Sequence[float] = KERNELS) -> float:
    """Choose the width for which the stars of these frames stand out most: sigma in pixels."""
    scores = dict.fromkeys(kernels, 0.0)
    for image in images:
        part = middle(image, KERNEL_CROP)
        for sigma in kernels:
            snr = find_stars(part, sigma, max_stars=COMPARED, centroids=False).snr
            if len(snr):  # a saturated star must not decide alone
                scores[sigma] += float(np.minimum(snr, 3 * np.median(snr)).sum())
    return max(scores, key=lambda sigma: scores[sigma])


def find_stars(
    image: FloatImage,
    sigma: float,
    *,
    threshold: float = THRESHOLD,
    max_stars: int = MAX_STARS,
    centroids: bool = True,
) -> StarList:
    """Find the peaks of a frame smoothed to the width of its stars.

    Parameters
    ----------
    image : ndarray, shape (ny, nx), float32
        A detection image (see `mirar_dask.processors.align.cleaning`).
    sigma : float
        Width of the stars, pixels.
    threshold : float
        Least height above the noise of the smoothed frame.
    max_stars : int
        As many of the brightest are returned.
    centroids : bool
        Whether to measure positions better than to a pixel.
    """
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(image, sigma)
    noise = robust_noise(smooth)
    margin = math.ceil(sigma) + 1
    if noise <= 0 or min(image.shape) <= 4 * margin:
        empty = np.zeros(0)
        return StarList(empty, empty, empty, empty, sigma, threshold)
    high = smooth > threshold * noise
    high[:margin] = high[-margin:] = False
    high[:, :margin] = high[:, -margin:] = False
    y, x = np.nonzero(high)
    peak = _is_peak(smooth, y, x, reach=max(1, round(sigma)))
    y, x = y[peak], x[peak]
    round_ = _roundness(smooth, y, x) > MIN_ROUNDNESS
    y, x = y[round_], x[round_]
    order = np.lexsort((x, y, -smooth[y, x]))[:max_stars]
    y, x = y[order], x[order]
    snr = smooth[y, x].astype(np.float64) / noise
    flux = smooth[y, x].astype(np.float64) * (4 * math.pi * sigma**2)
    fx, fy = x.astype(np.float64), y.astype(np.float64)
    if centroids and len(fx):
        fx, fy = window_centroids(image, fx, fy, sigma)
    return StarList(fx, fy, flux, snr, sigma, threshold)


def _is_peak(
    smooth: FloatImage, y: NDArray[np.intp], x: NDArray[np.intp], reach: int
) -> NDArray[np.bool_]:
    """Whether each pixel is the highest within `reach`; of equals the first."""
    ny, nx = smooth.shape
    left = np.arange(len(y))
    steps = [(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    for dy, dx in sorted(steps, key=lambda step: abs(step[0]) + abs(step[1]))[1:]:
        yy, xx = y[left], x[left]
        value = smooth[yy, xx]
        other = smooth[np.clip(yy + dy, 0, ny - 1), np.clip(xx + dx, 0, nx - 1)]
        left = left[(value > other) if (dy, dx) < (0, 0) else (value >= other)]
    peak = np.zeros(len(y), bool)
    peak[left] = True
    return peak


def _roundness(
    smooth: FloatImage, y: NDArray[np.intp], x: NDArray[np.intp]
) -> NDArray[np.floating]:
    """Ratio of the smaller to the larger curvature at each peak; negative at a saddle."""
    s = smooth
    mid = 2.0 * s[y, x]
    xx = mid - s[y, x - 1] - s[y, x + 1]
    yy = mid - s[y - 1, x] - s[y + 1, x]
    xy = (s[y - 1, x + 1] + s[y + 1, x - 1] - s[y - 1, x - 1] - s[y + 1, x + 1]) / 4.0
    half, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    found: NDArray[np.floating] = (half - spread) / np.maximum(half + spread, 1e-30)
    return found


def window_centroids(
    image: FloatImage, x: FloatArray, y: FloatArray, sigma: float, rounds: int = 12
) -> tuple[FloatArray, FloatArray]:
    """Positions by Gaussian-weighted first moments, repeated until they rest.

    A position that wanders off by more than 1.5 sigma stays where it was.
    """
    reach = math.ceil(3 * sigma)
    step = np.arange(-reach, reach + 1)
    ny, nx = image.shape
    cx, cy = x.copy(), y.copy()
    x0, y0 = np.rint(x).astype(int), np.rint(y).astype(int)
    rows = np.clip(y0[:, None] + step, 0, ny - 1)
    cols = np.clip(x0[:, None] + step, 0, nx - 1)
    stamp = image[rows[:, :, None], cols[:, None, :]].astype(np.float64)
    px, py = x0[:, None] + step, y0[:, None] + step
    for _ in range(rounds):
        wx = np.exp(-((px - cx[:, None]) ** 2) / (2 * sigma**2))
        wy = np.exp(-((py - cy[:, None]) ** 2) / (2 * sigma**2))
        along_x = np.einsum("kij,ki->kj", stamp, wy)
        total = np.einsum("kj,kj->k", along_x, wx)
        total = np.where(np.abs(total) > 1e-30, total, np.inf)
        mx = np.einsum("kj,kj->k", along_x, wx * (px - cx[:, None])) / total
        along_y = np.einsum("kij,kj->ki", stamp, wx)
        my = np.einsum("ki,ki->k", along_y, wy * (py - cy[:, None])) / total
        cx, cy = cx + 2 * np.clip(mx, -sigma, sigma), cy + 2 * np.clip(my, -sigma, sigma)
        lost = (np.hypot(cx - x, cy - y) > 1.5 * sigma) | ~np.isfinite(cx + cy)
        cx, cy = np.where(lost, x, cx), np.where(lost, y, cy)
    return cx, cy
