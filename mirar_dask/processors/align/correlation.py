"""Aligning by cross-correlation, where stars are too faint to be found one by one.

Beside the peak of the sky there may be one of the camera at no shift: a spike one pixel wide of
its pixels, lines of its rows and columns. These are taken out before the peak is looked for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mirar_dask.processors.align.cleaning import FloatImage, robust_noise
from mirar_dask.processors.align.transform import (
    AlignmentError,
    Limits,
    Shape,
    Solution,
    Transform,
)

CLIP = 5.0
"""Values are limited to so many standard deviations: no ray and no star must rule."""
MIN_PEAK = 8.0
"""Least height of the peak above the noise of the correlation."""
MIN_RATIO = 1.5
"""Least height of the peak in units of the next one elsewhere."""
TAPER = 0.06
"""Part of each side over which a frame fades to zero, against the jump where its edges meet."""


def spectrum(image: FloatImage) -> NDArray[np.complex64]:
    """Fourier transform of a detection image, clipped and tapered."""
    from scipy import fft

    noise = robust_noise(image)
    part = np.clip(image, -CLIP * noise, CLIP * noise) if noise > 0 else image.copy()
    part *= _window(image.shape[0])[:, None]
    part *= _window(image.shape[1])
    found: NDArray[np.complex64] = fft.rfft2(part, workers=1)
    found[0, :] = 0
    found[:, 0] = 0
    return found


def _window(n: int) -> NDArray[np.float32]:
    edge = max(1, round(TAPER * n))
    window = np.ones(n, np.float32)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    window[:edge], window[-edge:] = ramp, ramp[::-1]
    return window


def correlation_surface(
    ref: NDArray[np.complex64], other: NDArray[np.complex64], shape: Shape, sigma: float
) -> FloatImage:
    """Correlation of two frames for every shift, in units of its noise.

    Returns
    -------
    ndarray, shape (ny, nx)
        No shift lies at ``(ny // 2, nx // 2)``; positive shifts of `other` beyond it.
    """
    from scipy import fft, ndimage

    raw: FloatImage = fft.fftshift(fft.irfft2(np.conj(ref) * other, shape, workers=1))
    cy, cx = shape[0] // 2, shape[1] // 2
    raw[cy] -= np.median(raw[cy])
    raw[:, cx] -= np.median(raw[:, cx])
    # High where frames share a pattern, low where that was removed. It goes before anything is
    # smoothed: of the rings that a filter makes around a spike one would become the peak.
    around = [raw[cy + dy, cx + dx] for dy, dx in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
    raw[cy, cx] = np.mean(around)
    surface: FloatImage = ndimage.gaussian_filter(raw, 1.4 * sigma, mode="wrap")
    surface -= ndimage.uniform_filter(surface, 2 * round(6 * sigma) + 1, mode="wrap")
    surface -= np.median(surface)
    noise = robust_noise(surface)
    return surface / noise if noise > 0 else surface


def correlate(
    ref: NDArray[np.complex64],
    other: NDArray[np.complex64],
    shape: Shape,
    sigma: float,
    *,
    limits: Limits | None = None,
    binning: int = 1,
    pattern: bool = False,
) -> Solution:
    """Find the shift of one frame against another by their cross-correlation.

    Parameters
    ----------
    ref, other : ndarray of complex
        Their spectra (`spectrum`).
    shape : tuple
        (ny, nx) of the frames that were transformed.
    sigma : float
        Width of the structure, pixels of those frames.
    limits : Limits
        What is believed.
    binning : int
        Pixels of the true frames in one of these.
    pattern : bool
        Whether the frames share a fixed pattern: then nothing is believed near no shift.

    Raises
    ------
    AlignmentError
        If no peak stands out.
    """
    limits = limits or Limits()
    surface = correlation_surface(ref, other, shape, sigma)
    cy, cx = shape[0] // 2, shape[1] // 2
    ry = max(2, min(cy - 1, int(limits.max_shift * shape[0])))
    rx = max(2, min(cx - 1, int(limits.max_shift * shape[1])))
    window = surface[cy - ry : cy + ry + 1, cx - rx : cx + rx + 1]
    y, x = np.unravel_index(int(np.argmax(window)), window.shape)
    height = float(window[y, x])
    reach = int(np.ceil(5 * sigma)) + 1
    elsewhere = window.copy()
    elsewhere[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = -np.inf
    second = float(elsewhere.max())
    if height < MIN_PEAK or height < MIN_RATIO * max(second, 0.0):
        raise AlignmentError(
            f"no peak of the cross-correlation stands out (height {height:.1f}, next "
            f"{second:.1f} times its noise; needed: {MIN_PEAK:g} and {MIN_RATIO:g} times the next)"
        )
    fy, fx = _vertex(window, int(y), int(x), max(1, round(sigma)))
    dx, dy = (fx - rx) * binning, (fy - ry) * binning
    if pattern and np.hypot(dx, dy) < 2 * binning:
        raise AlignmentError(
            "its cross-correlation peaks at no shift, which may be the camera's own pattern"
        )
    # A Gaussian deviate of that height, as a power of ten.
    significance = min(300.0, height**2 / 2 / np.log(10) - np.log10(max(window.size, 1)))
    return Solution(Transform.shift(dx, dy), "correlation", significance=float(significance))


def _vertex(surface: FloatImage, y: int, x: int, reach: int) -> tuple[float, float]:
    """Top of a paraboloid through the pixels around a maximum."""
    ny, nx = surface.shape
    if not (reach <= y < ny - reach and reach <= x < nx - reach):
        return float(y), float(x)
    part = surface[y - reach : y + reach + 1, x - reach : x + reach + 1].astype(np.float64)
    v, u = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    u, v = u.ravel(), v.ravel()
    terms = np.stack([np.ones(u.size), u, v, u * u, v * v, u * v], axis=1)
    _, b, c, d, e, f = np.linalg.lstsq(terms, part.ravel(), rcond=None)[0]
    det = 4 * d * e - f * f
    if det <= 0 or d >= 0:
        return float(y), float(x)
    du, dv = (f * c - 2 * e * b) / det, (f * b - 2 * d * c) / det
    limit = reach + 0.5
    return y + float(np.clip(dv, -limit, limit)), x + float(np.clip(du, -limit, limit))
