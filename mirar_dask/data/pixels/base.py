"""What all kinds of pixels have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np


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

    def read_rows_into(self, out: np.ndarray, start: int) -> None:
        """Read rows from ``start`` on into an array of them, contiguous and of this type."""
        out[...] = self.read_rows(start, start + len(out))

    @property
    def cache_files(self) -> tuple[Path, ...]:
        """Files of the cache without which these pixels cannot be read."""
        return ()

    @property
    def operands(self) -> tuple[Pixels, ...]:
        """Other pixels that have to be in memory when these are read."""
        return ()

    def check(self) -> None:
        """Raise, as reading would, if the file behind the pixels is gone or another one."""
        return

    def disown(self) -> None:
        """Leave the files behind the pixels to the cache folder."""
        return

    @property
    def counts_offset(self) -> int | None:
        """What makes pixels of the integers that `read_counts` gives; None if it gives none."""
        return None

    def read_counts(self, start: int | None, stop: int | None) -> np.ndarray:
        """Return rows ``start:stop`` as 16-bit integers, of either byte order."""
        raise TypeError(f"{type(self).__name__} are not stored as 16-bit integers")

    def view(self) -> np.ndarray:
        """Return the pixels read-only, without a copy where that is possible."""
        return read_only(self.read())

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


def read_only(array: np.ndarray) -> np.ndarray:
    """Return the very array, which can be written to no more."""
    array.flags.writeable = False
    return array
