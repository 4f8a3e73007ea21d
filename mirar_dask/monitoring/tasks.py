"""The tasks of a run, each with all that became of it: read from the run's journal.

`report --task` and `--tasks` show them. Whoever sees the run's folder can read them, while the run
goes on and after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from mirar_dask.data.metering import Meter
from mirar_dask.engine.journal import read_journal, read_record
from mirar_dask.monitoring.state import FAILURES, steps_of
from mirar_dask.processors.base.outcome import Record, Status


class End(StrEnum):
    """What became of a task."""

    UNDER_WAY = "under way"
    CUT_OFF = "cut off"
    """It was under way when the run ended."""
    DONE = "done"
    FAILED = "failed"
    """It came back, and something in it failed."""
    LOST = "lost"
    """Its worker died, the last time that it was tried."""
    RETRIED = "lost, tried again"
    """Its worker died; its images went into other tasks."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time that a task was tried."""

    number: int
    """From 0."""
    submitted: float | None
    """Seconds since the epoch; None where nobody noted it."""
    ended: float | None = None
    lost: str = ""
    """Why it did not come back."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that failed in a task."""

    record: Record
    traceback: str


@dataclass(slots=True)
class TaskStory:
    """One task."""

    part: int
    """Number of the configuration of the run, from 0: each counts its tasks anew."""
    number: int
    label: str
    batch: str
    names: tuple[str, ...]
    """Raw frames that it concerns."""
    attempts: list[Attempt] = field(default_factory=list)
    worker: str = ""
    """Host, process and thread that did it."""
    seconds: float | None = None
    """That it took there."""
    times: tuple[tuple[str, float, int], ...] = ()
    """(step, seconds, number of blocks)."""
    meter: Meter = field(default_factory=Meter)
    log: tuple[str, ...] = ()
    failures: list[Failure] = field(default_factory=list)
    will_retry: bool = False
    over: bool = False
    """The run is over."""

    @property
    def steps(self) -> tuple[str, ...]:
        """Steps that it did, or would have done."""
        named = tuple(step.partition(" ")[0] for step in steps_of(self.label))
        return tuple(dict.fromkeys((*named, *(step for step, _, _ in self.times))))

    @property
    def end(self) -> End:
        """What became of it."""
        if self.attempts and self.attempts[-1].lost:
            return End.RETRIED if self.will_retry else End.LOST
        if self.seconds is None:
            return End.CUT_OFF if self.over else End.UNDER_WAY
        return End.FAILED if self.failures else End.DONE

    def to_json(self) -> dict[str, Any]:
        """Return it as values that JSON knows."""
        return {
            "part": self.part,
            "number": self.number,
            "label": self.label,
            "batch": self.batch,
            "state": self.end.value,
            "frames": list(self.names),
            "worker": self.worker,
            "seconds": self.seconds,
            "attempts": [
                {"submitted": a.submitted, "ended": a.ended, "lost": a.lost or None}
                for a in self.attempts
            ],
            "steps": [{"step": s, "seconds": t, "blocks": n} for s, t, n in self.times],
            "bytes": {"read": self.meter.read, "written": self.meter.written},
            "failures": [
                {
                    "frames": list(failure.record.names),
                    "status": failure.record.status.value,
                    "step": failure.record.step,
                    "reason": failure.record.reason,
                    "traceback": failure.traceback,
                }
                for failure in self.failures
            ],
            "log": list(self.log),
        }


def read_tasks(journal: Path, *, over: bool = False) -> list[TaskStory]:
    """Read the tasks of a run from its journal, in the order in which they were begun.

    Parameters
    ----------
    journal : Path
        The file.
    over : bool
        The run has ended, in whatever way: what has not come back will not.
    """
    reading = _Reading()
    for entry in read_journal(journal) if journal.exists() else ():
        try:
            reading.take(entry)
        except (KeyError, TypeError, ValueError):
            continue  # a line of another version of this package
    for task in reading.tasks.values():
        task.over = over
    return list(reading.tasks.values())


@dataclass
class _Reading:
    tasks: dict[tuple[int, int], TaskStory] = field(default_factory=dict)
    part: int = -1
    by_step: dict[str, list[TaskStory]] = field(default_factory=dict)
    """Tasks that came back, by their steps."""

    def take(self, entry: dict[str, Any]) -> None:
        """Take in one line of the journal."""
        match entry.get("event"):
            case "RunStarted":
                self.part += 1
                self.by_step.clear()
            case "TaskSubmitted":
                task = self._task(entry)
                task.attempts.append(Attempt(int(entry["attempt"]), float(entry["time"])))
            case "TaskFinished":
                self._finish(self._task(entry), entry)
            case "TaskLost":
                task = self._task(entry)
                task.will_retry = bool(entry["will_retry"])
                self._end_attempt(task, entry, str(entry["reason"]))
            case "RecordAdded":
                self._note(entry["record"])

    def _task(self, entry: dict[str, Any]) -> TaskStory:
        key = (max(0, self.part), int(entry["number"]))
        if key not in self.tasks:
            label, batch = str(entry["label"]), str(entry.get("batch", ""))
            self.tasks[key] = TaskStory(*key, label, batch, tuple(entry["names"]))
        return self.tasks[key]

    def _finish(self, task: TaskStory, entry: dict[str, Any]) -> None:
        task.worker, task.seconds = str(entry["worker"]), float(entry["seconds"])
        task.times = tuple((str(s), float(t or 0.0), int(n)) for s, t, n in entry["times"])
        task.meter = Meter(**entry.get("meter", {}))
        task.log = tuple(entry.get("log", ()))
        self._end_attempt(task, entry, "")
        for step in task.steps:
            self.by_step.setdefault(step, []).append(task)

    def _end_attempt(self, task: TaskStory, entry: dict[str, Any], lost: str) -> None:
        begun = task.attempts[-1] if task.attempts else Attempt(int(entry["attempt"]), None)
        ended = Attempt(begun.number, begun.submitted, float(entry["time"]), lost)
        task.attempts[-1:] = [ended]

    def _note(self, entry: dict[str, Any]) -> None:
        """Give a failure to the task in which it happened: it came back a moment ago."""
        record = read_record(entry)
        if record.status not in FAILURES or record.status is Status.BLOCKED:
            return
        names = set(record.names)
        for task in reversed(self.by_step.get(record.step, ())):
            if names <= set(task.names) and (names or " " in task.label):
                report = entry.get("report") or {}
                task.failures.append(Failure(record, str(report.get("traceback", ""))))
                return


def find_tasks(tasks: Iterable[TaskStory], name: str) -> list[TaskStory]:
    """Return the tasks that are meant by a name.

    Parameters
    ----------
    tasks : iterable of TaskStory
        Of a run.
    name : str
        Number of a task, its label, name of a frame (with or without its ending), of a batch, of a
        step, or a part of a label or of the name of a frame; the first of these that fits counts.
    """
    tasks = list(tasks)
    for fits in _readings(name):
        found = [task for task in tasks if fits(task)]
        if found:
            return found
    return []


def _readings(name: str) -> Iterator[Any]:
    number = name.removeprefix("#")
    if number.isdecimal():
        yield lambda task: task.number == int(number)
    yield lambda task: name == task.label
    yield lambda task: name in task.names
    yield lambda task: any(name == frame.partition(".")[0] for frame in task.names)
    yield lambda task: name == task.batch
    yield lambda task: name in task.steps
    text = name.lower()
    yield lambda task: text in task.label.lower() or any(text in n.lower() for n in task.names)
