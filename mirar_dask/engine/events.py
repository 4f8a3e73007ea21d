"""What a run announces: small frozen events with times and counts, one stream for all that report.

The engines announce them, the journal keeps them, and what watches a run is a fold of them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from mirar_dask.data.metering import Meter
from mirar_dask.processors.base.outcome import Record


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins; its frames are known."""

    run_id: str
    time: float
    """Seconds since the epoch."""
    steps: tuple[str, ...]
    frames: tuple[str, ...]
    workers: int = 1
    """Tasks that can run at once, as the run begins."""
    dashboard: str | None = None
    host: str = field(default_factory=socket.gethostname)
    """Where the driver is."""


@dataclass(frozen=True, slots=True)
class WorkersCounted:
    """Workers have come or gone since the run began, or since this was said last."""

    workers: int
    """Tasks that can run at once now; 0 while no worker is there."""
    time: float


@dataclass(frozen=True, slots=True)
class TaskSubmitted:
    """A task was handed to a worker."""

    label: str
    number: int
    attempt: int
    names: tuple[str, ...]
    time: float
    batch: str = ""
    """Batch that it belongs to, by the name that it keeps through the run; empty where its work
    concerns several."""


@dataclass(frozen=True, slots=True)
class TaskFinished:
    """A task came back."""

    label: str
    number: int
    attempt: int
    names: tuple[str, ...]
    worker: str
    seconds: float
    times: tuple[tuple[str, float, int], ...]
    """(step, seconds, number of blocks)."""
    time: float
    meter: Meter = field(default_factory=Meter)
    """What it read and wrote."""
    batch: str = ""
    """As in `TaskSubmitted`."""
    log: tuple[str, ...] = ()
    """What was logged while it was done, a line each: time, level, logger, message."""


@dataclass(frozen=True, slots=True)
class TaskLost:
    """A task went down with its worker."""

    label: str
    number: int
    attempt: int
    names: tuple[str, ...]
    reason: str
    will_retry: bool
    time: float


@dataclass(frozen=True, slots=True)
class Sampled:
    """What the run takes up at a moment, told every few seconds."""

    time: float
    memory: int = 0
    """Of all workers together, in bytes."""
    fullest: float = 0.0
    """Share of its memory limit that the fullest worker takes; 0 where there is no limit."""
    memory_limit: int = 0
    """Of all workers together, in bytes; 0 where there is none."""
    cache_files: int = 0
    cache_bytes: int = 0
    cache_free: int = 0
    """Bytes free where the cache is."""
    disk_free: int = 0
    """Bytes free where products are written."""
    disk_size: int = 0


@dataclass(frozen=True, slots=True)
class RecordAdded:
    """Something happened to some frames."""

    record: Record
    time: float


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over."""

    counts: dict[str, int]
    seconds: float
    time: float


Event = (
    RunStarted
    | WorkersCounted
    | TaskSubmitted
    | TaskFinished
    | TaskLost
    | Sampled
    | RecordAdded
    | RunEnded
)
Listener = Callable[[Event], None]
