"""Pixels that are an image in a FITS file, uncompressed or not."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from astropy.io import fits
from astropy.io.fits import Header

from mirar_dask.data.metering import reading
from mirar_dask.data.pixels.base import Pixels
from mirar_dask.data.quiet import quietly
from mirar_dask.data.reading import (
    Stamp,
    check_unchanged,
    fill,
    loaded_dtype,
    read_scaled,
    unchanged,
)
from mirar_dask.errors import InvalidFitsError

_DISK_TYPES: dict[int, np.dtype] = {
    8: np.dtype("u1"),
    16: np.dtype(">i2"),
    32: np.dtype(">i4"),
    64: np.dtype(">i8"),
    -32: np.dtype(">f4"),
    -64: np.dtype(">f8"),
}
_COUNTS = _DISK_TYPES[16]
_EXACT = 1 << 23
"""Integers of 16 bits with an offset of so much are exact in float32."""


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
    made: bool = field(default=False, compare=False)
    """Whether the run that uses it has made it: another host may see it a little later."""

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

    def read_rows_into(self, out: np.ndarray, start: int) -> None:
        """Read rows from ``start`` on into an array; errors as in `read`."""
        self._fill(out, self._rows(start, None)[0])

    def check(self) -> None:
        """Raise if the file is gone or another one; errors as in `read`."""
        check_unchanged(self.path, self._stamp, made=self.made)

    @property
    def counts_offset(self) -> int | None:
        """BZERO of an image of 16-bit integers without another scale and without BLANK."""
        plain = self.disk_dtype == _COUNTS and self.bscale == 1 and self.blank is None
        exact = float(self.bzero).is_integer() and abs(self.bzero) <= _EXACT
        return int(self.bzero) if plain and exact else None

    def read_counts(self, start: int | None, stop: int | None) -> np.ndarray:
        """Read some rows as they are stored; errors as in `read`."""
        first, shape = self._rows(start, stop)
        out = np.empty(shape, self.disk_dtype)
        with reading("raw", out.nbytes), self._open() as file:
            file.seek(self.offset + first * self.disk_dtype.itemsize)
            fill(file, out, self.path)
        return out

    def token(self) -> tuple[Any, ...]:
        """Return path, layout, scaling and stamp."""
        layout = (self.offset, self.shape, self.disk_dtype.str, self.dtype.str)
        scaling = (self.bscale, self.bzero, self.blank)
        return ("fits", str(self.path), *layout, *scaling, self.size, self.mtime_ns, self.inode)

    def _read(self, first: int, shape: tuple[int, ...]) -> np.ndarray:
        out = np.empty(shape, self.dtype)
        self._fill(out, first)
        return out

    @property
    def _stamp(self) -> Stamp:
        return Stamp(self.size, self.mtime_ns, self.inode)

    def _open(self) -> AbstractContextManager[FileIO]:
        return unchanged(self.path, self._stamp, made=self.made)

    def _fill(self, out: np.ndarray, first: int) -> None:
        nbytes = out.size * self.disk_dtype.itemsize
        with reading("raw", nbytes), self._open() as file:
            file.seek(self.offset + first * self.disk_dtype.itemsize)
            read_scaled(
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
        stamp = Stamp(self.size, self.mtime_ns, self.inode)
        with reading("raw", self.size), unchanged(self.path, stamp):
            data = self._decoded()
        if data.size != math.prod(self.shape):
            raise InvalidFitsError(f"{self.path} holds {data.shape} pixels, not {self.shape}")
        return data.reshape(self.shape)  # a third axis of length 1 is no axis of the image

    def token(self) -> tuple[Any, ...]:
        """Return path, position, type and stamp."""
        layout = (self.hdu, self.shape, self.dtype.str)
        return ("fits file", str(self.path), *layout, self.size, self.mtime_ns, self.inode)

    def _decoded(self) -> np.ndarray:
        try:
            # Not as unsigned integers: a pixel that is BLANK has to become NaN.
            with (
                quietly(),  # about odd cards, which were seen to with the header
                fits.open(self.path, memmap=False, uint=False) as hdus,
            ):
                return np.array(hdus[self.hdu].data, dtype=self.dtype, order="C")
        except MemoryError:
            raise
        except Exception as error:  # decompressors raise errors of many kinds
            raise InvalidFitsError(f"{self.path} cannot be read whole: {error}") from error
