"""Cutouts as bytes, coordinates, regions files and plots."""

from mirar_dask.data.utils.compress import decode_img, encode_img
from mirar_dask.data.utils.coords import (
    check_coords_within_image,
    get_corners_ra_dec_from_header,
    get_image_center_wcs_coords,
    get_image_dims_from_header,
    get_xy_from_wcs,
    write_regions_file,
)
from mirar_dask.data.utils.plot_image import plot_fits_image

__all__ = [
    "check_coords_within_image",
    "decode_img",
    "encode_img",
    "get_corners_ra_dec_from_header",
    "get_image_center_wcs_coords",
    "get_image_dims_from_header",
    "get_xy_from_wcs",
    "plot_fits_image",
    "write_regions_file",
]
