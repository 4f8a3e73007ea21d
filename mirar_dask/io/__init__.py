"""Reads and writes FITS files; every part of the package does so through here."""

from mirar_dask.io.checks import (
    ExtensionParsingError,
    MissingCoreFieldError,
    SeveralImagesError,
    check_file_is_complete,
    check_image_has_core_fields,
    why_incomplete,
)
from mirar_dask.io.extensions import (
    combine_mef_extension_file_headers,
    open_mef_fits,
    open_mef_image,
    tag_mef_extension_file_headers,
)
from mirar_dask.io.headers import read_header
from mirar_dask.io.lazy import open_lazy
from mirar_dask.io.names import FITS_SUFFIXES, base_name, is_frame_name, list_frames
from mirar_dask.io.reading import open_compressed_fits, open_fits, open_image, open_raw_image
from mirar_dask.io.tiles import create_compressed_fits
from mirar_dask.io.writing import (
    create_fits,
    save_fits,
    save_hdu_as_fits,
    save_mef_to_path,
    save_to_path,
    saved_pixels,
)

__all__ = [
    "FITS_SUFFIXES",
    "ExtensionParsingError",
    "MissingCoreFieldError",
    "SeveralImagesError",
    "base_name",
    "check_file_is_complete",
    "check_image_has_core_fields",
    "combine_mef_extension_file_headers",
    "create_compressed_fits",
    "create_fits",
    "is_frame_name",
    "list_frames",
    "open_compressed_fits",
    "open_fits",
    "open_image",
    "open_lazy",
    "open_mef_fits",
    "open_mef_image",
    "open_raw_image",
    "read_header",
    "save_fits",
    "save_hdu_as_fits",
    "save_mef_to_path",
    "save_to_path",
    "saved_pixels",
    "tag_mef_extension_file_headers",
    "why_incomplete",
]
