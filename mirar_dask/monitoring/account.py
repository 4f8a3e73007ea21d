"""Where the time of a run goes, and the bytes that it moves: a fold of its events."""

from __future__ import annotations

from dataclasses import dataclass, field

from mirar_dask.data.metering import Meter
from mirar_dask.engine.events import (
    Event,
    RunEnded,
    RunStarted,
    TaskFinished,
    TaskLost,
    WorkersCounted,
)


@dataclass
class Account:
    """Adds up what the tasks of a run tell; use it as a listener."""

    busy: float = 0.0
    """Seconds that workers spent in tasks, all together."""
    workers: int = 1
    """Tasks that could run at once, when they were most."""
    meter: Meter = field(default_factory=Meter)
    lost: int = 0
    """Times that a task was lost with its worker."""
    _there: int = 0
    """Tasks that can run at once now."""
    _since: float | None = None
    """Time since which that is so; None between two configurations."""
    _seconds: float = 0.0
    """Seconds up to then."""
    _offered: float = 0.0
    """Seconds up to then, times the tasks that could run at once in them."""

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case RunStarted() | WorkersCounted():
                self.workers = max(self.workers, event.workers)
                self._count(event.time)
                self._there, self._since = event.workers, event.time
            case TaskFinished():
                self.busy += event.seconds
                self.meter.add(event.meter)
            case TaskLost():
                self.lost += 1
            case RunEnded():
                self._count(event.time)
                self._since = None

    def _count(self, time: float) -> None:
        if self._since is not None:
            seconds = max(0.0, time - self._since)
            self._seconds += seconds
            self._offered += seconds * self._there

    @property
    def average(self) -> float:
        """Tasks that could run at once, on average."""
        return max(1.0, self._offered / self._seconds if self._seconds else self.workers)

    def phases(self, seconds: float) -> dict[str, float]:
        """Divide the seconds in which tasks were done by what workers did, on average.

        Returns
        -------
        dict
            ``read`` (until the pixels were in memory), ``compute``, ``write`` (until the system
            had taken the files) and ``idle`` (no task, or one on its way): seconds of one worker.
            They add up to ``seconds``.
        """
        n = self.average
        read, write = self.meter.read_seconds / n, self.meter.write_seconds / n
        compute = max(0.0, self.busy / n - read - write)
        idle = max(0.0, seconds - read - write - compute)
        return {"read": read, "compute": compute, "write": write, "idle": idle}
