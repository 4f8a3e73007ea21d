"""Files of several extensions, each an image of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

from mirar_dask.data import Image
from mirar_dask.data.header_edits import put_texts
from mirar_dask.data.pixels import Pixels
from mirar_dask.data.reading import loaded_dtype
from mirar_dask.io.checks import ExtensionParsingError, check_image_has_core_fields
from mirar_dask.io.headers import add_primary_keys
from mirar_dask.io.lazy import open_extensions_lazy, open_lazy
from mirar_dask.io.names import base_name, extension_name, header_text
from mirar_dask.paths import BASE_NAME_KEY, RAW_IMG_KEY

MefContent = tuple[fits.Header, list[np.ndarray], list[fits.Header]]


def open_mef_fits(path: Path | str) -> MefContent:
    """Read every image of a file's extensions.

    Returns
    -------
    primary_header : Header
        With BASENAME and RAWPATH.
    data : list of ndarray, float32 or float64
        Tables and extensions without data are passed over.
    headers : list of Header
    """
    primary, images = open_extensions_lazy(path)
    add_names(primary, path)
    return primary, [x.pixels.read() for x in images], [x.header for x in images]


def add_names(header: fits.Header, path: Path | str) -> None:
    """Fill BASENAME and RAWPATH in where they are absent."""
    names = {BASE_NAME_KEY: header_text(base_name(path)), RAW_IMG_KEY: header_text(path)}
    put_texts(header, {key: name for key, name in names.items() if key not in header})


def combine_mef_extension_file_headers(
    primary_header: fits.Header, extension_header: fits.Header
) -> fits.Header:
    """Return an extension's header with the primary header's keys that it lacks."""
    combined = extension_header.copy()
    add_primary_keys(combined, primary_header)
    return combined


def tag_mef_extension_file_headers(
    primary_header: fits.Header,
    extension_headers: Sequence[fits.Header],
    extension_key: str | None = None,
) -> list[fits.Header]:
    """Combine each extension's header with the primary one, and give each its own BASENAME.

    Parameters
    ----------
    primary_header : Header
        With BASENAME.
    extension_headers : list of Header
    extension_key : str, optional
        The key whose value tells the extensions apart; by default their position, from 0.

    Raises
    ------
    ExtensionParsingError
        If an extension lacks the key, or two have the same value.
    """
    labels = [str(i) for i in range(len(extension_headers))]
    return _tag(primary_header, extension_headers, labels, extension_key)


def _tag(
    primary_header: fits.Header,
    extension_headers: Sequence[fits.Header],
    positions: Sequence[str],
    extension_key: str | None,
) -> list[fits.Header]:
    name = str(primary_header[BASE_NAME_KEY])
    if extension_key is None:
        labels = list(positions)
    else:
        lacking = [
            i
            for i, header in zip(positions, extension_headers, strict=True)
            if extension_key not in header
        ]
        if lacking:
            raise ExtensionParsingError(
                f"{name}: extensions {', '.join(lacking)} lack the key {extension_key!r} that "
                "tells them apart"
            )
        labels = [str(header[extension_key]) for header in extension_headers]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ExtensionParsingError(
            f"{name}: several extensions are named {', '.join(twice)}; choose an extension key "
            "whose values differ"
        )
    tagged = []
    for header, label in zip(extension_headers, labels, strict=True):
        combined = combine_mef_extension_file_headers(primary_header, header)
        combined[BASE_NAME_KEY] = extension_name(name, label)
        tagged.append(combined)
    return tagged


def open_mef_image(
    path: Path | str,
    open_f: Callable[[Path], MefContent] = open_mef_fits,
    extension_key: str | None = None,
) -> list[Image]:
    """Open each extension of a file as an image of its own.

    Parameters
    ----------
    path : Path
        A FITS file. One without image extensions gives the image of its primary HDU.
    open_f : callable
        Reads the file into primary header, arrays and headers; by default the images are backed
        by the file and no pixel is read.
    extension_key : str, optional
        See `tag_mef_extension_file_headers`.

    Returns
    -------
    list of Image
        Named ``<stem>_<extension>.fits``; the position of an extension counts from 0 and does
        not change with tables between the images.

    Raises
    ------
    ExtensionParsingError
        If two extensions would get one name.
    MissingCoreFieldError
        If one lacks core fields.
    """
    path = Path(path)
    if open_f is open_mef_fits:
        images = _open_lazily(path, extension_key)
    else:
        primary, arrays, headers = open_f(path)
        tagged = tag_mef_extension_file_headers(primary, headers, extension_key)
        images = [
            Image(array.astype(loaded_dtype(array.dtype)), header)
            for array, header in zip(arrays, tagged, strict=True)
        ]
    for image in images:
        check_image_has_core_fields(image)
    names = [image.get_name() for image in images]
    if len(set(names)) != len(names):
        raise ExtensionParsingError(f"{path}: two extensions have one name, of {names}")
    return images


def _open_lazily(path: Path, extension_key: str | None) -> list[Image]:
    primary, opened = open_extensions_lazy(path)
    if not opened:
        pixels, header = open_lazy(path)
        add_names(header, path)
        return [Image(pixels, header)]
    add_names(primary, path)
    positions = [str(x.hdu.index - 1) for x in opened]
    tagged = _tag(primary, [x.header for x in opened], positions, extension_key)
    backings: list[Pixels] = [x.pixels for x in opened]
    return [Image(pixels, header) for pixels, header in zip(backings, tagged, strict=True)]
