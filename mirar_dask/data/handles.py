"""Blocks without their pixels: what travels between processes and what a plan looks at.

A handle is a value: it never changes, equal handles mean equal blocks, and each ``open`` gives a
new block with a header of its own.
"""

from __future__ import annotations

import copy
import hashlib
import marshal
import pickle
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mirar_dask.data.headers import TravellingHeader
from mirar_dask.data.pixels import Pixels
from mirar_dask.paths import BASE_NAME_KEY, RAW_IMG_KEY

if TYPE_CHECKING:
    import pandas as pd

    from mirar_dask.data.image_data import Image
    from mirar_dask.data.source_data import SourceTable


@dataclass(frozen=True, slots=True)
class ImageHandle:
    """An image's header, and where its pixels lie."""

    header: TravellingHeader
    pixels: Pixels
    image_type: type[Image] | None = field(default=None, repr=False)
    """Class of the image, if it is not `Image` itself."""
    extras: dict[str, Any] | None = field(default=None, repr=False, hash=False)
    """Attributes that somebody added to the image."""

    def open(self) -> Image:
        """Return a new image with a header of its own; no pixel is read."""
        from mirar_dask.data.image_data import Image

        return (self.image_type or Image).from_handle(self)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of one header key; the others are not parsed."""
        return self.header.get(key, default)

    def with_header(self, header: TravellingHeader) -> ImageHandle:
        """Return a handle of the same pixels under another header."""
        return ImageHandle(header, self.pixels, self.image_type, self.extras)

    @property
    def name(self) -> str:
        """The image's ``BASENAME``."""
        return str(self.header.get(BASE_NAME_KEY))

    @property
    def names(self) -> list[str]:
        """Base names of the raw files behind the image."""
        return _names(self.header.get(RAW_IMG_KEY))

    @property
    def files(self) -> tuple[Path, ...]:
        """Cache files behind the image."""
        return self.pixels.cache_files

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the pixels: (ny, nx)."""
        return self.pixels.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels."""
        return self.pixels.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels once they are read."""
        return self.pixels.nbytes

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + sys.getsizeof(self.header) + sys.getsizeof(self.pixels)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return ("mirar_dask.image", self.header.token, self.pixels.token())


@dataclass(frozen=True, slots=True, eq=False)
class SourceHandle:
    """A table of sources as it was when the handle was made."""

    table: pd.DataFrame = field(repr=False)
    metadata: dict[str, Any]
    source_type: type[SourceTable] | None = field(default=None, repr=False)
    """Class of the table, if it is not `SourceTable` itself."""

    files: tuple[Path, ...] = ()
    """Tables have no cache files."""

    def open(self) -> SourceTable:
        """Return a new table with metadata of its own."""
        from mirar_dask.data.source_data import SourceTable

        made = self.source_type or SourceTable
        return made(self.table.copy(), copy.deepcopy(self.metadata))

    def get(self, key: str, default: Any = None) -> Any:
        """Return one value of the metadata."""
        return self.metadata.get(key, default)

    @property
    def name(self) -> str:
        """The table's ``BASENAME``."""
        return str(self.metadata.get(BASE_NAME_KEY))

    @property
    def names(self) -> list[str]:
        """Base names of the raw files behind the table."""
        return _names(self.metadata.get(RAW_IMG_KEY))

    @property
    def nbytes(self) -> int:
        """Bytes of the table in memory."""
        return int(self.table.memory_usage(deep=True).sum())

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.nbytes + sys.getsizeof(self.metadata)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return ("mirar_dask.sources", hash_of(self.metadata), hash_of_table(self.table))


def _names(raw_paths: Any) -> list[str]:
    return [Path(path).name for path in str(raw_paths).split(",")]


def hash_of(value: Any) -> str:
    """Return a hash of plain values, the same in every process."""
    try:
        content = marshal.dumps(value, 2)
    except ValueError:
        content = pickle.dumps(value, protocol=5)
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def hash_of_table(table: pd.DataFrame) -> str:
    """Return a hash of a table's columns, index and values, the same in every process."""
    digest = hashlib.blake2b(digest_size=16)
    columns: list[tuple[Any, Any]] = [("", table.index), *table.items()]
    for name, values in columns:
        array = values.to_numpy()
        digest.update(repr((name, values.dtype)).encode())
        if array.dtype.hasobject:
            for value in array:
                digest.update(hash_of(value).encode())
        else:
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()
