"""What a `NightView` consists of: steps, rows of the board, cells, frames, tasks, failures."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from mirar_dask.processors.base.outcome import Status

WITHOUT_WORK = {"pass", "header", "source"}
"""Forms of steps that concern headers only; the board has a column for one if it has something
to tell."""
RATE_SECONDS = 30.0
"""A step's rate is that of so many seconds."""


@dataclass(slots=True)
class Step:
    """One step of the configuration, with what the whole night did in it."""

    name: str
    processor: str = ""
    description: str = ""
    form: str = ""
    segment: int = 0
    images: int | None = None
    """Images that will reach it by the plan; None where only the run will tell."""
    done: int = 0
    """Blocks that passed it."""
    seconds: float = 0.0
    """That workers spent in it, all together."""
    first: float | None = None
    """When it was first at work, and last."""
    last: float | None = None
    recent: deque[tuple[float, int]] = field(default_factory=deque)
    """(time, blocks) of the last seconds."""
    told: bool = False
    """Whether anything failed in it or needs a word."""
    rev: int = 0

    @property
    def on_board(self) -> bool:
        """Whether the board has a column for it."""
        return self.form not in WITHOUT_WORK or self.told

    def passed(self, time: float, seconds: float, blocks: int) -> None:
        """Note that blocks passed it in a task that ended at a time."""
        self.done += blocks
        self.first = time - seconds if self.first is None else min(self.first, time - seconds)
        self.last = time if self.last is None else max(self.last, time)
        self.recent.append((time, blocks))
        while self.recent[0][0] < time - RATE_SECONDS:
            self.recent.popleft()

    def rate(self, now: float | None) -> float | None:
        """Return blocks a second: lately, or over its whole time where no moment is given."""
        if self.first is None or self.last is None or not self.done:
            return None
        if now is None:
            return self.done / max(self.last - self.first, 1e-3)
        since = max(now - RATE_SECONDS, self.first)
        return sum(n for time, n in self.recent if time >= since) / max(now - since, 1e-3)


@dataclass(slots=True)
class Cell:
    """What became of a row's frames in one step; all figures count frames."""

    done: int = 0
    running: int = 0
    failed: int = 0
    blocked: int = 0
    lost: int = 0
    skipped: int = 0
    aside: int = 0
    caveats: int = 0
    again: int = 0
    """Times that a task of it went down with its worker."""
    seconds: float = 0.0
    tasks: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Row:
    """A batch: one line of the board."""

    name: str
    kind: str
    """``batch``, ``master`` if it ends in one, or ``other``."""
    steps: int = 0
    """Steps that its frames are to pass, a bit each."""
    ends: bool = False
    """Whether nothing is done to its frames after those."""
    late: bool = False
    """Whether the plan did not know of it: its steps are those of the tasks seen so far."""
    frames: dict[int, None] = field(default_factory=dict)
    cells: dict[int, Cell] = field(default_factory=dict)
    """By step."""
    master: str = ""
    """Name of the master's file."""
    master_step: int | None = None
    rev: int = 0
    changed: int = 0
    """Revision of the last change in one of its cells."""


@dataclass(slots=True)
class Frame:
    """One raw frame."""

    name: str
    rows: tuple[int, ...]
    """Rows that it is in, one after the other: batches are divided and put together."""
    passed: int = 0
    """Steps that it passed, a bit each."""
    end: int | None = None
    """Step in which it ended; None while it goes on."""
    status: Status | None = None
    caveats: bool = False


@dataclass(slots=True)
class DoneTask:
    """A task, under way or over."""

    place: int
    """Among all tasks: its number comes again where a run has several configurations."""
    attempt: int
    label: int
    frames: tuple[int, ...]
    row: int
    """Row that it belongs to; -1 if it is several."""
    submitted: float
    offset: int
    """Where the journal tells of it last."""
    worker: int = -1
    end: float | None = None
    """None while it is under way."""
    seconds: float = 0.0
    lost: bool = False


@dataclass(slots=True)
class FailureGroup:
    """Failures of one kind in one step."""

    status: str
    kind: str
    """Class of the error, or the first words of the reason where there was none."""
    step: str
    reason: str
    """Of the first."""
    entries: list[tuple[tuple[int, ...], int]] = field(default_factory=list)
    """Frames, and the place in the journal, of each."""
    n_frames: int = 0
    rev: int = 0


@dataclass(slots=True)
class Worker:
    """A worker as the journal knows it."""

    name: str
    tasks: int = 0
    busy: float = 0.0
    label: int = -1
    """Of its last task."""
    last: float = 0.0

    @property
    def host(self) -> str:
        """Where it is."""
        return self.name.partition(":")[0]
