"""Opens FITS files: as an array and a header, or as an Image whose pixels are read later."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from mirar_dask.data import Image
from mirar_dask.data.quiet import quietly
from mirar_dask.data.reading import loaded_dtype
from mirar_dask.io.checks import check_image_has_core_fields
from mirar_dask.io.extensions import add_names
from mirar_dask.io.hdu import Hdu
from mirar_dask.io.headers import describe_pixels
from mirar_dask.io.lazy import Opened, open_lazy, open_one


def open_fits(path: Path | str) -> tuple[np.ndarray, fits.Header]:
    """Read the image of a file.

    Parameters
    ----------
    path : Path
        A FITS file with one image, in the primary HDU or an extension, compressed or not.

    Returns
    -------
    data : ndarray, shape (ny, nx)
        Of the file's own type in native byte order: unsigned integers stay integers, scaled ones
        become floats. The array is the caller's own.
    header : Header
        With BASENAME and RAWPATH.

    Raises
    ------
    InvalidFitsError, ImageNotFoundError, SeveralImagesError
        See `open_lazy`.
    """
    opened = open_one(path)
    data, header = _of_own_type(opened), opened.header
    describe_pixels(header, data.shape, data.dtype)
    add_names(header, path)
    return data, header


def _of_own_type(opened: Opened) -> np.ndarray:
    """Read the pixels, as integers where the file holds integers that are all defined."""
    own = _integer_type(opened.hdu)
    if own is None:
        return opened.pixels.read()
    if own.itemsize <= 4:
        pixels = opened.pixels.read()
        if not np.isfinite(pixels).all():  # tiles have more ways to say that pixels are undefined
            return pixels
        return pixels.astype(own)  # exact: loaded as a float that holds them all
    assert opened.pixels.path is not None
    with quietly(), fits.open(opened.pixels.path, memmap=False) as hdus:
        return np.array(hdus[opened.hdu.index].data, own).reshape(opened.pixels.shape)


def _integer_type(hdu: Hdu) -> np.dtype | None:
    bits = hdu.bitpix
    if bits < 0 or "BLANK" in hdu.values or hdu.number("BSCALE", 1.0) != 1:
        return None
    signed = bits != 8  # FITS stores unsigned bytes, and else signed integers
    offsets = {0.0: signed, (2.0 ** (bits - 1) if signed else -128.0): not signed}
    kind = offsets.get(hdu.number("BZERO", 0.0))
    return None if kind is None else np.dtype(f"{'i' if kind else 'u'}{bits // 8}")


def open_compressed_fits(path: Path | str) -> tuple[np.ndarray, fits.Header]:
    """Read the one image that a file holds in its extensions.

    Raises
    ------
    InvalidFitsError
        If no extension has an image.
    SeveralImagesError
        If more than one has.
    """
    return open_fits(path)


def open_image(path: Path | str, *, dtype: npt.DTypeLike | None = None) -> Image:
    """Open an Image whose pixels stay in its file until they are used.

    BASENAME and RAWPATH are filled in where absent; nothing else is asked of the header. See
    `open_lazy` for what may be opened and what is raised.
    """
    pixels, header = open_lazy(path, dtype=dtype)
    add_names(header, path)
    return Image(pixels, header)


def open_raw_image(
    path: Path | str,
    open_f: Callable[[Path], tuple[np.ndarray, fits.Header]] = open_fits,
    *,
    dtype: npt.DTypeLike | None = None,
) -> Image:
    """Open a raw frame as an Image that has all core fields.

    Parameters
    ----------
    path : Path
        The frame.
    open_f : callable
        Reads the file into an array and a header with all core fields. With the default no pixel
        is read: the image is backed by the file.
    dtype : dtype, optional
        Floating type of the pixels; by default float32, or float64 for integers of 32 bits and
        more and for doubles.

    Raises
    ------
    MissingCoreFieldError
        Names all missing keys.
    InvalidFitsError, ImageNotFoundError, SeveralImagesError
        See `open_lazy`.
    """
    path = Path(path)
    if open_f is open_fits:
        image = open_image(path, dtype=dtype)
    else:
        data, header = open_f(path)
        wanted = loaded_dtype(data.dtype) if dtype is None else np.dtype(dtype)
        add_names(header, path)
        image = Image(data.astype(wanted), header)
    check_image_has_core_fields(image)
    return image
