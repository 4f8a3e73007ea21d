"""Images in the forms of other packages: WCS, CCDData, blocks of a Dask array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units
from astropy.io.fits import Header

from mirar_dask.data.pixels import Pixels
from mirar_dask.data.quiet import quietly

if TYPE_CHECKING:
    from astropy.nddata import CCDData
    from astropy.wcs import WCS

    from mirar_dask.data.image_data import Image


def read_wcs(header: Header) -> WCS:
    """Return the world coordinate system of a header, without wcslib's remarks on it."""
    from astropy.wcs import WCS

    with quietly():  # one for every harmless repair, such as a date in an older form
        return WCS(header)


def wcs_of(header: Header) -> WCS | None:
    """Return the celestial coordinate system of a header, or None if it has none."""
    wcs = read_wcs(header)
    return wcs if wcs.has_celestial else None


def unit_of(header: Header) -> units.UnitBase:
    """Return the unit of the pixels: ``BUNIT``, or adu where that says nothing known."""
    text = str(header.get("BUNIT") or "adu").strip()
    for spelling in (text, text.lower()):
        try:
            return units.Unit(spelling)
        except ValueError:
            continue
    return units.adu


def to_ccddata(image: Image) -> CCDData:
    """Return an image as CCDData."""
    from astropy.nddata import CCDData

    data = image.get_data()
    mask = np.isnan(data) if data.dtype.kind == "f" else None
    header = image.header.copy()
    return CCDData(data, mask=mask, unit=unit_of(header), meta=header, wcs=image.wcs)


def parts_of_ccddata(ccd: CCDData, header: Header | None) -> tuple[np.ndarray, Header]:
    """Return pixels and header of the image that a CCDData stands for."""
    given = Header(ccd.header if header is None else header, copy=True)
    if ccd.unit is not None:
        given["BUNIT"] = ccd.unit.to_string()
    if ccd.wcs is not None and wcs_of(given) is None:
        given.update(ccd.wcs.to_header(relax=True))
    data = ccd.data if ccd.mask is None else np.ma.array(ccd.data, mask=ccd.mask)
    return data, given


def read_block(pixels: Pixels, block_info: Any = None) -> np.ndarray:
    """Read the part of the pixels that one block of a Dask array stands for."""
    (rows, *others) = block_info[None]["array-location"]
    return pixels.read_rows(*rows)[(slice(None), *(slice(*other) for other in others))]
