"""The kinds of backing that an image's pixels can have; none of them ever changes.

:class:`MemoryPixels` is an array, :class:`NpyPixels` a generation of the cache,
:class:`FitsPixels` a region of a FITS file, :class:`FitsFilePixels` a FITS image that can only be
read whole. All but the first travel to another process as a path.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import sys
import zlib
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from astropy.io import fits
from astropy.io.fits import Header

from mirar_dask.data.cache import CacheError, cache, use_cache
from mirar_dask.data.generations import Owner, link_generation, write_generation
from mirar_dask.data.reading import Stamp, fill, loaded_dtype, read_scaled, unchanged
from mirar_dask.errors import InvalidFitsError


class Pixels(ABC):
    """Pixels that can be read, as a whole or by rows, and that never change.

    Safe to share between images, threads and processes.
    """

    __slots__ = ()

    shape: tuple[int, ...]
    """As numpy gives it: (ny, nx)."""
    dtype: np.dtype
    """Type of the arrays that are read from here."""
    path: Path | None
    """The file behind the pixels, if there is one."""
    rows_readable: ClassVar[bool] = True
    """Whether rows can be read without reading everything."""

    @property
    def nbytes(self) -> int:
        """Bytes of the array that `read` gives."""
        return math.prod(self.shape) * self.dtype.itemsize

    @abstractmethod
    def read(self) -> np.ndarray:
        """Return a new array, C-contiguous, that the caller owns."""

    def read_rows(self, start: int | None, stop: int | None) -> np.ndarray:
        """Return rows ``start:stop`` of the first axis (as a slice takes them) as a new array."""
        return self.read()[start:stop].copy()

    def view(self) -> np.ndarray:
        """Return the pixels read-only, without a copy where that is possible."""
        return _read_only(self.read())

    @abstractmethod
    def token(self) -> tuple[Any, ...]:
        """Return what identifies these pixels, the same in every process."""

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return self.token()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def _rows(self, start: int | None, stop: int | None) -> tuple[int, tuple[int, ...]]:
        """Return the first row's position in pixels and the shape of the rows."""
        first, last, _ = slice(start, stop).indices(self.shape[0])
        rest = self.shape[1:]
        return first * math.prod(rest), (max(last - first, 0), *rest)


@dataclass(frozen=True, slots=True, eq=False)
class MemoryPixels(Pixels):
    """An array in memory, which nobody but this object holds; it travels by value."""

    array: np.ndarray

    path: Path | None = field(default=None, init=False, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Shape of the array."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        """Type of the array."""
        return self.array.dtype

    def read(self) -> np.ndarray:
        """Return a copy."""
        return self.array.copy(order="C")

    def read_rows(self, start: int | None, stop: int | None) -> np.ndarray:
        """Return a copy of some rows."""
        return self.array[start:stop].copy(order="C")

    def view(self) -> np.ndarray:
        """Return the array itself, read-only."""
        return _read_only(self.array.view())

    def token(self) -> tuple[Any, ...]:
        """Return a hash of the pixels."""
        content = np.ascontiguousarray(self.array).reshape(-1).view(np.uint8).data
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        return ("memory", self.shape, self.dtype.str, digest)

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.array.nbytes


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
        path, offset, size = write_generation(array)
        return cls(path, array.shape, array.dtype, offset, size, Owner(path))

    def disown(self) -> None:
        """Leave the file to the cache folder."""
        if self._owner is not None:
            self._owner.release()

    def adopt(self) -> NpyPixels:
        """Return these pixels as ours: the file goes with the last reference to the result."""
        return replace(self, _owner=Owner(self.path))

    def read(self) -> np.ndarray:
        """Read the file."""
        return self._read(0, self.shape)

    def read_rows(self, start: int | None, stop: int | None) -> np.ndarray:
        """Read some rows of the file."""
        return self._read(*self._rows(start, stop))

    def view(self) -> np.ndarray:
        """Map the file, read-only; hold the result for a short time only."""
        with self._open() as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.ndarray(self.shape, self.dtype, buffer=content, offset=self.offset)

    def token(self) -> tuple[Any, ...]:
        """Return path and layout: no other generation has this name."""
        return ("npy", str(self.path), self.shape, self.dtype.str, self.offset, self.size)

    def _read(self, first: int, shape: tuple[int, ...]) -> np.ndarray:
        out = np.empty(shape, self.dtype)
        with self._open() as file:
            file.seek(self.offset + first * self.dtype.itemsize)
            fill(file, out, self.path)
        return out

    def _open(self) -> FileIO:
        try:
            file = self.path.open("rb", buffering=0)
        except FileNotFoundError as error:
            raise CacheError(
                f"the cache file {self.path} is gone: the process that owned it removed it"
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


@dataclass(frozen=True, slots=True)
class FitsPixels(Pixels):
    """An image in an uncompressed FITS file, read and scaled by rows when it is asked for."""

    path: Path
    offset: int
    """Bytes before the first pixel."""
    shape: tuple[int, ...]
    disk_dtype: np.dtype
    """Type in the file, big-endian."""
    bscale: float
    bzero: float
    blank: int | None
    """Value of an integer pixel that is undefined (becomes NaN)."""
    dtype: np.dtype
    """Floating type in which the pixels are given."""
    size: int
    """Bytes of the file when its header was read; the next two fields are of then too."""
    mtime_ns: int
    inode: int

    @classmethod
    def of(
        cls, path: Path, header: Header, offset: int, *, dtype: np.dtype | None = None
    ) -> FitsPixels:
        """Describe the image behind a header that was just read from a file.

        Parameters
        ----------
        header : Header
            With BITPIX, NAXISn, and BSCALE, BZERO and BLANK where they apply.
        offset : int
            Bytes of the file before the first pixel.
        dtype : floating dtype, optional
            Type to give; by default what `loaded_dtype` says.
        """
        disk = _DISK_TYPES[header["BITPIX"]]
        shape = tuple(header[f"NAXIS{axis}"] for axis in range(header["NAXIS"], 0, -1))
        bscale, bzero = header.get("BSCALE", 1), header.get("BZERO", 0)
        blank = header.get("BLANK") if disk.kind in "iu" else None
        given = np.dtype(dtype) if dtype is not None else loaded_dtype(disk, bscale, bzero)
        return cls(
            Path(path), offset, shape, disk, bscale, bzero, blank, given, *Stamp.of(Path(path))
        )

    def read(self) -> np.ndarray:
        """Read the image.

        Raises
        ------
        FileChangedError
            If the file is gone or another one.
        InvalidFitsError
            If it ends too early.
        """
        return self._read(0, self.shape)

    def read_rows(self, start: int | None, stop: int | None) -> np.ndarray:
        """Read some rows of the image; errors as in `read`."""
        return self._read(*self._rows(start, stop))

    def token(self) -> tuple[Any, ...]:
        """Return path, layout, scaling and stamp."""
        layout = (self.offset, self.shape, self.disk_dtype.str, self.dtype.str)
        scaling = (self.bscale, self.bzero, self.blank)
        return ("fits", str(self.path), *layout, *scaling, self.size, self.mtime_ns, self.inode)

    def _read(self, first: int, shape: tuple[int, ...]) -> np.ndarray:
        out = np.empty(shape, self.dtype)
        with unchanged(self.path, Stamp(self.size, self.mtime_ns, self.inode)) as file:
            file.seek(self.offset + first * self.disk_dtype.itemsize)
            return read_scaled(
                file,
                out,
                self.path,
                disk_dtype=self.disk_dtype,
                bscale=self.bscale,
                bzero=self.bzero,
                blank=self.blank,
            )


@dataclass(frozen=True, slots=True)
class FitsFilePixels(Pixels):
    """An image in a compressed FITS file (.gz, .bz2, tiles), which is always read whole."""

    path: Path
    hdu: int
    """Position of the image in the file, from 0."""
    shape: tuple[int, ...]
    dtype: np.dtype
    """Floating type in which the pixels are given."""
    size: int
    """Bytes of the file when its header was read; the next two fields are of then too."""
    mtime_ns: int
    inode: int

    rows_readable: ClassVar[bool] = False

    def read(self) -> np.ndarray:
        """Read the image; errors as in `FitsPixels.read`."""
        with unchanged(self.path, Stamp(self.size, self.mtime_ns, self.inode)):
            try:
                # Not as unsigned integers: a pixel that is BLANK has to become NaN.
                with fits.open(self.path, memmap=False, uint=False) as hdus:
                    data = hdus[self.hdu].data
                    return np.array(data, dtype=self.dtype, order="C")
            except (OSError, EOFError, ValueError, TypeError, IndexError, zlib.error) as error:
                raise InvalidFitsError(f"{self.path} cannot be read whole: {error}") from error

    def token(self) -> tuple[Any, ...]:
        """Return path, position, type and stamp."""
        layout = (self.hdu, self.shape, self.dtype.str)
        return ("fits file", str(self.path), *layout, self.size, self.mtime_ns, self.inode)


@dataclass(frozen=True, slots=True)
class MovedPixels(Pixels):
    """What an image has after its pixels were moved out and before it was given new ones."""

    shape: tuple[int, ...]
    dtype: np.dtype

    path: Path | None = field(default=None, init=False, repr=False)

    def read(self) -> np.ndarray:
        """Raise: there are none."""
        raise RuntimeError(
            "the pixels of this image were taken by take_data(); give it new ones by give_data() "
            "or set_data() before they are read"
        )

    def token(self) -> tuple[Any, ...]:
        """Raise: there are none."""
        self.read()
        return ()

    def __reduce__(self) -> Any:
        self.read()


_DISK_TYPES: dict[int, np.dtype] = {
    8: np.dtype("u1"),
    16: np.dtype(">i2"),
    32: np.dtype(">i4"),
    64: np.dtype(">i8"),
    -32: np.dtype(">f4"),
    -64: np.dtype(">f8"),
}


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def is_sole_holder(image: Any) -> bool:
    """Tell whether the pixels that an image keeps in memory may be changed in place.

    They may if only this image refers to them: copies and handles share the pixels, and views
    that somebody still holds refer to the array. Python's count of references knows them all;
    what it says for pixels that nothing else holds differs between versions of Python, so it is
    taken from an example.
    """
    if isinstance(image._pixels, MemoryPixels):
        holders, arrays = _references(image)
        sole = holders <= _SOLE[0] and arrays <= _SOLE[1]
        return sole and bool(image._pixels.array.flags.writeable)
    return _references_of_loaded(image) <= _SOLE_LOADED


def _references(image: Any) -> tuple[int, int]:
    return sys.getrefcount(image._pixels), sys.getrefcount(image._pixels.array)


def _references_of_loaded(image: Any) -> int:
    return sys.getrefcount(image._loaded)


class _Example:
    def __init__(self) -> None:
        self._pixels = MemoryPixels(np.empty(1))
        self._loaded = np.empty(1)


_SOLE = _references(_Example())
_SOLE_LOADED = _references_of_loaded(_Example())
