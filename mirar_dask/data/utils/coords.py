"""Positions on the sky and in the image, from headers with a world coordinate system."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.units import Quantity

from mirar_dask.data.conversions import read_wcs
from mirar_dask.data.image_data import Image

logger = logging.getLogger(__name__)

Corner = tuple[float, float]


def get_corners_ra_dec_from_header(header: fits.Header) -> list[Corner]:
    """Return RA and Dec (deg) of the pixels (0, 0), (nx, 0), (0, ny), (nx, ny), from 1."""
    nx, ny = header["NAXIS1"], header["NAXIS2"]
    ra_deg, dec_deg = read_wcs(header).all_pix2world([0, nx, 0, nx], [0, 0, ny, ny], 1)
    return list(zip(ra_deg.tolist(), dec_deg.tolist(), strict=True))


def get_image_center_wcs_coords(image: Image, origin: int = 0) -> Corner:
    """Return RA and Dec (deg) of pixel (nx / 2, ny / 2).

    Parameters
    ----------
    image : Image
        With a world coordinate system, NAXIS1 and NAXIS2 in its header.
    origin : int
        Number of the first pixel: 0, or 1 as in DS9.
    """
    header = image.header
    nx, ny = header["NAXIS1"], header["NAXIS2"]
    ra_deg, dec_deg = read_wcs(header).all_pix2world([nx / 2], [ny / 2], origin)
    return float(ra_deg[0]), float(dec_deg[0])


def get_xy_from_wcs(ra_deg: float, dec_deg: float, header: fits.Header, origin: int = 0) -> Corner:
    """Return the pixel coordinates x, y of a position.

    Parameters
    ----------
    ra_deg, dec_deg : float, deg
        The position.
    header : Header
        With a world coordinate system.
    origin : int
        Number of the first pixel: 0, or 1 as in DS9.
    """
    x, y = read_wcs(header).all_world2pix(ra_deg, dec_deg, origin)
    return float(x), float(y)


def write_regions_file(
    regions_path: Path | str,
    x_coords: Sequence[float],
    y_coords: Sequence[float],
    system: str = "image",
    region_radius: float = 5,
    text: Sequence[str] | None = None,
) -> None:
    """Write circles as a DS9 regions file.

    Parameters
    ----------
    regions_path : Path
        The file to write.
    x_coords, y_coords : sequences of float
        Centres: pixels, or RA and Dec (deg) if ``system`` is "wcs".
    system : str
        Coordinate system, as DS9 names it.
    region_radius : float
        Radius in pixels (or deg).
    text : sequence of str, optional
        A label for each circle.

    Raises
    ------
    ValueError
        If the sequences differ in length.
    """
    labels = [None] * len(x_coords) if text is None else list(text)
    if not len(x_coords) == len(y_coords) == len(labels):
        raise ValueError(
            f"as many x, y and labels are needed: {len(x_coords)} x_coords, "
            f"{len(y_coords)} y_coords, {len(labels)} labels"
        )
    logger.debug("Writing regions to %s", regions_path)
    lines = [system]
    for x, y, label in zip(x_coords, y_coords, labels, strict=True):
        note = "" if label is None else f" # text={{{label}}}"
        lines.append(f"CIRCLE({x},{y},{region_radius}){note}")
    Path(regions_path).write_text("\n".join(lines) + "\n", encoding="utf8")


def get_image_dims_from_header(header: fits.Header) -> tuple[Quantity, Quantity]:
    """Return width and height of an image on the sky: CD1_1 * NAXIS1 and CD2_2 * NAXIS2."""
    nx, ny = header["NAXIS1"], header["NAXIS2"]
    return header["CD1_1"] * nx * u.deg, header["CD2_2"] * ny * u.deg


def check_coords_within_image(
    ra: float | Sequence[float], dec: float | Sequence[float], header: fits.Header
) -> np.ndarray:
    """Tell for each position whether it lies within the image.

    Parameters
    ----------
    ra, dec : float or sequence of float, deg
        Positions.
    header : Header
        With a world coordinate system, NAXIS1 and NAXIS2.

    Returns
    -------
    ndarray of bool, one for each position
    """
    nx, ny = header["NAXIS1"], header["NAXIS2"]
    # Far from the image a distortion may have no solution: such a position is not within it.
    x, y = read_wcs(header).all_world2pix(np.atleast_1d(ra), np.atleast_1d(dec), 0, quiet=True)
    return (x >= 0) & (x <= nx) & (y >= 0) & (y <= ny)
