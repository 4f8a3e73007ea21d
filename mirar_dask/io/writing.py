"""Writes FITS files, each whole or not at all; only `save_fits` touches the header it is given."""

from __future__ import annotations

import bz2
import errno
import gzip
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from astropy.io import fits

from mirar_dask.atomic import replacing, write_error
from mirar_dask.data import Image
from mirar_dask.data.metering import writing
from mirar_dask.data.pixels import FitsPixels, Pixels
from mirar_dask.data.quiet import quietly
from mirar_dask.errors import MirarDaskError
from mirar_dask.io.banded import header_block, own_header, storable, write_pixels
from mirar_dask.io.checks import check_image_has_core_fields
from mirar_dask.io.lazy import open_lazy
from mirar_dask.io.names import header_text
from mirar_dask.io.tiles import create_compressed_fits, restore_floats
from mirar_dask.paths import LATEST_SAVE_KEY

logger = logging.getLogger(__name__)

Measure = Callable[[np.ndarray], Mapping[str, tuple[float, str]]]
"""What is measured of pixels that are being saved: for each header key a value and a comment."""


def create_fits(data: np.ndarray | None, header: fits.Header | None) -> fits.PrimaryHDU:
    """Return a primary HDU with an image and a copy of a header."""
    return fits.PrimaryHDU(data, own_header(header, None if data is None else data.dtype))


def save_hdu_as_fits(
    hdu: fits.PrimaryHDU | fits.CompImageHDU | fits.HDUList,
    path: Path | str,
    overwrite: bool = True,
) -> Path:
    """Write an astropy HDU to a file, after mending what is odd in its header.

    Raises
    ------
    WriteError
        If it cannot be written; what was there before is untouched.
    """
    path = Path(path)
    with _astropy_writes(path, overwrite=overwrite) as temporary:
        hdu.verify("silentfix+exception")
        hdu.writeto(temporary, overwrite=True)
    return path


def save_to_path(
    data: np.ndarray,
    header: fits.Header | None,
    path: Path | str,
    overwrite: bool = True,
    compress: bool = False,
) -> Path:
    """Write an image to a file.

    Parameters
    ----------
    data : ndarray
        Any type that FITS has; booleans become bytes.
    header : Header or None
        Left as it is. The keys that say how the pixels are stored are set by what is written.
    path : Path
        Where to. ``.gz`` and ``.bz2`` compress the file, ``.fz`` the image by tiles.
    overwrite : bool
        Whether a file that is there already may be replaced.
    compress : bool
        Whether to compress the image by tiles, without loss, whatever the name.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    WriteError
        If the disk is full, the folder missing or not writable, or the file exists and may not
        be overwritten; what was there before is untouched.
    InvalidFitsError
        If FITS has no such type, or cannot hold a header card.
    """
    path = Path(path)
    data = storable(data)
    if compress or path.suffix.lower() == ".fz":
        hdu = create_compressed_fits(data, header)
        with (
            writing("products", data.nbytes),
            _astropy_writes(path, overwrite=overwrite) as temporary,
        ):
            hdu.writeto(temporary)
            restore_floats(temporary, header)
        return path
    head = header_block(header, data.shape, data.dtype)
    with (
        writing("products", len(head) + data.nbytes),
        replacing(path, overwrite=overwrite) as temporary,
        _stream(temporary) as file,
    ):
        file.write(head)
        write_pixels(file, data)
    return path


def save_fits(
    image: Image, path: Path | str, compress: bool = False, measure: Measure | None = None
) -> Path:
    """Save an Image, whose header then says where, under SAVEPATH.

    See `save_to_path`. If saving fails, the image is as it was.

    Parameters
    ----------
    measure : callable, optional
        Given the pixels, which it only reads, returns further cards of the header: a value and a
        comment for each key.

    Raises
    ------
    MissingCoreFieldError
        If the image lacks core fields.
    """
    path = Path(path)
    check_image_has_core_fields(image)
    data, header = image.view_data(), image.get_header()
    new: dict[str, Any] = {LATEST_SAVE_KEY: header_text(path)}
    if measure is not None:
        new.update(measure(data))
    before = {key: header.get(key) for key in new}
    header.update(new)
    try:
        logger.debug("Saving to %s", path)
        return save_to_path(data, header, path, compress=compress)
    except BaseException:
        for key, value in before.items():
            if value is None:
                del header[key]
            else:
                header[key] = value
        raise


def saved_pixels(path: Path | str) -> Pixels:
    """Return the pixels of a file that was just saved, so that an image can be backed by it.

    Nothing is read but the header. Only an uncompressed file of the pixels' own type is worth it:
    see `Pixels.rows_readable` and `Pixels.dtype`.
    """
    pixels = open_lazy(path)[0]
    return replace(pixels, made=True) if isinstance(pixels, FitsPixels) else pixels


def save_mef_to_path(
    data_list: Sequence[np.ndarray],
    header_list: Sequence[fits.Header],
    primary_header: fits.Header | None,
    path: Path | str,
) -> Path:
    """Write several images to the extensions of one file; headers are left as they are.

    Raises
    ------
    ValueError
        If there are not as many headers as images.
    WriteError
        As `save_to_path`.
    """
    hdus = [fits.PrimaryHDU(header=own_header(primary_header))]
    for data, header in zip(data_list, header_list, strict=True):
        data = storable(data)
        hdus.append(fits.ImageHDU(data, own_header(header, data.dtype)))
    return save_hdu_as_fits(fits.HDUList(hdus), path)


@contextmanager
def _astropy_writes(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Replace a file with what astropy writes; it checks the free space in words of its own."""
    with replacing(path, overwrite=overwrite) as temporary, quietly():
        try:
            yield temporary
        except MirarDaskError:
            raise
        except OSError as error:
            if error.errno is None and "not enough space" in str(error).lower():
                error.errno = errno.ENOSPC
            raise write_error(path, error) from error


@contextmanager
def _stream(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to write to, through the compression that its name asks for."""
    with path.open("wb", buffering=0) as raw:
        suffix = path.suffix.lower()
        if suffix == ".gz":
            # No name and no time: the same image gives the same bytes.
            with gzip.GzipFile("", "wb", compresslevel=4, fileobj=raw, mtime=0) as file:
                yield file  # type: ignore[misc]
        elif suffix == ".bz2":
            with bz2.BZ2File(raw, "wb") as file:
                yield file
        else:
            yield raw
