"""Pixels that are computed when they are read: those of a file, changed row by row.

Steps such as the subtraction of a master look at nothing but the same row of image and master. A
chain of them need not be done before somebody wants pixels: then a piece of the file is read, and
goes through all of them while it is in the processor's cache. Bands of a master are combined of
such frames without a copy of any of them.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from mirar_dask.data.metering import counted_as
from mirar_dask.data.pixels.base import Pixels, read_only
from mirar_dask.data.pixels.in_memory import MemoryPixels

PIECE_BYTES = 1 << 20
"""Rows are computed in pieces of about this size, which stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class RowOperation(ABC):
    """Something that is done to each row of an image by itself.

    Subclasses are values: frozen, comparable, picklable.
    """

    operand: Pixels
    """Pixels of the image's shape, of which the same rows are used."""

    @abstractmethod
    def apply(self, rows: np.ndarray, operand: np.ndarray) -> None:
        """Change rows, floats, in place; the rows of the operand are only read."""

    def token(self) -> tuple[Any, ...]:
        """Return what identifies this operation, the same in every process."""
        values = [getattr(self, name) for name in self.__dataclass_fields__ if name != "operand"]
        return (type(self).__qualname__, *values, *self.operand.token())


def change(data: np.ndarray, operations: tuple[RowOperation, ...]) -> None:
    """Do operations to a whole image in memory, piece by piece."""
    _change(data, 0, [(one, one.operand.view()) for one in operations])


@dataclass(frozen=True, slots=True)
class ComputedPixels(Pixels):
    """The pixels of a file, and what is done to them when they are read."""

    base: Pixels
    """Floats in a file of which rows can be read."""
    operations: tuple[RowOperation, ...]

    path: Path | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, pixels: Pixels, operation: RowOperation) -> ComputedPixels:
        """Add an operation to what is done to pixels."""
        if isinstance(pixels, ComputedPixels):
            return cls(pixels.base, (*pixels.operations, operation))
        return cls(pixels, (operation,))

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Shape of the file's pixels."""
        return self.base.shape

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        """Type of the file's pixels."""
        return self.base.dtype

    @property
    def travels(self) -> bool:
        """Whether all that is needed lies in files."""
        return not any(isinstance(one.operand, MemoryPixels) for one in self.operations)

    @property
    def operands(self) -> tuple[Pixels, ...]:
        """Pixels that have to be in memory when these are read."""
        return tuple(one.operand for one in self.operations)

    @property
    def cache_files(self) -> tuple[Path, ...]:
        """Files of the cache without which these pixels cannot be read."""
        parts = (self.base, *self.operands)
        return tuple(path for part in parts for path in part.cache_files)

    def read(self) -> np.ndarray:
        """Read and compute all rows."""
        return self._compute(0, self.shape[0])

    def read_rows(self, start: int | None, stop: int | None) -> np.ndarray:
        """Read and compute some rows."""
        first, last, _ = slice(start, stop).indices(self.shape[0])
        return self._compute(first, max(first, last))

    def check(self) -> None:
        """Raise if the file is not what it was."""
        self.base.check()

    def disown(self) -> None:
        """Leave the files to the cache folder."""
        for part in (self.base, *self.operands):
            part.disown()

    def token(self) -> tuple[Any, ...]:
        """Return what identifies the file and the operations."""
        return ("computed", self.base.token(), *(one.token() for one in self.operations))

    def _compute(self, first: int, last: int) -> np.ndarray:
        out = np.empty((last - first, *self.shape[1:]), self.dtype)
        operations = [(one, one.operand.view()) for one in self.operations]
        step = _rows_of_a_piece(out)
        for start in range(first, last, step):
            rows = out[start - first : start - first + step]
            self.base.read_rows_into(rows, start)
            _change(rows, start, operations)
        return out


def _change(
    data: np.ndarray, first: int, operations: list[tuple[RowOperation, np.ndarray]]
) -> None:
    step = _rows_of_a_piece(data)
    for start in range(0, len(data), step):
        rows = data[start : start + step]
        for operation, operand in operations:
            operation.apply(rows, operand[first + start : first + start + len(rows)])


def _rows_of_a_piece(data: np.ndarray) -> int:
    return max(1, PIECE_BYTES // max(1, data[:1].nbytes))


class KeptPixels(Pixels):
    """Pixels of a file that stay in memory once they were read, for all who use them here.

    They travel as the file. Wherever they arrive, those of one file share one array, which goes
    with the last of them.
    """

    __slots__ = ("__weakref__", "_array", "_lock", "origin")

    def __init__(self, origin: Pixels, array: np.ndarray | None = None) -> None:
        self.origin = origin
        self._array = array
        self._lock = threading.Lock()

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Shape of the file's pixels."""
        return self.origin.shape

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        """Type of the file's pixels."""
        return self.origin.dtype

    @property
    def path(self) -> Path | None:  # type: ignore[override]
        """The file."""
        return self.origin.path

    @property
    def cache_files(self) -> tuple[Path, ...]:
        """The file, if it is one of the cache."""
        return self.origin.cache_files

    def view(self) -> np.ndarray:
        """Return the array in memory, read-only."""
        with self._lock:
            if self._array is None:
                with counted_as("masters"):
                    self._array = read_only(self.origin.read())
            return self._array

    def read(self) -> np.ndarray:
        """Return a copy of the array in memory."""
        return self.view().copy()

    def read_rows(self, start: int | None, stop: int | None) -> np.ndarray:
        """Return a copy of some rows of the array in memory."""
        return self.view()[start:stop].copy()

    def check(self) -> None:
        """Do nothing: the pixels are here, or reading them will tell."""

    def disown(self) -> None:
        """Leave the file to the cache folder."""
        self.origin.disown()

    def token(self) -> tuple[Any, ...]:
        """Return what identifies the file."""
        return self.origin.token()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KeptPixels):
            return NotImplemented
        return self.origin == other.origin

    def __hash__(self) -> int:
        return hash(self.origin)

    def __reduce__(self) -> tuple[Any, ...]:
        return keep, (self.origin,)


_kept: WeakValueDictionary[Pixels, KeptPixels] = WeakValueDictionary()
_kept_lock = threading.Lock()


def keep(pixels: Pixels, array: np.ndarray | None = None) -> Pixels:
    """Return pixels that are read once and then stay in memory; those in memory as they are.

    Parameters
    ----------
    pixels : Pixels
        In a file.
    array : ndarray, optional
        What reading them would give, read-only, where it is at hand.
    """
    if isinstance(pixels, MemoryPixels | KeptPixels):
        return pixels
    with _kept_lock:
        return _kept.setdefault(pixels, KeptPixels(pixels, array))
