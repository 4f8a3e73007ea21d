"""Packs what a step hands to other tasks: arrays become files, images become handles.

A context may be anything that pickles; arrays and images in it, also inside lists, tuples and
dicts, travel as paths.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mirar_dask.data import Image
from mirar_dask.data.cache import current_place, use_cache
from mirar_dask.data.image_data import ImageHandle
from mirar_dask.data.pixels import NpyPixels
from mirar_dask.engine.types import Mark

ARRAYS_IN_PLACE = 4096
"""Arrays of fewer bytes travel as they are."""


@dataclass(frozen=True, slots=True)
class PackedArray:
    """An array that lies in a cache file."""

    pixels: NpyPixels


def pack(value: Any, files: list[Path]) -> Any:
    """Replace images and arrays by what can travel; the files made are added to `files`."""
    if isinstance(value, Image):
        return pack_image(value, files)
    if isinstance(value, np.ndarray) and value.nbytes >= ARRAYS_IN_PLACE:
        if not use_cache():
            return value
        pixels = NpyPixels.publish(value)
        pixels.disown()
        files.append(pixels.path)
        return PackedArray(pixels)
    if isinstance(value, dict):
        return {key: pack(item, files) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(pack(item, files) for item in value)
    return value


def pack_image(image: Image, files: list[Path], *, computed: bool = False) -> ImageHandle:
    """Publish the pixels of an image and hand them over to the cache folder.

    With ``computed``, pixels that can be computed when they are read are not published.
    """
    handle = image.handle(computed=computed)
    image.disown()
    files.extend(handle.files)
    return handle


def unpack(value: Any) -> Any:
    """Undo `pack`; pixels are read into memory once, and cannot be written to."""
    if isinstance(value, ImageHandle):
        image = value.open()
        image.keep_pixels()
        image.view_data()
        return image
    if isinstance(value, PackedArray):
        return _frozen(value.pixels.read())
    if isinstance(value, dict):
        return {key: unpack(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(unpack(item) for item in value)
    return value


def size_of(value: Any) -> int:
    """Bytes of pixels in a packed value once it is unpacked."""
    if isinstance(value, ImageHandle):
        return int(value.nbytes)
    if isinstance(value, PackedArray):
        return int(value.pixels.nbytes)
    if isinstance(value, dict):
        return sum(size_of(item) for item in value.values())
    if type(value) in (list, tuple):
        return sum(size_of(item) for item in value)
    return 0


def files_of(value: Any) -> list[Path]:
    """Cache files behind a packed value."""
    if isinstance(value, ImageHandle):
        return list(value.files)
    if isinstance(value, PackedArray):
        return [value.pixels.path]
    if isinstance(value, dict):
        return [path for item in value.values() for path in files_of(item)]
    if type(value) in (list, tuple):
        return [path for item in value for path in files_of(item)]
    return []


def marks_of(paths: Iterable[Path]) -> tuple[Mark, ...]:
    """Return the marks of products that were written, each once; cache files are none."""
    place = current_place()
    cache = None if place is None else place.folder
    marks = (Mark.of(path) for path in dict.fromkeys(paths) if path.parent != cache)
    return tuple(mark for mark in marks if mark is not None)


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
