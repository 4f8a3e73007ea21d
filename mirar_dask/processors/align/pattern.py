"""The fixed pattern that frames of an uncalibrated camera share: is there one, and what is it.

It stands still while the stars move, so it correlates at no shift, and would align every frame
with every other where it lies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mirar_dask.processors.align.cleaning import FloatImage, robust_noise
from mirar_dask.processors.align.starlist import StarList
from mirar_dask.processors.align.transform import Transform

PRESENT = 0.05
"""Correlation of the pixel-to-pixel structure of two frames from which they share a pattern."""
CROP = 768
"""Side of the part of a frame by which the pattern is noticed: pixels."""
BAND_BYTES = 64 * 2**20


def fine_structure(image: FloatImage) -> FloatImage:
    """Pixel-to-pixel structure of the middle of a detection image, clipped so that no star rules.

    Returns
    -------
    ndarray, float32
        Mean zero, at most 3 standard deviations of the bulk in size.
    """
    ny, nx = image.shape
    y0, x0 = max(0, (ny - CROP) // 2), max(0, (nx - CROP) // 2)
    part = image[y0 : y0 + CROP, x0 : x0 + CROP]
    inner = part[1:-1, 1:-1]
    fine = inner - (part[:-2, 1:-1] + part[2:, 1:-1] + part[1:-1, :-2] + part[1:-1, 2:]) / 4
    noise = robust_noise(fine)
    fine = np.clip(fine, -3 * noise, 3 * noise)
    found: FloatImage = fine - fine.mean(dtype=np.float64).astype(np.float32)
    return found


def shared_structure(first: FloatImage, second: FloatImage) -> float:
    """Correlation, from -1 to 1, of two pictures of fine structure."""
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.vdot(first, second)) / norm if norm > 0 else 0.0


def fixed_pattern(
    frames: Sequence[FloatImage],
    stars: Sequence[StarList] | None = None,
    radius: float = 0.0,
) -> FloatImage:
    """Estimate what does not move: the median of the frames, without their stars where known.

    Parameters
    ----------
    frames : sequence of ndarray, shape (ny, nx), float32
        Detection images of one camera.
    stars : sequence of StarList, optional
        Of each frame, the stars to leave out.
    radius : float
        Around each star, pixels.

    Returns
    -------
    ndarray, shape (ny, nx), float32
        Zero where every frame has a star.
    """
    shape = frames[0].shape
    result = np.empty(shape, np.float32)
    rows = max(1, BAND_BYTES // (4 * shape[1] * len(frames)))
    for start in range(0, shape[0], rows):
        stop = min(start + rows, shape[0])
        band = np.stack([frame[start:stop] for frame in frames])
        if stars is None:
            # Of two frames the median is the mean: each then has half of the other's stars, dark.
            result[start:stop] = np.median(band, axis=0)
            continue
        for layer, found in zip(band, stars, strict=True):
            _blank(layer, found, start, radius)
        result[start:stop] = nan_median(band)
    return result


def nan_median(band: NDArray[np.float32]) -> FloatImage:
    """Median along the first axis without NaN; zero where there is nothing else."""
    order = np.sort(band, axis=0)  # NaN go last
    count = np.isfinite(band).sum(axis=0)
    low = np.maximum(count - 1, 0) // 2
    high = np.minimum(count // 2, np.maximum(count - 1, 0))
    middle = np.take_along_axis(order, np.stack([low, high]), axis=0)
    found: FloatImage = np.where(count > 0, middle.mean(axis=0), 0).astype(np.float32)
    return found


def _blank(layer: FloatImage, stars: StarList, start: int, radius: float) -> None:
    reach = int(np.ceil(radius))
    for x, y in _near(stars, start - reach, start + layer.shape[0] + reach):
        y0, y1 = max(0, y - start - reach), max(0, y - start + reach + 1)
        x0, x1 = max(0, x - reach), max(0, x + reach + 1)
        layer[y0:y1, x0:x1] = np.nan


def _near(stars: StarList, low: int, high: int) -> Iterator[tuple[int, int]]:
    for x, y in zip(np.rint(stars.x), np.rint(stars.y), strict=True):
        if low <= y < high:
            yield int(x), int(y)


def carry_over(stars: StarList, transform: Transform) -> StarList:
    """Where stars of the reference frame lie in another frame."""
    x, y = transform.apply(stars.x, stars.y)
    return StarList(x, y, stars.flux, stars.snr, stars.sigma)
