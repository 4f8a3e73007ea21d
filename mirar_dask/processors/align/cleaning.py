"""The picture in which stars are looked for: flat, without defects of single pixels or of rows.

Aligned are pictures, measured and stacked are the frames themselves: nothing of this reaches them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]
BoolImage = NDArray[np.bool_]

BOX = 64
"""Side of the cells in which the background is measured: pixels."""
SPIKE = 5.0
"""A pixel that far from zero, in units of the noise, may be a spike."""
SPIKE_NEIGHBOURS = 0.15
"""Of a spike the median neighbour has less than this fraction. A star of FWHM 1.5 has 0.19."""
SAMPLE = 60_000
"""Pixels from which medians of a whole frame are taken."""


def robust_noise(values: NDArray[np.floating]) -> float:
    """Standard deviation of the bulk of the values, by their median absolute deviation."""
    sample = thin_out(values)
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return 0.0
    return float(1.4826 * np.median(np.abs(sample - np.median(sample))))


def thin_out(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Every n-th pixel, so that medians of large frames cost nothing; the same each time."""
    flat = values.reshape(-1)
    step = max(1, flat.size // SAMPLE)
    if step > 1 and values.ndim == 2:  # a step that divides the row length would sample columns
        while math.gcd(step, values.shape[1]) > 1:
            step += 1
    return flat[::step]


def middle(image: FloatImage, side: int) -> FloatImage:
    """The middle of a frame, at most `side` pixels a side."""
    ny, nx = image.shape
    y0, x0 = max(0, (ny - side) // 2), max(0, (nx - side) // 2)
    return image[y0 : y0 + side, x0 : x0 + side]


def background(data: FloatImage, mask: BoolImage | None = None, box: int = BOX) -> FloatImage:
    """Smooth background by sep, in cells of `box` pixels (smaller for small frames).

    Parameters
    ----------
    data : ndarray, shape (ny, nx), float32
        C-contiguous; values under the mask do not matter but must be finite.
    mask : ndarray of bool, optional
        True = not to be used.
    """
    import sep

    size = min(box, max(16, min(data.shape) // 4))
    found: FloatImage = sep.Background(data, mask=mask, bw=size, bh=size, fw=3, fh=3).back(
        dtype=np.float32
    )
    return found


def detection_image(data: NDArray[np.floating], saturate: float | None = None) -> FloatImage:
    """Flatten a frame and take out what is no star, so that stars can be looked for.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        The frame; NaN marks a masked pixel. It is not changed.
    saturate : float, optional
        Pixels from here on count as saturated: they stay what they are, but no spikes.

    Returns
    -------
    ndarray, shape (ny, nx), float32
        Sky zero, masked pixels filled from their neighbours, spikes (hot and dead pixels, most
        cosmic rays) replaced by the median of theirs, medians of rows and columns removed.
    """
    image = np.array(data, dtype=np.float32, order="C")
    bad = ~np.isfinite(image)
    if bad.all():
        return np.zeros_like(image)
    image[bad] = np.median(thin_out(image[~bad]))
    keep = image >= saturate if saturate is not None else None
    _remove_spikes(image, bad, keep)
    if min(image.shape) >= BOX:
        # First, so that the cells of the background are nearly flat; twice, because a gradient
        # along the rows makes their medians noisy until the columns took it away.
        for _ in range(2):
            image -= np.median(image[:, :: _step(image.shape[1])], axis=1, keepdims=True)
            image -= np.median(image[:: _step(image.shape[0])], axis=0, keepdims=True)
    image -= background(image, bad if bad.any() else None)
    image[bad] = 0.0
    if bad.any():
        fill_masked(image, bad)
    return image


def _step(n: int) -> int:
    """Take every so-manieth of n pixels for a median: some 500 are enough."""
    return max(1, n // 500)


def _remove_spikes(image: FloatImage, bad: BoolImage, keep: BoolImage | None) -> None:
    """Replace single pixels that stand out of their neighbourhood by its median."""
    from scipy import ndimage

    smooth = ndimage.uniform_filter(image, 9)
    noise = robust_noise(image - smooth)
    if noise <= 0:
        return
    excess = np.abs(image - smooth) > SPIKE * noise * 0.8
    excess[bad] = False
    if keep is not None:
        excess[keep] = False
    excess[[0, -1], :] = False
    excess[:, [0, -1]] = False
    y, x = np.nonzero(excess)
    if y.size == 0:
        return
    ring = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]
    around = np.stack([image[y + dy, x + dx] for dy, dx in ring])
    # The level around the pixel: the lower half of a wider ring, so that a hot neighbour or the
    # pixel's own share in a mean does not count.
    wide = [(-3, -3), (-3, 0), (-3, 3), (0, -3), (0, 3), (3, -3), (3, 0), (3, 3)]
    ny, nx = image.shape
    level = np.median(
        np.stack(
            [image[np.clip(y + dy, 0, ny - 1), np.clip(x + dx, 0, nx - 1)] for dy, dx in wide]
        ),
        axis=0,
    )
    middle = np.median(around, axis=0)
    height = image[y, x] - level
    spike = (np.abs(image[y, x] - middle) > SPIKE * noise) & (
        np.abs(middle - level) < np.maximum(SPIKE_NEIGHBOURS * np.abs(height), noise)
    )
    image[y[spike], x[spike]] = middle[spike]


def fill_masked(image: FloatImage, bad: BoolImage, sigma: float = 2.0) -> None:
    """Give masked pixels the weighted mean of good ones near by, if there are any."""
    from scipy import ndimage

    good = (~bad).astype(np.float32)
    weight = ndimage.gaussian_filter(good, sigma)
    mean = ndimage.gaussian_filter(image * good, sigma)
    near = bad & (weight > 1e-3)
    image[near] = mean[near] / weight[near]
