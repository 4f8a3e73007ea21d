"""The model of a night: a fold of its journal's lines into a board, tasks, workers and failures.

`RunFollower` feeds it, `payload` and `detail` read it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from mirar_dask.monitoring.night.board import FAILURES, Board
from mirar_dask.monitoring.night.parts import DoneTask, FailureGroup, Worker
from mirar_dask.monitoring.night.rows import planned_rows
from mirar_dask.processors.base.outcome import Status

SAMPLE = (
    *("time", "memory", "memory_limit", "fullest", "cache_files", "cache_bytes", "cache_free"),
    *("disk_free", "disk_size"),
)
"""Figures of a sample, in the order in which they are kept."""


class NightView:
    """What is known of one run.

    Parameters
    ----------
    plan : mapping, optional
        The run's plan, as `Plan.to_json` gives it; also later, by `use_plan`.
    """

    def __init__(self, plan: Mapping[str, Any] | None = None) -> None:
        self.board = Board()
        self.plan: Mapping[str, Any] = {}
        self.run_id = ""
        self.started: float | None = None
        self.updated: float | None = None
        self.workers_now = 0
        self.dashboard: str | None = None
        self.host = ""
        self.counts: dict[str, int] | None = None
        """Frames by status; known at the end."""
        self.seconds: float | None = None
        self.labels: list[str] = []
        self.workers: list[Worker] = []
        self.tasks: list[DoneTask] = []
        self.done: list[tuple[int, int]] = []
        """(revision, task) of those that are over, in the order in which they ended."""
        self.samples: list[tuple[int, tuple[float, ...]]] = []
        """(revision, figures)."""
        self.failures: dict[tuple[str, str, str], FailureGroup] = {}
        self.caveats: list[tuple[tuple[int, ...], str, str]] = []
        """(frames, step, reason)."""
        self.open: dict[int, int] = {}
        """Tasks under way: number to place in `tasks`."""
        self.lost = 0
        """Tasks that went down with their worker."""
        self._label: dict[str, int] = {}
        self._worker: dict[str, int] = {}
        if plan:
            self.use_plan(plan)

    @property
    def rev(self) -> int:
        """Rises with everything that is taken in; parts remember when they changed last."""
        return self.board.rev

    def use_plan(self, plan: Mapping[str, Any]) -> None:
        """Take the plan in: what the steps are, and the rows of the board."""
        board = self.board
        board.rev += 1
        self.plan = plan
        for entry in plan.get("steps") or ():
            step = board.steps[board.step_at(str(entry["name"]))]
            step.processor = str(entry.get("processor", ""))
            step.description = str(entry.get("description", ""))
            step.form, step.segment = str(entry.get("form", "")), int(entry.get("segment", 0))
            step.images, step.rev = entry.get("images"), board.rev
        for row, names in planned_rows(plan, board.step_places):
            place = board.add_row(row)
            for name in names:
                board.frame_at(name, place)

    def take(self, lines: Iterable[tuple[int, Mapping[str, Any]]]) -> int:
        """Take in lines of the journal, each with its place; return how many there were.

        What a line of another version, or a forged one, does not say as it should is passed over.
        """
        n = 0
        for offset, line in lines:
            n += 1
            self.board.rev += 1
            try:
                self._take(offset, line)
            except (TypeError, KeyError, ValueError, IndexError, AttributeError, OverflowError):
                continue
        return n

    def _take(self, offset: int, line: Mapping[str, Any]) -> None:
        time = finite(line["time"])
        self.updated = time if self.updated is None else max(self.updated, time)
        match line["event"]:
            case "RunStarted":
                self._start(line, time)
            case "WorkersCounted":
                self.workers_now = int(line["workers"])
            case "TaskSubmitted":
                self._submit(offset, line, time)
            case "TaskFinished":
                self._finish(offset, line, time)
            case "TaskLost":
                self._lose(offset, line, time)
            case "Sampled":
                figures = tuple(finite(line.get(name) or 0) for name in SAMPLE)
                self.samples.append((self.rev, figures))
            case "RecordAdded":
                self._record(offset, line["record"])
            case "RunEnded":
                self.counts = {str(k): int(v) for k, v in line["counts"].items()}
                self.seconds = finite(line["seconds"])
                self._close_all()

    def _start(self, line: Mapping[str, Any], time: float) -> None:
        self.started = time if self.started is None else self.started
        self.run_id, self.workers_now = str(line["run_id"]), int(line.get("workers") or 0)
        dashboard = line.get("dashboard")
        self.dashboard = str(dashboard) if dashboard else None
        self.host = str(line.get("host") or "")
        # Where a run has several configurations, each begins and ends.
        self.counts = self.seconds = None
        self._close_all()
        for name in line["steps"]:
            self.board.step_at(str(name))
        for name in line["frames"]:
            self.board.frame_at(str(name))

    def _submit(self, offset: int, line: Mapping[str, Any], time: float) -> None:
        frames = tuple(self.board.frame_at(str(name)) for name in line["names"])
        label = _index(self.labels, self._label, str(line["label"]))
        mask = self.board.mask(self.labels[label])
        # What is made for a batch (a master, a context) takes no frame of it through a step.
        passes = self._passes(self.labels[label])
        batch = str(line.get("batch") or "")
        row = self.board.row_of(batch, frames, mask) if passes else self.board.row_named(batch)
        number, attempt = int(line["number"]), int(line["attempt"])
        self.open[number] = place = len(self.tasks)
        self.board.begin(frames, mask, place, passes=passes)
        self.tasks.append(DoneTask(place, attempt, label, frames, row, time, offset))

    def _finish(self, offset: int, line: Mapping[str, Any], time: float) -> None:
        number, seconds = int(line["number"]), finite(line["seconds"])
        if number not in self.open or not line["names"]:  # so does the serial engine
            self._submit(offset, line, time - seconds)
        task = self._close(number, offset, time)
        task.seconds = seconds
        task.worker = self._worker_at(str(line["worker"]))
        worker = self.workers[task.worker]
        worker.tasks, worker.busy = worker.tasks + 1, worker.busy + seconds
        worker.label, worker.last = task.label, time
        board, label = self.board, self.labels[task.label]
        passes = self._passes(label)
        times = [(board.step_at(str(name)), spent, n) for name, spent, n in line["times"]]
        if passes:
            board.widen(task.row, [place for place, _, _ in times])
        mask = 0
        for place, spent, n in times:
            step = board.steps[place]
            step.seconds, step.rev = step.seconds + finite(spent), self.rev
            if passes:
                step.passed(time, finite(spent), int(n))
            mask |= (1 << place) if n else 0
            board.spend(place, finite(spent), task)
        if passes:
            # The serial engine does not name frames: all that are left pass.
            board.let_pass(task.frames or range(len(board.frames)), mask)
        elif label.endswith(" master"):
            # What goes into it and no further has come to its end.
            board.let_pass((place for place in task.frames if board.ends_in(place, mask)), mask)

    def _lose(self, offset: int, line: Mapping[str, Any], time: float) -> None:
        number = int(line["number"])
        if number not in self.open:
            self._submit(offset, line, time)
        task = self._close(number, offset, time, lost=True)
        task.seconds = max(0.0, time - task.submitted)
        self.lost += 1

    def _close(self, number: int, offset: int, time: float, *, lost: bool = False) -> DoneTask:
        index = self.open.pop(number)
        task = self.tasks[index]
        task.end, task.offset, task.lost = time, offset, lost
        self.done.append((self.rev, index))
        self.board.leave(task.frames, self.mask(task), lost=lost)
        return task

    def _close_all(self) -> None:
        """Forget what was under way: whatever it was, it is not any more."""
        for index in self.open.values():
            task = self.tasks[index]
            task.lost = True
            self.board.leave(task.frames, self.mask(task))
        self.open.clear()

    def _record(self, offset: int, record: Mapping[str, Any]) -> None:
        board = self.board
        status, name, reason = Status(record["status"]), str(record["step"]), str(record["reason"])
        frames = tuple(board.frame_at(str(frame)) for frame in record["names"])
        step = board.step_places.get(name)
        if status is Status.CAVEATS:
            self.caveats.append((frames, name, reason))
        elif status in FAILURES:
            self._group(offset, record, (status.value, name, reason), frames)
        for frame in frames:
            board.end(frame, step, status)
        if step is not None and status not in (Status.SET_ASIDE, Status.SKIPPED):
            board.steps[step].told, board.steps[step].rev = True, self.rev

    def _group(
        self,
        offset: int,
        record: Mapping[str, Any],
        what: tuple[str, str, str],
        frames: tuple[int, ...],
    ) -> None:
        status, step, reason = what
        report = record.get("report") or {}
        kind = str(report.get("error") or reason.partition(":")[0])[:120]
        key = (status, kind, step)
        group = self.failures.setdefault(key, FailureGroup(*key, reason))
        group.entries.append((frames, offset))
        group.n_frames += len(frames)
        group.rev = self.rev

    def _worker_at(self, name: str) -> int:
        if name not in self._worker:
            self._worker[name] = len(self.workers)
            self.workers.append(Worker(name))
        return self._worker[name]

    def _passes(self, label: str) -> bool:
        """Tell whether a task takes frames through its steps: "bias master" does not."""
        return all(part in self.board.step_places for part in label.split("+"))

    def mask(self, task: DoneTask) -> int:
        """Return the steps that a task is part of, a bit each."""
        return self.board.mask(self.labels[task.label])


def finite(value: Any) -> float:
    """Return a number, as JSON knows them.

    Raises
    ------
    ValueError
        If it is none.
    """
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(f"{value} is no number")
    return found


def _index(names: list[str], places: dict[str, int], name: str) -> int:
    if name not in places:
        places[name] = len(names)
        names.append(name)
    return places[name]
