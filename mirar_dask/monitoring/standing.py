"""How a run stands, whatever has become of it: read from its folder alone, anywhere it is seen.

`status`, `runs`, `report` and `cancel` ask for it. Only what a queue system says of a job that has
not begun is not in the folder; whoever can ask one hands in `ask`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from mirar_dask.engine.events import Event, RecordAdded, RunStarted
from mirar_dask.engine.journal import read_events
from mirar_dask.monitoring import run_folder
from mirar_dask.monitoring.forms import moment_of, read_plan, read_summary, read_why
from mirar_dask.monitoring.heartbeat import Sign, read_sign
from mirar_dask.monitoring.job_file import Job, read_job
from mirar_dask.monitoring.state import FAILURES, RunState, fold
from mirar_dask.processors.base.outcome import Record, Status

WORST_FIRST = (Status.LOST, Status.FAILED, Status.BLOCKED, Status.SKIPPED, Status.SET_ASIDE)
UNFINISHED = "unfinished"
"""Frames of a run that has not come to its end, of which nothing else is known."""


class State(StrEnum):
    """What a run is doing."""

    QUEUED = "queued"
    """Its job waits in a queue."""
    STARTING = "starting"
    """Its job has begun; nothing has been done yet."""
    RUNNING = "running"
    ENDED = "ended"
    """It came to its end; that says nothing about failures."""
    INTERRUPTED = "interrupted"
    """It was ended before that, in good order."""
    DEAD = "dead"
    """It was killed, or its host went down."""
    NEVER_BEGAN = "never began"
    """Its job ended before there was anything to do, or was cancelled while it waited."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self not in (State.QUEUED, State.STARTING, State.RUNNING)


Told = tuple[str, str]
"""What a queue system says of a job: ``PENDING``, ``RUNNING`` and so on, or nothing if the job is
over; and why it is pending."""
AskJob = Callable[[Job], Told | None]
"""Asks the queue system about a job; None where it does not answer, or is not here."""


@dataclass(frozen=True)
class Standing:
    """What is known of a run."""

    folder: Path
    state: State
    why: str
    """What tells so, in a few words."""
    progress: RunState
    """What the journal tells, folded."""
    frames: dict[str, int]
    """Number of frames by status."""
    failures: tuple[Record, ...] = ()
    """Everything that failed, was blocked or was lost so far."""
    caveats: tuple[Record, ...] = ()
    plan: dict[str, Any] | None = None
    summary: dict[str, Any] | None = None
    sign: Sign | None = None
    job: Job | None = None
    seen: float | None = None
    """Last sign of life, in seconds since the epoch."""

    @property
    def run_id(self) -> str:
        """Name of the run."""
        return self.folder.name

    @property
    def output(self) -> Path:
        """Folder of the night's products."""
        return self.folder.parent.parent

    @property
    def night(self) -> str:
        """Pipeline and night, in two words."""
        return f"{self.output.parent.name} {self.output.name}"

    @property
    def started(self) -> datetime | None:
        """When it began; None if it has not."""
        if self.sign is not None:
            return moment_of(self.sign.started)
        if self.summary is not None:
            return moment_of(self.summary["started"])
        began = self.progress.started
        return None if began is None else datetime.fromtimestamp(began, UTC)

    @property
    def host(self) -> str:
        """Where its driver is, or was; empty before it began."""
        return self.sign.host if self.sign else self.progress.host

    @property
    def number_of_frames(self) -> int:
        """Raw frames of the night, as far as they are known."""
        return sum(self.frames.values())


@dataclass
class _Reading:
    """Adds up the events of a journal: the state of the run, and what became of its frames."""

    state: RunState = field(default_factory=RunState)
    names: dict[str, Status | None] = field(default_factory=dict)
    failures: list[Record] = field(default_factory=list)
    caveats: list[Record] = field(default_factory=list)

    def take(self, events: Iterable[Event]) -> _Reading:
        for event in events:
            self.state = fold(self.state, event)
            if isinstance(event, RunStarted):
                self.names = {**dict.fromkeys(event.frames), **self.names}
            elif isinstance(event, RecordAdded):
                self._note(event.record)
        return self

    def _note(self, record: Record) -> None:
        if record.status in FAILURES:
            self.failures.append(record)
        elif record.status is Status.CAVEATS:
            self.caveats.append(record)
        if record.status not in WORST_FIRST:
            return
        rank = WORST_FIRST.index(record.status)
        for name in record.names:
            known = self.names.get(name)
            if known is None or rank < WORST_FIRST.index(known):
                self.names[name] = record.status

    def counts(self, planned: int) -> dict[str, int]:
        """Count frames by status; before the run knows them, the plan knows how many there are."""
        found = [UNFINISHED if status is None else status.value for status in self.names.values()]
        if self.state.started is None:
            found += [UNFINISHED] * max(0, planned - len(found))
        return {name: found.count(name) for name in dict.fromkeys(found)}


def read_standing(
    folder: Path, ask: AskJob | None = None, *, now: float | None = None, glance: bool = False
) -> Standing:
    """Read how a run stands.

    Parameters
    ----------
    folder : Path
        The run's own folder.
    ask : callable, optional
        Asks the queue system about the job of a run that is, or seems to be, in one.
    now : float, optional
        Seconds since the epoch; the time of the call by default.
    glance : bool
        Do not read the journal, which may be long, of a run whose summary tells enough for a line.
    """
    now = time.time() if now is None else now
    sign, job = read_sign(folder), read_job(folder)
    journal = folder / run_folder.JOURNAL
    begun = journal.exists()
    summary = read_summary(folder)
    enough = glance and summary is not None
    reading = _Reading().take(read_events(journal) if begun and not enough else ())
    if summary is not None and enough:
        reading.failures = [_failure(entry) for entry in summary["failures"]]
    over = summary is not None or (sign is None and reading.state.ended)
    told = ask(job) if ask and job and job.job_id and not over else None
    state, why = decide(
        sign=sign, job=job, told=told, begun=begun, over=over,
        alive=sign is not None and sign.alive(now), now=now,
    )  # fmt: skip
    if state is State.INTERRUPTED and not why:
        why = read_why(folder)
    plan = read_plan(folder)
    times = [sign.beat if sign else None, reading.state.updated]
    frames = reading.counts((plan or {}).get("frames", 0))
    if over:
        counts = summary["counts"] if summary else reading.state.counts or {}
        frames = {name: n for name, n in counts.items() if n and name != "frames"}
    return Standing(
        folder=folder,
        state=state,
        why=why,
        progress=reading.state,
        frames=frames,
        failures=tuple(reading.failures),
        caveats=tuple(reading.caveats),
        plan=plan,
        summary=summary,
        sign=sign,
        job=job,
        seen=max((moment for moment in times if moment is not None), default=None),
    )


def _failure(entry: dict[str, Any]) -> Record:
    """Make a record of what a summary says of a failure."""
    names, status = tuple(entry["frames"]), Status(entry["status"])
    return Record(names, status, entry["step"], entry["reason"])


def decide(
    *,
    sign: Sign | None,
    job: Job | None,
    told: Told | None,
    begun: bool,
    over: bool,
    alive: bool,
    now: float,
) -> tuple[State, str]:
    """Tell what a run is doing, and what says so.

    Parameters
    ----------
    sign : Sign or None
        Its sign of life, if one is in its folder.
    job : Job or None
        Its job, if it has one.
    told : (str, str) or None
        What the queue system says of the job, if it does.
    begun : bool
        Whether there is a journal.
    over : bool
        Whether the journal or the summary tells of its end.
    alive : bool
        Whether the sign is one of life.
    now : float
        Seconds since the epoch.
    """
    gone = told is not None and not told[0]
    if sign is not None:
        where = f"process {sign.pid} on {sign.host}"
        if alive and not gone:
            return State.RUNNING, where
        if job is not None and gone:
            return State.DEAD, f"{job.title} is over, and did not end in good order"
        return State.DEAD, f"{where} is gone, or silent for {now - sign.beat:.0f} s"
    if over:
        return State.ENDED, job.ending if job else ""
    if begun:
        return State.INTERRUPTED, job.ending if job else ""
    if job is None or not job.job_id:
        return State.NEVER_BEGAN, "it was not submitted" if job else "nothing was done"
    if told is None and job.ending:
        return State.NEVER_BEGAN, job.ending
    if told is None:
        return State.QUEUED, f"{job.title}; the queue system cannot be asked here"
    state, reason = told
    if not state:
        return State.NEVER_BEGAN, job.ending or f"{job.title} ended before; see what it printed"
    if state in ("PENDING", "CONFIGURING"):
        return State.QUEUED, job.title + (f", waits for: {reason}" if reason else "")
    return State.STARTING, job.title
