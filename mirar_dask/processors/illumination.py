"""Smoothing of flats and the pixels that stand out of them, for `flat_mode` pixel and structure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

FloatImage = np.ndarray[Any, np.dtype[np.floating[Any]]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
"""True where a pixel stands out."""

SMOOTHING_WIDTH = 100
"""Radius in pixels of the kernel by which flats are smoothed."""


def get_convolution(data: FloatImage, kernel_width: int) -> FloatImage:
    """Smooth an image with a disk of equal weights.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        Continued beyond its borders by its outermost pixels. NaNs do not count: the mean of the
        other pixels under the disk takes their place.
    kernel_width : int
        Radius of the disk in pixels; a pixel counts if its centre lies within.

    Returns
    -------
    ndarray, shape (ny, nx), float64
        NaN where every pixel under the disk is NaN. As from ``astropy.convolution.convolve_fft``
        with a ``Tophat2DKernel``, without the complex numbers.
    """
    from scipy.signal import oaconvolve

    reach = np.arange(-kernel_width, kernel_width + 1)
    disk = (reach[:, None] ** 2 + reach**2 <= kernel_width**2).astype(float)
    padded = np.pad(np.asarray(data, float), kernel_width, mode="edge")
    masked = np.isnan(padded)
    # Of small numbers the rounding of a Fourier transform is small too.
    offset = float(np.nanmean(padded)) if not masked.all() else 0.0
    filled = np.where(masked, 0.0, padded - offset)
    total = oaconvolve(filled, disk, mode="valid")
    if not masked.any():
        return np.asarray(total / disk.sum() + offset)
    weight = np.rint(oaconvolve((~masked).astype(float), disk, mode="valid"))
    smooth = np.full_like(total, np.nan)
    np.divide(total, weight, out=smooth, where=weight > 0)
    return np.asarray(smooth + offset)


def construct_smooth_gradient_for_image(data: FloatImage) -> FloatImage:
    """Smooth an image by the width that the flat modes use."""
    return get_convolution(data, SMOOTHING_WIDTH)


def smooth_and_normalize_image(data: FloatImage) -> FloatImage:
    """Divide an image by its smoothed self, so that only structure on small scales is left."""
    return np.asarray(data / get_convolution(data, SMOOTHING_WIDTH))


def get_outlier_pixel_mask(img: FloatImage, thresh: float = 3.0) -> Mask:
    """Tell pixels that are far from the median.

    Parameters
    ----------
    img : ndarray
        NaNs do not count, and are no outliers.
    thresh : float
        Distance from the median in standard deviations, both of what is left of the image when
        it was clipped at three of them (``astropy.stats.sigma_clipped_stats``).
    """
    from astropy.stats import sigma_clipped_stats

    finite = img[np.isfinite(img)]
    if not finite.size:
        return np.zeros(img.shape, bool)
    _, median, deviation = sigma_clipped_stats(finite, sigma=3.0)
    low, high = median - thresh * deviation, median + thresh * deviation
    return np.asarray((img < low) | (img > high))


def get_smoothened_outlier_pixel_mask_from_list(
    img_data_list: Iterable[FloatImage], threshold: float = 3.0
) -> Mask:
    """Tell pixels that stand out in every image, once its smooth gradient is divided out.

    Parameters
    ----------
    img_data_list : iterable of ndarray, all of one shape
        Taken one at a time.
    threshold : float
        As `thresh` of `get_outlier_pixel_mask`.
    """
    found: Mask | None = None
    for data in img_data_list:
        mask = get_outlier_pixel_mask(smooth_and_normalize_image(data), thresh=threshold)
        found = mask if found is None else found & mask
    if found is None:
        raise ValueError("no images to look for outliers in")
    return found


def get_structure_mask(flat: FloatImage, thresh: float = 1.0) -> Mask:
    """Tell pixels of a combined flat that differ from their surroundings.

    Parameters
    ----------
    flat : ndarray, shape (ny, nx)
        NaN stays out of it, and is no such pixel.
    thresh : float
        Least distance of a pixel, divided by its surroundings, from the median, in standard
        deviations of all of them.
    """
    variation = smooth_and_normalize_image(flat)
    finite = variation[np.isfinite(variation)]
    if not finite.size:
        return np.zeros(flat.shape, bool)
    distance = np.abs(variation - np.median(finite))
    return np.asarray(distance > thresh * np.std(finite))
