"""Bench: what a process keeps for the tasks of a run: steps, folders, unpacked masters."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mirar_dask.data.cache import CachePlace
from mirar_dask.data.metering import counted_as
from mirar_dask.engine.travel import size_of, unpack
from mirar_dask.errors import ProcessorError
from mirar_dask.paths import Roots
from mirar_dask.processors.base_processor import BaseProcessor

CONTEXT_BYTES = 1 << 30
"""Bytes of masters that a worker keeps unpacked."""


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
                with counted_as("masters"):
                    self._kept[name] = (size_of(packed), unpack(packed))
            self._kept.move_to_end(name)
            while len(self._kept) > 1 and sum(n for n, _ in self._kept.values()) > self.budget:
                self._kept.popitem(last=False)
            return self._kept[name][1]


@dataclass
class Bench:
    """What a worker keeps for a run: its steps, folders and memory."""

    steps: Sequence[BaseProcessor]
    roots: Roots
    place: CachePlace | None
    """Where pixels are kept; None to leave it to the process."""
    budget: int
    """Bytes of unpublished pixels that a task may hold."""
    contexts: ContextCache = field(default_factory=lambda: ContextCache(CONTEXT_BYTES))

    def __reduce__(self) -> tuple[Any, ...]:
        return Bench, (self.steps, self.roots, self.place, self.budget)

    def __post_init__(self) -> None:
        for place, step in enumerate(self.steps):
            step.set_preceding_steps(list(self.steps[:place]))


_benches: dict[str, Bench] = {}
"""Of the runs that this process works for."""


def lay_out(run_id: str, bench: Bench) -> None:
    """Get ready for the tasks of a run."""
    _benches[run_id] = bench


def clear_away(run_id: str) -> None:
    """Forget a run."""
    _benches.pop(run_id, None)


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
