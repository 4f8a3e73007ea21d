"""What a run that watches tells of its small runs: each thing that happens once.

`Follower` has it between the engine and the run's listeners; the run's summary is made of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from mirar_dask.engine.events import Event, Listener, RecordAdded, TaskFinished
from mirar_dask.execution import Progress
from mirar_dask.monitoring.state import FAILURES
from mirar_dask.processors.base.outcome import Record, Status, error_stack

GOOD = (Status.SUCCEEDED, Status.CAVEATS, Status.SKIPPED)
"""What became of frames whose products are there."""


class Hearing:
    """Passes events on, and keeps in a run's progress what they tell.

    Parameters
    ----------
    listeners : iterable of callables
        To whom they are passed on.
    progress : Progress
        Of the run.
    """

    def __init__(self, listeners: Iterable[Listener], progress: Progress) -> None:
        self.listeners, self.progress = tuple(listeners), progress
        self._finished: dict[str, float] = {}
        self._said: set[tuple[object, ...]] = set()

    def __call__(self, event: Event) -> None:
        """Pass an event on, unless it was told before; that a frame waits is no failure."""
        if isinstance(event, RecordAdded):
            record = event.record
            key = (record.names, record.status, record.step, record.reason)
            if record.status is Status.BLOCKED or key in self._said:
                return
            self._said.add(key)
            self.progress.records.append(record)
        elif isinstance(event, TaskFinished):
            self._finished.update(dict.fromkeys(event.names, event.time))
        for listener in self.listeners:
            listener(event)

    def tell(self, records: Iterable[Record]) -> None:
        """Tell what happened outside the small runs."""
        for record in records:
            self(RecordAdded(record, time.time()))

    def fail(self, record: Record) -> None:
        """Tell that frames have failed outside the small runs."""
        self.tell([record])
        self.progress.errors += error_stack([record])
        self.progress.frames.update(dict.fromkeys(record.names, record.status))

    def finished(self, name: str) -> float:
        """Return when the last task with a frame came back; now, if there was none."""
        now = time.time()
        return min(self._finished.pop(name, now), now)

    def sum_up(self, waiting: Iterable[Record]) -> None:
        """Leave in the progress what still holds in the end.

        Parameters
        ----------
        waiting : iterable of Record
            What frames that could not be reduced wait for.
        """
        frames, records = self.progress.frames, self.progress.records

        def mended(record: Record) -> bool:
            failed = record.status in FAILURES and bool(record.names)
            return failed and all(frames.get(name) in GOOD for name in record.names)

        records[:] = [*(record for record in records if not mended(record)), *waiting]
