"""Bench: what a process keeps for the tasks of a run: steps, folders, unpacked masters."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mirar_dask.data.cache import CachePlace
from mirar_dask.data.metering import counted_as
from mirar_dask.engine.pack import Pack
from mirar_dask.engine.travel import size_of, unpack
from mirar_dask.errors import ProcessorError
from mirar_dask.paths import Roots
from mirar_dask.processors.base_processor import BaseProcessor

CONTEXT_BYTES = 1 << 30
"""Bytes of masters that a worker without a limit keeps unpacked."""


class ContextCache:
    """The contexts that tasks of a worker used last, unpacked; safe across threads.

    Parameters
    ----------
    budget : int
        Bytes of pixels to keep; the one in use is kept whatever its size.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[int, Any]] = OrderedDict()

    def get(self, name: str, packed: Any) -> Any:
        """Return a context, unpacking it the first time."""
        with self._lock:
            if name not in self._kept:
                nbytes = size_of(packed)
                self._shrink(self.budget - nbytes)
                with counted_as("masters"):
                    self._kept[name] = (nbytes, unpack(packed))
            self._kept.move_to_end(name)
            return self._kept[name][1]

    def put(self, name: str, packed: Any, unpacked: Any) -> None:
        """Keep a context that was made here, so that it need not be read again."""
        with self._lock:
            nbytes = size_of(packed)
            self._shrink(self.budget - nbytes)
            self._kept[name] = (nbytes, unpacked)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the contexts that are kept, the one used last at the end."""
        return tuple(self._kept)

    def make_room(self, nbytes: int, wanted: Collection[str] = ()) -> None:
        """Keep so many bytes at most of contexts that nobody wants now, those used last."""
        with self._lock:
            self._shrink(nbytes, wanted)

    def _shrink(self, nbytes: int, wanted: Collection[str] = ()) -> None:
        others = [name for name in self._kept if name not in wanted]  # the oldest first
        held = sum(self._kept[name][0] for name in others)
        for name in others:
            if held <= nbytes:
                break
            held -= self._kept.pop(name)[0]


@dataclass
class Bench:
    """What a worker keeps for a run: its steps, folders and memory."""

    steps: Sequence[BaseProcessor]
    roots: Roots
    place: CachePlace | None
    """Where pixels are kept; None to leave it to the process."""
    budget: int
    """Bytes of pixels that the images of a task may hold together."""
    memory: int = 0
    """Bytes that a task and the masters kept from others may fill; 0 where there is no limit."""
    contexts: ContextCache = field(init=False)
    last_pending: tuple[Any, np.ndarray] | None = field(default=None, init=False)
    """Pixels that were made again last, and what they are."""
    last_band: tuple[Path, np.ndarray] | None = field(default=None, init=False)
    """Band of a master that was made last, and its file: who joins it here need not read it."""

    packs: dict[int, Pack] = field(default_factory=dict, init=False)
    """Of the tasks under way, by their numbers."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Bench, (self.steps, self.roots, self.place, self.budget, self.memory)

    def make_room(self, nbytes: int, contexts: Collection[str] = ()) -> None:
        """Let go of masters where a task needs the memory, but for those that it uses."""
        if self.memory:
            self.contexts.make_room(max(0, self.memory - nbytes), contexts)

    def __post_init__(self) -> None:
        self.contexts = ContextCache(self.memory // 2 or CONTEXT_BYTES)
        for place, step in enumerate(self.steps):
            step.set_preceding_steps(list(self.steps[:place]))


_current: ContextVar[Bench | None] = ContextVar("mirar_dask_bench", default=None)


@contextmanager
def use_bench(bench: Bench) -> Iterator[None]:
    """Let pixels that are made when they are read be made by the steps of a run."""
    token = _current.set(bench)
    try:
        yield
    finally:
        _current.reset(token)


def current_bench() -> Bench:
    """Return the bench at which this thread works.

    Raises
    ------
    ProcessorError
        If it does no task of a run.
    """
    bench = _current.get()
    if bench is None:
        raise ProcessorError("these pixels can be read in a task of their run only")
    return bench


_benches: dict[str, Bench] = {}
"""Of the runs that this process works for."""


def lay_out(run_id: str, bench: Bench) -> None:
    """Get ready for the tasks of a run."""
    _benches[run_id] = bench


def clear_away(run_id: str) -> None:
    """Forget a run."""
    _benches.pop(run_id, None)


def give_back(run_id: str, numbers: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Take half of the images that these tasks have not begun from them; what the driver asks for.

    Returns
    -------
    dict
        Positions of the images by number of the task, for those that are done by this process.
    """
    bench = _benches.get(run_id)
    packs = {} if bench is None else bench.packs  # without a bench the run is over
    return {n: pack.give_back(0.5) for n in numbers if (pack := packs.get(n)) is not None}


def find_bench(run_id: str) -> Bench:
    """Return what `lay_out` prepared in this process.

    Raises
    ------
    ProcessorError
        If this process was never prepared: its plugin is missing.
    """
    bench = _benches.get(run_id)
    if bench is None:
        raise ProcessorError(f"worker {os.getpid()} knows no run '{run_id}'")
    return bench
