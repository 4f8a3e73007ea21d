"""Stopwatch: how long each step took in one task."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from mirar_dask.engine.types import StepTime


class Stopwatch:
    """Adds up the seconds of each step."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._n: dict[int, int] = {}

    @contextmanager
    def timing(self, step: int, n: int) -> Iterator[None]:
        """Count what is done inside as the work of a step on ``n`` blocks."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(step, time.perf_counter() - start, n)

    def add(self, step: int, seconds: float, n: int) -> None:
        """Add seconds that a step took for ``n`` blocks."""
        self._seconds[step] = self._seconds.get(step, 0.0) + seconds
        self._n[step] = self._n.get(step, 0) + n

    def times(self) -> tuple[StepTime, ...]:
        """Return the sums, in the order in which the steps were first met."""
        return tuple(StepTime(step, s, self._n[step]) for step, s in self._seconds.items())
