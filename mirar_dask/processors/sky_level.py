"""Level and noise of the sky, from a sample of a frame's pixels: a fraction of a millisecond.

`ImageSaver` writes them into the headers of products while it has their pixels in memory.
"""

from __future__ import annotations

import math

import numpy as np

from mirar_dask.processors.levels import rounded

SKY_KEY = "SKYMED"
"""Median of the pixels of an image."""
SKY_RMS_KEY = "SKYRMS"
"""Standard deviation of a pixel of the sky about its neighbour's value."""
SAMPLE = 16_000
"""Pixels that are looked at; they tell the level to a hundredth of the noise."""
_MAD_TO_SIGMA = 1.4826
_OUTLIER = 4.0
"""Standard deviations from which a difference is no noise."""


def sky_cards(data: np.ndarray) -> dict[str, tuple[float, str]]:
    """Measure the sky of an image, as cards of its header.

    Parameters
    ----------
    data : ndarray, shape (ny, nx), any units
        NaN marks a masked pixel, which does not count. It is only read.

    Returns
    -------
    dict
        SKYMED and SKYRMS, each with a comment; what cannot be told is left out.
    """
    flat = data.reshape(-1)
    step = _step(flat.size, data.shape[-1])
    sample, beside = flat[:-1:step], flat[1::step]
    level = _median(sample)
    # Stars and gradients are alike in neighbours: their difference is noise.
    with np.errstate(invalid="ignore"):
        noise = _scatter(np.abs(np.subtract(beside, sample, dtype=np.float64))) / math.sqrt(2)
    found = {SKY_KEY: (level, "median of the image"), SKY_RMS_KEY: (noise, "noise of its sky")}
    return {k: (rounded(v), text) for k, (v, text) in found.items() if math.isfinite(v)}


def _scatter(sizes: np.ndarray) -> float:
    """Return the standard deviation of Gaussian values of these sizes, whatever outliers do.

    By their mean without outliers: the median of counts is a whole number, and too coarse.
    """
    sizes = sizes[np.isfinite(sizes)]
    limit = _OUTLIER * _MAD_TO_SIGMA * _median(sizes)
    kept = sizes[sizes <= limit] if limit > 0 else sizes
    return math.sqrt(math.pi / 2) * float(kept.mean()) if kept.size else math.nan


def _step(size: int, row: int) -> int:
    """Distance of the pixels that are looked at; no divisor of a row, or columns would count."""
    step = max(1, size // SAMPLE)
    while step > 1 and math.gcd(step, row) > 1:
        step += 1
    return step


def _median(values: np.ndarray) -> float:
    good = values[np.isfinite(values)]
    return float(np.median(good)) if good.size else math.nan
