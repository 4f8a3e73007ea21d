"""Opens the image in a FITS file without reading its pixels, after a look at whether it is sane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from mirar_dask.data.pixels import FitsFilePixels, FitsPixels, Pixels
from mirar_dask.data.reading import loaded_dtype
from mirar_dask.errors import InvalidFitsError, UsageError
from mirar_dask.io.checks import SeveralImagesError
from mirar_dask.io.hdu import Hdu
from mirar_dask.io.headers import add_primary_keys, describing_header, image_header
from mirar_dask.io.structure import FitsFile

_DISK_DTYPES = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_LARGEST_SCALE = 1e30  # beyond it, pixels are no numbers in 32 bits
_COLOURS = (3, 4)


@dataclass(frozen=True)
class Opened:
    """One image of a file, its pixels not yet read."""

    hdu: Hdu
    pixels: Pixels
    header: fits.Header
    """Describes the pixels as `pixels` gives them, and is the caller's own."""


def open_lazy(
    path: Path | str, hdu: int | None = None, *, dtype: npt.DTypeLike | None = None
) -> tuple[Pixels, fits.Header]:
    """Open an image without reading its pixels.

    Parameters
    ----------
    path : Path
        A FITS file: plain, ``.gz`` or ``.bz2``, tile-compressed (``.fz``); told by its content.
    hdu : int, optional
        Which HDU. By default the primary one if it has an image, else the only one that has. (The
        header of an extension that was not asked for by number also gets the primary header's
        keys, where cameras put what they know.)
    dtype : dtype, optional
        Floating type of the pixels; by default float32, or float64 for integers of 32 bits and
        more and for doubles.

    Returns
    -------
    pixels : Pixels
        `FitsPixels` where the rows lie in the file as they are, else `FitsFilePixels`. NaN where
        an integer image says BLANK.
    header : Header
        Without BZERO, BSCALE, BLANK and checksums.

    Raises
    ------
    InvalidFitsError
        One sentence, if the file is empty, truncated, not FITS, has no image of two axes, is a
        colour image, or may not be read.
    ImageNotFoundError
        If there is no such file.
    SeveralImagesError
        If the primary HDU has no image and several extensions have one.
    """
    opened = open_one(path, hdu, dtype)
    return opened.pixels, opened.header


def open_one(
    path: Path | str, hdu: int | None = None, dtype: npt.DTypeLike | None = None
) -> Opened:
    """Do what `open_lazy` does, and tell which HDU it was."""
    with FitsFile(path) as file:
        if hdu is None:
            return _only_image(file, dtype)
        return _open(file, _numbered(file, hdu), dtype)


def open_extensions_lazy(
    path: Path | str, *, dtype: npt.DTypeLike | None = None
) -> tuple[fits.Header, list[Opened]]:
    """Open every image that a file holds in its extensions, without reading pixels.

    Tables and extensions without data are passed over.

    Returns
    -------
    primary_header : Header
    images : list of Opened
        Empty if no extension holds an image.

    Raises
    ------
    InvalidFitsError
        As `open_lazy`; one bad extension is an error of the file.
    """
    with FitsFile(path) as file:
        hdus = file.hdus()
        primary = image_header(file, next(hdus))
        return primary, [_open(file, hdu, dtype) for hdu in hdus if _holds_image(hdu)]


def _only_image(file: FitsFile, dtype: npt.DTypeLike | None) -> Opened:
    hdus = file.hdus()
    first = next(hdus)
    if _holds_image(first) or first.kind == "groups":
        return _open(file, first, dtype)
    images = [hdu for hdu in hdus if _holds_image(hdu)]
    if not images:
        kinds = [hdu.kind for hdu in file.hdus()]
        has = "only tables" if "table" in kinds else "a header without data"
        if any(kind in ("image", "compressed") for kind in kinds):
            return _open(file, first, dtype)  # names the axis of length 0
        raise file.error(f"holds no image: it has {has}")
    if len(images) > 1:
        raise SeveralImagesError(
            f"{file.path} holds {len(images)} images in its extensions; load it with MEFLoader, "
            "which makes an image of each"
        )
    opened = _open(file, images[0], dtype)
    add_primary_keys(opened.header, image_header(file, first))
    return opened


def _numbered(file: FitsFile, index: int) -> Hdu:
    hdus: Iterator[Hdu] = file.hdus()
    count = 0
    for hdu in hdus:
        if hdu.index == index:
            return hdu
        count += 1
    raise file.error(f"has no HDU {index}: it has {count}")


def _holds_image(hdu: Hdu) -> bool:
    return hdu.kind in ("image", "compressed") and 0 not in hdu.shape and hdu.shape != ()


def _open(file: FitsFile, hdu: Hdu, dtype: npt.DTypeLike | None) -> Opened:
    try:
        shape = _plane(hdu)
        disk = np.dtype(_DISK_DTYPES[hdu.bitpix])
        bscale, bzero = hdu.number("BSCALE", 1.0), hdu.number("BZERO", 0.0)
        if max(abs(bscale), abs(bzero)) > _LARGEST_SCALE:
            raise InvalidFitsError(f"its header says BSCALE={bscale:g} and BZERO={bzero:g}")
        blank = hdu.integer("BLANK") if disk.kind in "iu" and "BLANK" in hdu.values else None
    except InvalidFitsError as error:
        raise file.error(str(error)) from None
    file.check_complete(hdu)
    loaded = loaded_dtype(disk, bscale, bzero) if dtype is None else np.dtype(dtype)
    if loaded.kind != "f" or loaded.itemsize not in (4, 8):
        raise UsageError(f"images are loaded as float32 or float64, not as {loaded}")
    header = describing_header(file, hdu, shape, loaded)
    path = file.path.absolute()
    pixels: Pixels
    if file.compression or hdu.kind == "compressed":
        pixels = FitsFilePixels(
            path,
            hdu=hdu.index,
            shape=shape,
            dtype=loaded,
            size=file.size,
            mtime_ns=file.mtime_ns,
            inode=file.inode,
        )
    else:
        pixels = FitsPixels(
            path,
            offset=hdu.offset,
            shape=shape,
            disk_dtype=disk,
            bscale=bscale,
            bzero=bzero,
            blank=blank,
            dtype=loaded,
            size=file.size,
            mtime_ns=file.mtime_ns,
            inode=file.inode,
        )
    return Opened(hdu, pixels, header)


def _plane(hdu: Hdu) -> tuple[int, int]:
    """Return the shape of a two-dimensional image, or say what it is instead."""
    if hdu.kind not in ("image", "compressed"):
        raise InvalidFitsError(f"holds no image in HDU {hdu.index}, but {_A_KIND[hdu.kind]}")
    shape = hdu.shape
    if 0 in shape:
        raise InvalidFitsError(f"holds an image of shape {shape}, which has no pixels")
    if len(shape) == 3 and (shape[0] in _COLOURS or shape[-1] in _COLOURS) and 1 not in shape:
        raise InvalidFitsError(
            f"is a colour image of shape {shape}: split it into one file for each colour"
        )
    if len(shape) < 2 or any(n != 1 for n in shape[:-2]):
        raise InvalidFitsError(f"holds data of shape {shape}: not an image of two axes")
    return shape[-2], shape[-1]


_A_KIND = {"table": "a table", "groups": "random groups", "empty": "a header without data"}
