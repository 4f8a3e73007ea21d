"""Pixels that are a generation of the cache."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from mirar_dask.data.cache import CacheError, cache, use_cache
from mirar_dask.data.generations import Owner, link_generation, write_generation
from mirar_dask.data.late import when_there, where_and_how_long
from mirar_dask.data.metering import reading, writing
from mirar_dask.data.pixels.base import Pixels
from mirar_dask.data.reading import fill, open_file


@dataclass(frozen=True, slots=True)
class NpyPixels(Pixels):
    """A generation of the cache: an npy file that never changes.

    As long as the process that wrote it has not pickled or disowned it, the file goes with the
    last reference to this object. Afterwards the cache folder owns it.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    """Bytes before the first pixel."""
    size: int
    """Bytes of the file."""
    _owner: Owner | None = field(default=None, compare=False, repr=False)

    @classmethod
    def publish(cls, array: np.ndarray) -> NpyPixels:
        """Write an array to a new generation, which this process owns."""
        with writing("cache", array.nbytes):
            path, offset, size = write_generation(array)
        return cls(path, array.shape, array.dtype, offset, size, Owner(path))

    def disown(self) -> None:
        """Leave the file to the cache folder."""
        if self._owner is not None:
            self._owner.release()

    def adopt(self) -> NpyPixels:
        """Return these pixels as ours: the file goes with the last reference to the result.

        The folder that the file lies in may be nobody's; so if the result is pickled or disowned,
        the file still goes when this process ends.
        """
        self.disown()
        return replace(self, _owner=Owner(self.path, adopted=True))

    def read(self) -> np.ndarray:
        """Read the file."""
        return self._read(0, self.shape)

    def read_into(self, out: np.ndarray) -> None:
        """Read the file into a contiguous array of its shape and type."""
        self._fill(out, 0)

    def read_rows(self, start: int | None, stop: int | None) -> np.ndarray:
        """Read some rows of the file."""
        return self._read(*self._rows(start, stop))

    def read_rows_into(self, out: np.ndarray, start: int) -> None:
        """Read rows from ``start`` on into an array."""
        self._fill(out, self._rows(start, None)[0])

    @property
    def cache_files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    def view(self) -> np.ndarray:
        """Map the file, read-only; hold the result for a short time only."""
        with reading("cache", self.nbytes), self._open() as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.ndarray(self.shape, self.dtype, buffer=content, offset=self.offset)

    def token(self) -> tuple[Any, ...]:
        """Return path and layout: no other generation has this name."""
        return ("npy", str(self.path), self.shape, self.dtype.str, self.offset, self.size)

    def _read(self, first: int, shape: tuple[int, ...]) -> np.ndarray:
        out = np.empty(shape, self.dtype)
        self._fill(out, first)
        return out

    def _fill(self, out: np.ndarray, first: int) -> None:
        with reading("cache", out.nbytes), self._open() as file:
            file.seek(self.offset + first * self.dtype.itemsize)
            fill(file, out, self.path)

    def _open(self) -> FileIO:
        try:
            file = when_there(self.path, open_file)
        except FileNotFoundError as error:
            raise CacheError(
                f"the cache file {self.path} is not there {where_and_how_long()}: the process "
                "that owned it removed it or has ended, or its folder is not shared with that "
                "host (--cache DIR names one that is)"
            ) from error
        size = os.fstat(file.fileno()).st_size
        if size != self.size:
            file.close()
            raise CacheError(f"the cache file {self.path} has {size} bytes, not {self.size}")
        return file

    def __reduce__(self) -> tuple[Any, ...]:
        path = self.path
        if self._owner is not None and self._owner.is_another_process:
            # Inherited by a fork: the owner may remove its file before this pickle is read.
            path = link_generation(path)
        self.disown()
        # Where the folder goes with this child process, whoever gets the pickle keeps the file.
        keep = cache.ends_early and path.parent == cache.cache_dir
        maker = os.getpid() if keep else None
        return _arrive, (str(path), self.shape, self.dtype, self.offset, self.size, maker)


def _arrive(
    path: str, shape: tuple[int, ...], dtype: np.dtype, offset: int, size: int, maker: int | None
) -> NpyPixels:
    """Make pixels that came in a pickle, and keep their file if it would go with its maker."""
    if maker is not None and maker != os.getpid() and use_cache():
        with suppress(FileNotFoundError):  # reading it will say so
            kept = link_generation(Path(path))
            return NpyPixels(kept, shape, dtype, offset, size, Owner(kept))
    return NpyPixels(Path(path), shape, dtype, offset, size)
