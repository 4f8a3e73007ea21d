"""Masking pixels at positions on the sky."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from mirar_dask.data import Image
from mirar_dask.errors import UsageError
from mirar_dask.io import open_image
from mirar_dask.paths import FITS_MASK_KEY
from mirar_dask.processors.mask_base import BaseMask, Mask, read_mask
from mirar_dask.processors.utils.header_values import ParsingError, header_value

if TYPE_CHECKING:
    from astropy.wcs import WCS


class MaskPixelsFromWCS(BaseMask):
    """Mask the pixels at positions on the sky.

    Parameters
    ----------
    mask_pixels_ra, mask_pixels_dec : float or list of float, optional
        Positions in degrees (ICRS). With them ``mask_file_key`` is not used.
    mask_file_key : str
        Header key with the path of a mask file that has a WCS: the positions of its zeros.
    write_masked_pixels_to_file, output_dir_name, only_write_mask
        As in `BaseMask`.

    Raises
    ------
    UsageError
        If there are not as many right ascensions as declinations.

    Notes
    -----
    Reads the WCS and ``mask_file_key``; writes MASKFITS (if the mask is saved). Each position masks
    the pixel that it falls into; positions outside the image mask nothing.
    """

    base_key = "maskwcs"

    def __init__(
        self,
        mask_pixels_ra: ArrayLike | None = None,
        mask_pixels_dec: ArrayLike | None = None,
        mask_file_key: str | None = FITS_MASK_KEY,
        write_masked_pixels_to_file: bool = False,
        output_dir_name: str = "mask",
        only_write_mask: bool = False,
    ) -> None:
        super().__init__(write_masked_pixels_to_file, output_dir_name, only_write_mask)
        if len(_values(mask_pixels_ra)) != len(_values(mask_pixels_dec)):
            raise UsageError("MaskPixelsFromWCS needs as many values in ra as in dec")
        self.mask_pixels_ra = mask_pixels_ra
        self.mask_pixels_dec = mask_pixels_dec
        self.mask_file_key = mask_file_key if mask_pixels_ra is None else None

    def description(self) -> str:
        """Name where the positions come from."""
        if self.mask_file_key is None:
            return f"Mask the pixels at {len(_values(self.mask_pixels_ra))} sky positions"
        return (
            f"Mask the sky positions that are masked in the file of header key {self.mask_file_key}"
        )

    def get_mask(self, image: Image) -> Mask:
        """Return True at the positions.

        Raises
        ------
        ParsingError
            If the image, or the mask file, has no celestial WCS.
        """
        from astropy.coordinates import SkyCoord

        mask: Mask = np.zeros(image.shape, dtype=bool)
        if self.mask_file_key is None:
            sky = SkyCoord(_values(self.mask_pixels_ra), _values(self.mask_pixels_dec), unit="deg")
        else:
            path = str(header_value(image, self.mask_file_key))
            rows, columns = np.nonzero(read_mask(path))
            if rows.size == 0:
                return mask
            sky = _wcs(open_image(path)).pixel_to_world(columns, rows)
        x, y = (np.rint(axis) for axis in _wcs(image).world_to_pixel(sky))
        ny, nx = image.shape
        inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)  # NaN, behind the sky, is not inside
        mask[y[inside].astype(int), x[inside].astype(int)] = True
        return mask


def _wcs(image: Image) -> WCS:
    found = image.wcs
    if found is None:
        raise ParsingError(
            f"'{image.get_name()}' has no celestial WCS in its header, so positions on the sky "
            "have no pixels in it; solve its astrometry first"
        )
    return found


def _values(positions: ArrayLike | None) -> list[float]:
    if positions is None:
        return []
    return [float(x) for x in np.atleast_1d(np.asarray(positions, dtype=float))]
