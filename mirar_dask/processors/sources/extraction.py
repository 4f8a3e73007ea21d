"""Finding and measuring the sources of one array by sep: a pure function, a table out.

Used by `mirar_dask.processors.sources.source_detector`, which knows images and headers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mirar_dask.errors import ProcessorError
from mirar_dask.paths import (
    APFLUX_PREFIX_KEY,
    APFLUXUNC_PREFIX_KEY,
    APMAG_PREFIX_KEY,
    APMAGUNC_PREFIX_KEY,
    XPOS_KEY,
    YPOS_KEY,
)

if TYPE_CHECKING:
    import pandas as pd


FloatImage = NDArray[np.float32]
BoolImage = NDArray[np.bool_]

BLENDED, TRUNCATED, SATURATED, APERTURE_CUT, HAS_MASKED, UNMEASURED = 1, 2, 4, 16, 32, 64
"""Bits of the column ``flags``."""
AUTO = "auto"
"""Suffix of the columns of elliptical (Kron) apertures."""

_KRON_FACTOR, _LEAST_RADIUS, _LARGEST = 2.5, 3.5, 6.0
_MAGNITUDE_ERROR = 2.5 / math.log(10)


class ExtractionError(ProcessorError):
    """Raised when the sources of an image cannot be told apart."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """How sources are looked for and measured."""

    threshold: float = 5.0
    """Least height of a pixel above the noise of the filtered image: standard deviations."""
    min_area: int = 5
    """Least number of such pixels that touch each other."""
    aper_diameters: Sequence[float] = (8.0, 16.0)
    """Diameters of circular apertures: pixels."""
    background_box: int = 64
    """Side of the cells in which the background is measured: pixels."""
    filter_fwhm: float = 3.0
    """Width of the Gaussian by which the image is filtered before detection: pixels; 0 for none."""
    deblend_levels: int = 32
    """Levels at which sources are examined for neighbours."""
    deblend_contrast: float = 0.005
    """Least part of the flux that a neighbour has."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """The sources of an image, and what the image is like."""

    table: pd.DataFrame
    """One row a source, brightest first."""
    sky: float
    """Median of the background."""
    sky_rms: float
    """Median of the noise."""
    fwhm: float
    """Median width of unblemished sources: pixels; NaN if there are none."""
    ellipticity: float
    """Their median ellipticity."""
    deblended: bool = True
    """Whether neighbours were told apart; not if they are too many."""


def aperture_suffix(diameter: float) -> str:
    """Part of the column names that stands for an aperture.

    Examples
    --------
    >>> aperture_suffix(8.0), aperture_suffix(4.5)
    ('8', '4.5')
    """
    return f"{diameter:g}"


def extract_sources(
    data: NDArray[np.floating],
    how: Extraction,
    *,
    gain: float | None = None,
    saturate: float | None = None,
) -> Extracted:
    """Find and measure the sources of an image.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        NaN marks a masked pixel: nothing is found or summed there. It is not changed.
    how : Extraction
        Thresholds and apertures.
    gain : float, optional
        Electrons in one unit of the data, for the photon noise of sources; none without.
    saturate : float, optional
        Sources with a pixel from here on are flagged.

    Returns
    -------
    Extracted
        Columns of its table: positions counted from zero (``xpos``, ``ypos``, windowed) with
        their errors, ``fluxap<d>``, ``fluxuncap<d>``, ``magap<d>``, ``sigmagap<d>`` for each
        diameter and for the elliptical aperture ``auto``, ``fwhm``, ``a``, ``b``, ``theta``
        (radians from the x axis), ``ellipticity``, ``elong``, ``peak``, ``snr``, ``npix``,
        ``background``, ``flags``. Magnitudes are -2.5 log10(flux), without a zero point.

    Raises
    ------
    ExtractionError
        If sep gives up.
    """
    import pandas as pd

    pixels = np.array(data, dtype=np.float32, order="C")
    mask = ~np.isfinite(pixels)
    if mask.all():
        return Extracted(pd.DataFrame(empty_columns(how)), math.nan, math.nan, math.nan, math.nan)
    pixels[mask] = np.median(pixels[~mask])
    sky, noise = _background(pixels, mask, how.background_box)
    level, rms = float(np.median(sky[~mask])), float(np.median(noise[~mask]))
    if rms <= 1e-6 * max(abs(level), 1e-6):  # without noise anything would be significant
        return Extracted(pd.DataFrame(empty_columns(how)), level, rms, math.nan, math.nan)
    pixels -= sky
    pixels[mask] = 0.0
    noise = np.maximum(noise, np.float32(1e-3 * rms))
    found, segments, deblended = _detect(pixels, noise, mask, how)
    table = _measure(pixels, noise, mask, found, segments, how, gain)
    _describe(table, sky, found, saturate)
    table = table.sort_values(
        [f"{APFLUX_PREFIX_KEY}{AUTO}", YPOS_KEY, XPOS_KEY], ascending=[False, True, True]
    ).reset_index(drop=True)
    clean = table[(table["flags"] & ~HAS_MASKED) == 0]
    return Extracted(
        table, level, rms, _median(clean["fwhm"]), _median(clean["ellipticity"]), deblended
    )


def empty_columns(how: Extraction) -> dict[str, Any]:
    """The columns of the table of an image without sources."""
    none = np.zeros(0)
    suffixes = [*(aperture_suffix(d) for d in how.aper_diameters), AUTO]
    columns: dict[str, Any] = dict.fromkeys((XPOS_KEY, YPOS_KEY, "xposunc", "yposunc"), none)
    for suffix in suffixes:
        _add_flux(columns, suffix, none, none)
    for name in ("fwhm", "a", "b", "theta", "ellipticity", "elong", "peak", "snr"):
        columns[name] = none
    return columns | {"npix": none.astype(int), "flags": none.astype(int), "background": none}


def gaussian_kernel(fwhm: float) -> FloatImage | None:
    """A normalised Gaussian, as sep wants it; None for no filter."""
    if fwhm <= 0:
        return None
    sigma = fwhm / 2.3548
    reach = max(1, math.ceil(1.5 * fwhm / 2 + 0.5))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return (kernel / kernel.sum()).astype(np.float32)


def _background(pixels: FloatImage, mask: BoolImage, box: int) -> tuple[FloatImage, FloatImage]:
    """Level and noise of the sky; in two rounds, as a gradient within a cell first looks noisy."""
    import sep

    size = min(box, max(16, min(pixels.shape) // 3))
    cells = {"mask": mask, "bw": size, "bh": size, "fw": 3, "fh": 3}
    sky: FloatImage = sep.Background(pixels, **cells).back(dtype=np.float32)
    rest = sep.Background(pixels - sky, **cells)
    return sky + rest.back(dtype=np.float32), rest.rms(dtype=np.float32)


def _detect(
    pixels: FloatImage, noise: FloatImage, mask: BoolImage, how: Extraction
) -> tuple[Any, NDArray[np.int32], bool]:
    import sep

    # sep's own limits are made for small frames; both are settings of the process. Its buffer
    # takes some 40 bytes a pixel, so all pixels get room only if the first attempt shows need.
    sep.set_sub_object_limit(4096)
    last: Exception | None = None
    for room, contrast in (
        (max(300_000, pixels.size // 20), how.deblend_contrast),
        (max(300_000, pixels.size), how.deblend_contrast),
        (max(300_000, pixels.size), 1.0),  # neighbours are not told apart
    ):
        sep.set_extract_pixstack(room)
        try:
            found, segments = sep.extract(
                pixels,
                how.threshold,
                err=noise,
                mask=mask,
                minarea=how.min_area,
                filter_kernel=gaussian_kernel(how.filter_fwhm),
                deblend_nthresh=how.deblend_levels,
                deblend_cont=contrast,
                segmentation_map=True,
            )
            return found, segments, contrast == how.deblend_contrast
        except Exception as error:  # sep raises plain Exception
            last = error
    raise ExtractionError(
        f"its sources cannot be told apart ({last}); raise the threshold (now {how.threshold:g})"
    ) from last


def _measure(
    pixels: FloatImage,
    noise: FloatImage,
    mask: BoolImage,
    found: Any,
    segments: NDArray[np.int32],
    how: Extraction,
    gain: float | None,
) -> pd.DataFrame:
    import pandas as pd
    import sep

    a, b = np.maximum(found["a"], 0.3), np.maximum(found["b"], 0.3)
    theta = np.clip(found["theta"], -np.pi / 2, np.pi / 2)
    x, y = found["x"], found["y"]
    ids = np.arange(1, len(found) + 1, dtype=np.int32)
    gain = gain if gain is not None and gain > 0 else None
    # Pixels of other sources are left out, those of the sky are not.
    own: dict[str, Any] = {"mask": mask, "segmap": segments, "seg_id": ids}
    kron, kron_flag = sep.kron_radius(pixels, x, y, a, b, theta, _LARGEST, **own)
    kron = np.where(np.isfinite(kron), kron, 0.0)
    small = kron * np.sqrt(a * b) * _KRON_FACTOR < _LEAST_RADIUS
    radius = np.where(small, 1.0, _KRON_FACTOR * np.maximum(kron, 1e-3))
    axes = np.where(small, _LEAST_RADIUS, a), np.where(small, _LEAST_RADIUS, b)
    flux, error, flag = sep.sum_ellipse(
        pixels, x, y, *axes, theta, radius, err=noise, gain=gain, **own
    )
    half, half_flag = sep.flux_radius(
        pixels, x, y, _LARGEST * a, 0.5, normflux=np.where(flux > 0, flux, 1.0), **own
    )
    wx, wy, _ = sep.winpos(pixels, x, y, 2.0 / 2.3548 * np.clip(half, 0.5, None), mask=mask)
    lost = ~np.isfinite(wx + wy) | (np.hypot(wx - x, wy - y) > np.maximum(2.0, 2 * a))
    wx, wy = np.where(lost, x, wx), np.where(lost, y, wy)
    uncertainty = np.hypot(half, 0.5) / np.maximum(flux / np.maximum(error, 1e-30), 0.1)
    columns: dict[str, Any] = {XPOS_KEY: wx, YPOS_KEY: wy}
    columns |= {"xposunc": uncertainty, "yposunc": uncertainty}
    flags = (found["flag"] & (BLENDED | TRUNCATED)).astype(int)
    for diameter in how.aper_diameters:
        part, part_error, part_flag = sep.sum_circle(
            pixels, wx, wy, diameter / 2, err=noise, gain=gain, mask=mask
        )
        _add_flux(columns, aperture_suffix(diameter), part, part_error)
        flags |= _aperture_flags(part_flag, sep.APER_TRUNC, APERTURE_CUT)
        flags |= _aperture_flags(part_flag, sep.APER_HASMASKED, HAS_MASKED)
    _add_flux(columns, AUTO, flux, error)
    flags |= _aperture_flags(flag, sep.APER_TRUNC, APERTURE_CUT)
    failed = sep.APER_ALLMASKED | sep.APER_NONPOSITIVE
    flags |= _aperture_flags(flag | kron_flag | half_flag, failed, UNMEASURED)
    columns["fwhm"] = np.where(flux > 0, 2.0 * half, np.nan)
    columns |= {"a": found["a"], "b": found["b"], "theta": theta}
    columns |= {"ellipticity": 1.0 - b / a, "elong": a / b, "peak": found["peak"]}
    columns |= {"snr": flux / np.maximum(error, 1e-30), "npix": found["npix"], "flags": flags}
    return pd.DataFrame(columns)


def _aperture_flags(flag: NDArray[Any], of_sep: int, meaning: int) -> NDArray[Any]:
    return np.where(np.asarray(flag) & of_sep, meaning, 0)


def _add_flux(
    columns: dict[str, Any], suffix: str, flux: NDArray[Any], error: NDArray[Any]
) -> None:
    with np.errstate(invalid="ignore", divide="ignore"):
        positive = np.where(flux > 0, flux, np.nan)
        columns[f"{APFLUX_PREFIX_KEY}{suffix}"] = flux
        columns[f"{APFLUXUNC_PREFIX_KEY}{suffix}"] = error
        columns[f"{APMAG_PREFIX_KEY}{suffix}"] = -2.5 * np.log10(positive)
        columns[f"{APMAGUNC_PREFIX_KEY}{suffix}"] = _MAGNITUDE_ERROR * error / positive


def _describe(table: pd.DataFrame, sky: FloatImage, found: Any, saturate: float | None) -> None:
    """Add the background of each source, and flag those that are saturated."""
    local = sky[found["ypeak"], found["xpeak"]]
    table["background"] = local
    if saturate is not None and math.isfinite(saturate) and saturate > 0:
        table.loc[found["peak"] + local >= saturate, "flags"] |= SATURATED


def _median(values: pd.Series[float]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.median()) if len(finite) else math.nan
