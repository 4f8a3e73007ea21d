"""What stands behind a cell, a task, a failure or a frame: told when somebody asks for it.

Logs, tracebacks and times are read from the journal then; a `NightView` only knows where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mirar_dask.monitoring.night.parts import DoneTask, Frame
from mirar_dask.monitoring.night.view import NightView

MOST = 500
"""Frames and tasks that one answer lists."""
LOGGED = 40
"""Tasks of a cell, the newest, whose times and logs are read."""
LINES = 400
"""Lines of log that a cell tells."""
Line = Callable[[int], Mapping[str, Any]]
"""Reads the journal's line at a place."""


def cell_detail(view: NightView, row: int, step: int, line: Line) -> dict[str, Any]:
    """Return the frames and tasks of a row in a step, and what failed there.

    Raises
    ------
    IndexError
        If there is no such row or step.
    """
    board = view.board
    at, name = board.rows[_place(row)], board.steps[_place(step)].name
    cell = at.cells.get(step)
    tasks = [] if cell is None else [view.tasks[index] for index in cell.tasks]
    newest = tasks[-LOGGED:]
    lines = {task.place: line(task.offset) for task in newest if task.end is not None}
    under_way = {place for task in tasks if task.end is None and not task.lost
                 for place in task.frames}  # fmt: skip
    frames = [
        {
            "name": board.frames[place].name,
            "status": "running" if place in under_way else _status(board.frames[place], step),
        }
        for place in at.frames
    ]
    return {
        "row": at.name,
        "step": name,
        "kind": at.kind,
        "master": at.master if at.master_step == step else "",
        # What went wrong is looked at first.
        "frames": sorted(frames, key=lambda one: one["status"] == "succeeded")[:MOST],
        "n_frames": len(frames),
        "tasks": [
            {**_task(view, task), **_in_step(lines.get(task.place), name)} for task in tasks[-MOST:]
        ],
        "n_tasks": len(tasks),
        "log": [str(text) for told in lines.values() for text in told.get("log") or ()][-LINES:],
        "failures": _failures(view, line, step=name, row=row),
        "caveats": _caveats(view, dict.fromkeys(at.frames), name),
    }


def task_detail(view: NightView, number: int, line: Line) -> dict[str, Any]:
    """Return all that is known of a task: frames, times by step, what it read, its log.

    Raises
    ------
    IndexError
        If there is no such task.
    """
    task = view.tasks[_place(number)]
    told = line(task.offset)
    meter = told.get("meter") or {}
    return {
        **_task(view, task),
        "batch": str(told.get("batch") or ""),
        "names": [view.board.frames[place].name for place in task.frames[:MOST]],
        "times": [[str(name), seconds, n] for name, seconds, n in told.get("times") or ()],
        "read": meter.get("read") or {},
        "written": meter.get("written") or {},
        "log": [str(text) for text in told.get("log") or ()],
        "reason": str(told.get("reason") or ""),
    }


def failure_detail(
    view: NightView, number: int, line: Line, *, start: int = 0, most: int = 50
) -> dict[str, Any]:
    """Return failures of one kind, with their frames, reasons and tracebacks.

    Raises
    ------
    IndexError
        If there is no such kind.
    """
    group = list(view.failures.values())[_place(number)]
    entries = group.entries[_place(start) : start + most]
    return {
        **{name: getattr(group, name) for name in ("status", "kind", "step", "reason")},
        "records": len(group.entries),
        "start": start,
        "failures": [_failure(view, frames, line(offset)) for frames, offset in entries],
    }


def frame_detail(view: NightView, name: str, line: Line) -> dict[str, Any]:
    """Return what became of a frame, and the tasks that it was in.

    Raises
    ------
    KeyError
        If the run has no such frame.
    """
    board = view.board
    place = board.frame_places[name]
    frame = board.frames[place]
    return {
        "name": frame.name,
        "row": frame.rows[-1],
        "row_name": ", ".join(board.rows[row].name for row in frame.rows),
        "status": frame.status.value if frame.status else "",
        "end": None if frame.end is None else board.steps[frame.end].name,
        "steps": [
            step.name for number, step in enumerate(board.steps) if frame.passed >> number & 1
        ],
        "tasks": [_task(view, task) for task in view.tasks if place in task.frames][:MOST],
        "failures": _failures(view, line, frame=place),
        "caveats": _caveats(view, {place: None}),
    }


def _in_step(told: Mapping[str, Any] | None, step: str) -> dict[str, float]:
    """Return the seconds that a task spent in a step, if it tells."""
    for name, seconds, _ in (told or {}).get("times") or ():
        if name == step:
            return {"in_step": float(seconds)}
    return {}


def _status(frame: Frame, step: int) -> str:
    """Say what became of a frame in a step."""
    if frame.end == step and frame.status is not None:
        return frame.status.value
    if frame.passed >> step & 1:
        return "skipped" if frame.status == "skipped" else "succeeded"
    if frame.end is not None and frame.end < step:
        return "ended before"
    return "waiting"


def _task(view: NightView, task: DoneTask) -> dict[str, Any]:
    return {
        "id": task.place,
        "label": view.labels[task.label],
        "worker": view.workers[task.worker].name if task.worker >= 0 else "",
        "state": "lost" if task.lost else "running" if task.end is None else "done",
        "start": task.submitted if task.end is None else task.end - task.seconds,
        "seconds": task.seconds,
        "attempt": task.attempt,
        "frames": len(task.frames),
    }


def _failures(
    view: NightView, line: Line, *, step: str | None = None, row: int | None = None,
    frame: int | None = None, most: int = 50,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return failures in a step and row, or of a frame."""
    found: list[dict[str, Any]] = []
    for group in view.failures.values():
        if step is not None and group.step != step:
            continue
        for frames, offset in group.entries:
            if frame is not None and frame not in frames:
                continue
            if row is not None and all(row not in view.board.frames[p].rows for p in frames):
                continue
            found.append({"kind": group.kind, **_failure(view, frames, line(offset))})
            if len(found) >= most:
                return found
    return found


def _failure(view: NightView, frames: Iterable[int], line: Mapping[str, Any]) -> dict[str, Any]:
    record = line.get("record") or {}
    report = record.get("report") or {}
    return {
        "frames": [view.board.frames[place].name for place in frames][:MOST],
        "status": str(record.get("status") or ""),
        "step": str(record.get("step") or ""),
        "reason": str(record.get("reason") or ""),
        "traceback": str(report.get("traceback") or ""),
    }


def _caveats(
    view: NightView, frames: Mapping[int, None], step: str | None = None
) -> list[dict[str, Any]]:
    return [
        {
            "step": name,
            "reason": reason,
            "frames": [view.board.frames[place].name for place in places if place in frames],
        }
        for places, name, reason in view.caveats
        if (step is None or name == step) and not frames.keys().isdisjoint(places)
    ][:MOST]


def _place(number: int) -> int:
    """Refuse numbers that Python would count from the end."""
    if number < 0:
        raise IndexError(number)
    return number
