"""Pixels that are an array in memory, and those that were moved out of an image."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mirar_dask.data.pixels.base import Pixels, read_only


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
        return read_only(self.array.view())

    def token(self) -> tuple[Any, ...]:
        """Return a hash of the pixels."""
        content = np.ascontiguousarray(self.array).reshape(-1).view(np.uint8).data
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        return ("memory", self.shape, self.dtype.str, digest)

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.array.nbytes


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
