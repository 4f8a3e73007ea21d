"""Counts the pixels that a task reads and writes, and the time that this takes.

What is read and written where is told by the modules that do it; whoever wants to know opens a
meter. Without one, counting costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["raw", "cache", "masters", "products"]
"""What a file is: a frame of the night, an npy file of the cache, or what the night is for."""


@dataclass(slots=True)
class Meter:
    """What was read and written; the meters of several tasks can be added up."""

    read: dict[str, int] = field(default_factory=dict)
    """Bytes of pixels that were read, by the kind of their file."""
    written: dict[str, int] = field(default_factory=dict)
    """Bytes of files that were written, by kind."""
    read_seconds: float = 0.0
    """Time until the pixels that were read were in memory, as floats where files have integers."""
    write_seconds: float = 0.0
    """Time until the system had taken what was written."""

    def add(self, other: Meter) -> None:
        """Take in what another meter counted."""
        for mine, theirs in ((self.read, other.read), (self.written, other.written)):
            for kind, nbytes in theirs.items():
                mine[kind] = mine.get(kind, 0) + nbytes
        self.read_seconds += other.read_seconds
        self.write_seconds += other.write_seconds


_meter: ContextVar[Meter | None] = ContextVar("mirar_dask_meter", default=None)
_kind: ContextVar[Kind | None] = ContextVar("mirar_dask_kind_of_file", default=None)


@contextmanager
def metered() -> Iterator[Meter]:
    """Count what this thread reads and writes inside the ``with`` block."""
    meter = Meter()
    token = _meter.set(meter)
    try:
        yield meter
    finally:
        _meter.reset(token)


@contextmanager
def counted_as(kind: Kind) -> Iterator[None]:
    """Count FITS files that are read or written inside the ``with`` block as of a kind."""
    token = _kind.set(kind)
    try:
        yield
    finally:
        _kind.reset(token)


@contextmanager
def reading(kind: Kind, nbytes: int) -> Iterator[None]:
    """Count what is read inside the ``with`` block, unless it fails."""
    meter = _meter.get()
    if meter is None:
        yield
        return
    start = time.perf_counter()
    yield
    meter.read_seconds += time.perf_counter() - start
    kind = kind if kind == "cache" else _kind.get() or kind
    meter.read[kind] = meter.read.get(kind, 0) + nbytes


@contextmanager
def writing(kind: Kind, nbytes: int) -> Iterator[None]:
    """Count what is written inside the ``with`` block, unless it fails."""
    meter = _meter.get()
    if meter is None:
        yield
        return
    start = time.perf_counter()
    yield
    meter.write_seconds += time.perf_counter() - start
    kind = kind if kind == "cache" else _kind.get() or kind
    meter.written[kind] = meter.written.get(kind, 0) + nbytes
