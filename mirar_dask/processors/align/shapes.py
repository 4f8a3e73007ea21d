"""What the stars of a frame look like: their width and how round they are, by adaptive moments.

The frames of a stack have their stars found to be aligned; this tells the seeing of each of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mirar_dask.processors.align.cleaning import FloatImage
from mirar_dask.processors.align.starlist import StarList
from mirar_dask.processors.align.transform import FloatArray

MOST_STARS = 60
LEAST_SNR = 15.0
"""Fainter stars tell more of the noise than of themselves."""
LEAST_STARS = 5
BELIEVED = (0.5, 1.7)
"""Median width in units of the one that stars were found with. What is wider by far are not stars
but clumps, such as the core of a cluster; what is narrower are defects."""
_ROUNDS = 12
_TO_FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))
_WIDEST = 3.0
"""Stars that much wider or narrower than expected are something else."""


@dataclass(frozen=True, slots=True)
class StarShape:
    """Medians over the stars of a frame."""

    fwhm: float
    """Full width at half maximum of a Gaussian of their moments: pixels."""
    ellipticity: float
    """One less the ratio of their axes."""
    n_stars: int
    """Stars that were found; the brightest of them were measured."""


def star_shape(image: FloatImage, stars: StarList) -> StarShape | None:
    """Measure the stars of a frame.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        A detection image: its sky is zero.
    stars : StarList
        What was found in it.

    Returns
    -------
    StarShape or None
        None if too few stars stand out, or they are as wide as no stars would be.
    """
    bright = stars.select(stars.snr >= LEAST_SNR).brightest(MOST_STARS)
    if len(bright) < LEAST_STARS:
        return None
    sxx, syy, sxy = _moments(image, bright.x, bright.y, stars.sigma)
    size = np.sqrt(np.maximum(sxx * syy - sxy**2, 0.0)) ** 0.5
    good = (size > stars.sigma / _WIDEST) & (size < stars.sigma * _WIDEST)
    if good.sum() < LEAST_STARS:
        return None
    width = float(np.median(size[good]))
    if not BELIEVED[0] <= width / stars.sigma <= BELIEVED[1]:
        return None
    half, spread = (sxx + syy)[good] / 2, np.hypot((sxx - syy)[good] / 2, sxy[good])
    axes = np.sqrt(np.maximum(half - spread, 0.0) / (half + spread))
    return StarShape(_TO_FWHM * width, float(np.median(1.0 - axes)), len(stars))


def _moments(
    image: FloatImage, x: FloatArray, y: FloatArray, sigma: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Second moments (xx, yy, xy) under a Gaussian that takes the shape of each star; 0: lost.

    Of a Gaussian under itself half of its moments are left, so twice what is found is the next
    weight, until nothing changes (Bernstein and Jarvis 2002, section 3.1).
    """
    reach = math.ceil(2.5 * _TO_FWHM / 2 * sigma) + 1
    step = np.arange(-reach, reach + 1)
    ny, nx = image.shape
    x0, y0 = np.rint(x).astype(int), np.rint(y).astype(int)
    rows = np.clip(y0[:, None] + step, 0, ny - 1)
    columns = np.clip(x0[:, None] + step, 0, nx - 1)
    stamp = image[rows[:, :, None], columns[:, None, :]].astype(np.float64)
    px = (x0 - x)[:, None, None] + step[None, None, :]
    py = (y0 - y)[:, None, None] + step[None, :, None]
    xx = np.full(len(x), sigma**2)
    yy, xy = xx.copy(), np.zeros(len(x))
    for _ in range(_ROUNDS):
        det = (xx * yy - xy**2)[:, None, None]
        with np.errstate(all="ignore"):  # of lost stars, which are none in the end
            turned = yy[:, None, None] * px**2 + xx[:, None, None] * py**2
            weighted = stamp * np.exp(-(turned - 2 * xy[:, None, None] * px * py) / (2 * det))
            total = weighted.sum(axis=(1, 2))
            xx = 2 * (weighted * px**2).sum(axis=(1, 2)) / total
            yy = 2 * (weighted * py**2).sum(axis=(1, 2)) / total
            xy = 2 * (weighted * px * py).sum(axis=(1, 2)) / total
            lost = ~((total > 0) & (xx > 0) & (yy > 0) & (xx * yy > xy**2))
            lost |= ~(xx + yy < 4 * (_WIDEST * sigma) ** 2)
        xx, yy, xy = (np.where(lost, new, each) for new, each in ((1e-6, xx), (1e-6, yy), (0, xy)))
    return xx, yy, xy
