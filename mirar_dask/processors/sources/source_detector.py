"""Sources of images: background, detection and aperture photometry by sep."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io.fits.card import Undefined

from mirar_dask.data import Image, ImageBatch, SourceBatch, SourceTable
from mirar_dask.errors import UsageError
from mirar_dask.paths import (
    BASE_NAME_KEY,
    CAND_DEC_KEY,
    CAND_RA_KEY,
    GAIN_KEY,
    SATURATE_KEY,
    SOURCE_HISTORY_KEY,
    SOURCE_NAME_KEY,
    XPOS_KEY,
    YPOS_KEY,
    strip_compression_suffix,
)
from mirar_dask.processors.base_processor import BaseSourceGenerator
from mirar_dask.processors.sky_level import SKY_KEY, SKY_RMS_KEY
from mirar_dask.processors.sources.extraction import Extracted, Extraction, extract_sources

if TYPE_CHECKING:
    import pandas as pd
    from astropy.wcs import WCS

logger = logging.getLogger(__name__)

N_SOURCES_KEY = "NSOURCES"
FWHM_PIX_KEY = "FWHM_PIX"
FWHM_KEY = "FWHM_MED"
ELLIPTICITY_KEY = "ELLIPMED"
FRAMES, BUFFERS = 7, 64 << 20
"""Frames, as floats, and bytes beside them that finding the sources of an image takes: 6.3 to 6.5
frames were measured with 2048 to 6144 pixels a side, 8.5 with a source in every 450 pixels; and
libraries that a worker loads with its first image."""
_NOT_METADATA = {"HISTORY", "COMMENT", ""}


class SourceDetector(BaseSourceGenerator):
    """Find the sources of every image: an image in, a table of its sources out.

    Parameters
    ----------
    threshold : float
        Least height above the background, in standard deviations of the noise.
    min_area : int
        Least number of touching pixels above the threshold.
    aper_diameters : float or list of float
        Diameters, in pixels, of circular apertures.
    background_box : int
        Side, in pixels, of the cells in which the background is measured.
    filter_fwhm : float
        Width, in pixels, of the Gaussian by which the image is filtered for detection; 0: none.
    deblend_levels : int
        Levels at which sources are examined for neighbours.
    deblend_contrast : float
        Least part of a source's flux that makes a neighbour; 1 switches this off.
    gain_key : str
        Header key with the electrons per unit, for the photon noise of sources.
    saturate_key : str
        Header key with the value from which pixels are saturated.

    Notes
    -----
    Reads the WCS, ``gain_key``, ``saturate_key``; writes NSOURCES, SKYMED, SKYRMS, FWHM_PIX,
    FWHM_MED (arcseconds), ELLIPMED.

    Columns: ``objectid`` (image and number), ``ra`` and ``dec``
    in degrees (NaN without WCS), ``xpos`` and ``ypos`` counted from zero with ``xposunc``,
    ``yposunc``; for each diameter d, and for elliptical apertures (d = auto), ``fluxap<d>``,
    ``fluxuncap<d>``, ``magap<d>``, ``sigmagap<d>`` (instrumental: no zero point); ``fwhm`` in
    pixels, ``a``, ``b``, ``theta``, ``ellipticity``, ``elong``, ``peak``, ``snr``, ``npix``,
    ``background``, ``flags`` (1 blended, 2 cut by the edge, 4 saturated, 16 aperture cut by the
    edge, 32 aperture with masked pixels, 64 not measured), ``prv_candidates``. The metadata are
    the header and the keys named. Masked
    (NaN) pixels belong to no source. Images without a source have no table, and a caveat.
    Errors take the noise of neighbouring pixels as independent: after resampling they are small.
    """

    base_key = "DETSEP"
    writes_products = False
    fails_before_changing = True

    def __init__(
        self,
        threshold: float = 5.0,
        min_area: int = 5,
        aper_diameters: float | Sequence[float] = (8.0, 16.0),
        *,
        background_box: int = 64,
        filter_fwhm: float = 3.0,
        deblend_levels: int = 32,
        deblend_contrast: float = 0.005,
        gain_key: str = GAIN_KEY,
        saturate_key: str = SATURATE_KEY,
    ) -> None:
        super().__init__()
        diameters = [aper_diameters] if isinstance(aper_diameters, int | float) else aper_diameters
        self.aper_diameters = [float(diameter) for diameter in diameters]
        if threshold <= 0 or min_area < 1 or not all(d > 0 for d in self.aper_diameters):
            raise UsageError(
                f"SourceDetector got threshold={threshold}, min_area={min_area}, "
                f"aper_diameters={self.aper_diameters}; all must be positive"
            )
        self.threshold = threshold
        self.min_area = min_area
        self.background_box = background_box
        self.filter_fwhm = filter_fwhm
        self.deblend_levels = deblend_levels
        self.deblend_contrast = deblend_contrast
        self.gain_key = gain_key
        self.saturate_key = saturate_key

    def description(self) -> str:
        """Say from where on sources are found."""
        return (
            f"Find sources of {self.min_area} pixels over {self.threshold:g} sigma and measure them"
        )

    def memory_needed(self, shape: tuple[int, ...], n_images: int) -> int:
        """Bytes for one image at a time: copy, mask, background, noise, sep's own buffers.

        Of an image with a source in every hundred pixels and more it may be three times as much.
        """
        return FRAMES * 4 * math.prod(shape) + BUFFERS

    @property
    def extraction(self) -> Extraction:
        """How sources are looked for and measured."""
        return Extraction(
            threshold=self.threshold,
            min_area=self.min_area,
            aper_diameters=tuple(self.aper_diameters),
            background_box=self.background_box,
            filter_fwhm=self.filter_fwhm,
            deblend_levels=self.deblend_levels,
            deblend_contrast=self.deblend_contrast,
        )

    def _apply_to_images(self, batch: ImageBatch) -> SourceBatch:
        tables = SourceBatch()
        for image in batch:
            found = extract_sources(
                image.view_data(),
                self.extraction,
                gain=_positive(image, self.gain_key),
                saturate=_positive(image, self.saturate_key),
            )
            name = image.get_name()
            if not found.deblended:
                self.add_caveat(image, f"too crowded: neighbours in '{name}' are not told apart")
            if not len(found.table):
                self.add_caveat(
                    image, f"no source over {self.threshold:g} sigma in '{name}': it has no table"
                )
                continue
            logger.debug("%d sources in %s", len(found.table), name)
            metadata = self.get_metadata(image)
            metadata.update(measurements(found, image.wcs))
            tables.append(SourceTable(finish_table(found.table, image), metadata))
        return tables

    def get_metadata(self, image: Image) -> dict[str, Any]:
        """Header of an image as the metadata of its sources, without COMMENT and HISTORY."""
        found = {}
        for key in image.keys():
            if key not in _NOT_METADATA:
                value = image[key]
                found[key] = None if isinstance(value, Undefined) else value
        return found


def finish_table(table: pd.DataFrame, image: Image) -> pd.DataFrame:
    """Add names and sky coordinates to the sources of an image, and the columns that all have."""
    import pandas as pd

    stem = Path(strip_compression_suffix(str(image[BASE_NAME_KEY]))).stem
    digits = max(4, len(str(len(table))))
    names = [f"{stem}_{number:0{digits}d}" for number in range(1, len(table) + 1)]
    ra, dec = sky_positions(image.wcs, table[XPOS_KEY].to_numpy(), table[YPOS_KEY].to_numpy())
    leading = pd.DataFrame({SOURCE_NAME_KEY: names, CAND_RA_KEY: ra, CAND_DEC_KEY: dec})
    finished = pd.concat([leading, table], axis=1)
    finished[SOURCE_HISTORY_KEY] = [[] for _ in names]
    return finished


def sky_positions(wcs: WCS | None, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right ascension and declination (ICRS, degrees) of pixels; NaN without a WCS."""
    if wcs is None:
        return np.full(len(x), np.nan), np.full(len(y), np.nan)
    sky = wcs.celestial.pixel_to_world(x, y).icrs
    return np.asarray(sky.ra.deg, float), np.asarray(sky.dec.deg, float)


def measurements(found: Extracted, wcs: WCS | None) -> dict[str, Any]:
    """What the sources tell of their image; what is not known is left out."""
    values = {
        N_SOURCES_KEY: len(found.table),
        SKY_KEY: found.sky,
        SKY_RMS_KEY: found.sky_rms,
        FWHM_PIX_KEY: found.fwhm,
        ELLIPTICITY_KEY: found.ellipticity,
    }
    if wcs is not None:
        values[FWHM_KEY] = found.fwhm * pixel_scale(wcs)
    return {key: value for key, value in values.items() if math.isfinite(value)}


def pixel_scale(wcs: WCS) -> float:
    """Side of a pixel: arcseconds."""
    from astropy.wcs.utils import proj_plane_pixel_scales

    return float(np.mean(proj_plane_pixel_scales(wcs.celestial))) * 3600.0


def _positive(image: Image, key: str) -> float | None:
    try:
        value = float(image.get(key, math.nan))
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and value > 0 else None
