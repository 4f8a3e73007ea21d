"""Plain, time-stamped lines: what a run looks like where there is no terminal to draw in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TextIO

from mirar_dask.engine.events import Event, RecordAdded, RunEnded, RunStarted, TaskLost
from mirar_dask.monitoring.figures import progress_line, resources
from mirar_dask.monitoring.state import FAILURES, RunState, fold
from mirar_dask.monitoring.words import failure_line, night_page, plural
from mirar_dask.processors.base.outcome import Status

SHORTEST, LONGEST = 5.0, 60.0
"""Seconds between two lines of progress: few at the beginning of a run, more later."""
PART = 0.05
"""Part of the time gone so far after which the next line comes."""


class PlainLines:
    """One time-stamped line for the start, each failure, some progress, and the end.

    Parameters
    ----------
    title : str
        What is reduced.
    stream : text stream
        Where the lines go.
    """

    def __init__(self, title: str, stream: TextIO) -> None:
        self.title = title
        self.state = RunState()
        self._plan: Mapping[str, Any] | None = None
        self._stream = stream
        self._began = time.monotonic()
        self._next_line = self._began + SHORTEST

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.flush()

    def note(self, text: str) -> None:
        """Write one line."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        self._stream.write(f"{stamp} {text}\n")
        self._stream.flush()  # whoever follows the file sees the line when it is true

    def phase(self, text: str) -> None:
        """Write nothing: the line at the start of the run says it all."""

    def expect(self, plan: Mapping[str, Any]) -> None:
        """Say how long the rest will take, by this plan."""
        self._plan = plan

    def __call__(self, event: Event) -> None:
        """Write a line if the event is worth one."""
        self.state = fold(self.state, event)
        now = time.monotonic()
        match event:
            case RunStarted():
                where = ""
                if event.dashboard:
                    where = f", night {night_page(event.dashboard)}, dashboard {event.dashboard}"
                workers = plural(event.workers, "worker")
                frames = plural(len(event.frames), "frame")
                self.note(f"{self.title}: {frames}, {workers}{where}")
                self._began, self._next_line = now, now + SHORTEST
            case RecordAdded(record=record) if record.status in FAILURES:
                self.note(failure_line(record))
            case TaskLost():
                again = "it is tried again" if event.will_retry else "it is not tried again"
                self.note(f"lost: {event.label}: {event.reason}; {again}")
            case RunEnded():
                if skipped := event.counts.get(Status.SKIPPED.value):
                    self.note(f"{plural(skipped, 'frame')} done before, by earlier runs")
                self.note(f"{self.title}: ended after {event.seconds:.1f} s")
            case _ if now >= self._next_line:
                pause = min(max(SHORTEST, PART * (now - self._began)), LONGEST)
                self._next_line = now + pause
                parts = (progress_line(self.state, self._plan), resources(self.state))
                self.note(" · ".join(part for part in parts if part))
