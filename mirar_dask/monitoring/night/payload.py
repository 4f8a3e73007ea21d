"""The JSON form of a `NightView`: all of it, or what has changed since a revision.

The script `board.js` draws it, on the page and in the report. Cells are lists of numbers in the
order of `CELL`, tasks in that of `TASK`: a night of 10,000 frames stays below a megabyte or two.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mirar_dask.monitoring.night.board import FAILURES
from mirar_dask.monitoring.night.parts import Cell, DoneTask, Frame, Row, Step
from mirar_dask.monitoring.night.view import SAMPLE, NightView
from mirar_dask.processors.base.outcome import Status

CELL = (
    *("row", "step", "expected", "done", "running", "failed", "blocked", "lost", "skipped"),
    *("aside", "caveats", "again", "seconds"),
)
TASK = ("id", "worker", "label", "start", "seconds", "frames", "row", "attempt", "lost")
UNFINISHED = "unfinished"
EMPTY = Cell()


def payload(view: NightView, since: int = 0, *, now: float | None = None) -> dict[str, Any]:
    """Return what has changed since a revision; 0 asks for everything.

    Parameters
    ----------
    view : NightView
        The night.
    since : int
        The ``rev`` of the last answer.
    now : float, optional
        Seconds since the epoch, if the run goes on: rates are those of the last seconds then.
    """
    board = view.board
    rows = [(place, row) for place, row in enumerate(board.rows)]
    done = bisect_right(view.done, since, key=lambda one: one[0])
    samples = bisect_right(view.samples, since, key=lambda one: one[0])
    changed: dict[str, Any] = {
        "rev": view.rev,
        "full": since == 0,
        "head": _head(view),
        "steps": [_step(view, n, step, now) for n, step in enumerate(board.steps)],
        "rows": [_row(place, row) for place, row in rows if row.rev > since],
        "cells": [cell for place, row in rows for cell in _cells(view, place, row, since)],
        "failures": [
            {
                "id": number,
                **{name: getattr(group, name) for name in ("status", "kind", "step", "reason")},
                "frames": group.n_frames,
                "records": len(group.entries),
            }
            for number, group in enumerate(view.failures.values())
            if group.rev > since
        ],
        "labels": view.labels,
        "workers": [
            [worker.name, worker.tasks, round(worker.busy, 3), worker.label, worker.last]
            for worker in view.workers
        ],
        "tasks": [_task(view, index) for _, index in view.done[done:]],
        "open": [_task(view, index) for index in view.open.values()],
        "samples": [figures for _, figures in view.samples[samples:]],
    }
    if since == 0:
        changed["names"] = {"cell": CELL, "task": TASK, "sample": SAMPLE}
        changed["masters"] = _masters(view)
    return changed


def everything(view: NightView, *, most: int = 2000) -> dict[str, Any]:
    """Return all of a night that is over, with what a page without a server cannot ask for.

    Parameters
    ----------
    view : NightView
        The night.
    most : int
        Frames that ended badly whose reason is told, and failures whose traceback.
    """
    board = view.board
    found = payload(view)
    found["frames"] = [[board.frames[place].name for place in row.frames] for row in board.rows]
    found["ended"] = [
        [frame.name, frame.rows[-1], frame.end, frame.status.value]
        for frame in board.frames
        if frame.status in FAILURES
    ][:most]
    found["caveats"] = _caveats(view, most)
    return found


def _caveats(view: NightView, most: int) -> list[dict[str, Any]]:
    """Return caveats, those of one step and reason together."""
    found: dict[tuple[str, str], list[str]] = {}
    for frames, step, reason in view.caveats:
        names = found.setdefault((step, reason), [])
        names += [view.board.frames[place].name for place in frames]
    return [
        {"step": step, "reason": reason, "frames": names[:most]}
        for (step, reason), names in list(found.items())[:most]
    ]


def frame_counts(view: NightView) -> Mapping[str, int]:
    """Count frames by what became of them so far."""
    if view.counts is not None:
        return {name: n for name, n in view.counts.items() if n}
    board = view.board
    shown = sum(1 << place for place, step in enumerate(board.steps) if step.on_board)
    ways = [row.steps & shown if row.ends else 0 for row in board.rows]
    return dict(Counter(_became(frame, ways[frame.rows[-1]]) for frame in board.frames))


def _became(frame: Frame, way: int) -> str:
    """Say what became of a frame so far; at the end of its last batch it has succeeded."""
    if frame.status is not None:
        return frame.status.value
    if not way or way & ~frame.passed:
        return UNFINISHED
    return (Status.CAVEATS if frame.caveats else Status.SUCCEEDED).value


def _head(view: NightView) -> dict[str, Any]:
    return {
        "run_id": view.run_id,
        "started": view.started,
        "updated": view.updated,
        "seconds": view.seconds,
        "host": view.host,
        "dashboard": view.dashboard,
        "workers": view.workers_now,
        "frames": len(view.board.frames) or int(view.plan.get("frames") or 0),
        "counts": frame_counts(view),
        "tasks": {"done": len(view.done) - view.lost, "open": len(view.open), "lost": view.lost},
        "n_failures": sum(len(group.entries) for group in view.failures.values()),
        "n_caveats": len(view.caveats),
        "caveats": _caveats(view, 50),
        "late": [str(why) for why in view.plan.get("late") or ()],
    }


def _step(view: NightView, place: int, step: Step, now: float | None) -> dict[str, Any]:
    cells = [row.cells[place] for row in view.board.rows if place in row.cells]
    found: dict[str, Any] = {
        name: sum(getattr(cell, name) for cell in cells)
        for name in (
            *("running", "failed", "blocked", "lost", "skipped"),
            *("aside", "caveats", "again"),
        )
    }
    rate = step.rate(now)
    return {
        "name": step.name,
        "processor": step.processor,
        "description": step.description,
        "form": step.form,
        "segment": step.segment,
        "board": step.on_board,
        "images": _still_expected(view, place, step),
        "done": step.done,
        "seconds": round(step.seconds, 4),
        "rate": None if rate is None else round(rate, 3),
        **found,
    }


def _still_expected(view: NightView, place: int, step: Step) -> int | None:
    """Return images that are to pass a step: not the frames whose last use is its master."""
    if step.images is None:
        return None
    used_up = sum(
        len(row.frames) for row in view.board.rows if row.master and row.master_step == place
    )
    return max(step.images - used_up, step.done)


def _row(place: int, row: Row) -> list[Any]:
    return [place, row.name, row.kind, len(row.frames), row.master, row.master_step]


def _cells(view: NightView, place: int, row: Row, since: int) -> list[list[Any]]:
    """Return the cells of a row that changed; those of all steps if anything in it did.

    How many frames a cell expects depends on those that ended in the steps before.
    """
    if max(row.rev, row.changed) <= since:
        return []
    found, left = [], len(row.frames)
    ends = Counter(view.board.frames[place].end for place in row.frames)
    for number in range(len(view.board.steps)):
        cell = row.cells.get(number, EMPTY)
        expected = left if row.steps >> number & 1 else 0
        counts = [
            *(cell.done, cell.running, cell.failed, cell.blocked, cell.lost, cell.skipped),
            *(cell.aside, cell.caveats, cell.again),
        ]
        if view.board.steps[number].on_board and (expected or any(counts)):
            expected = max(expected, cell.done + cell.skipped)
            found.append([place, number, expected, *counts, round(cell.seconds, 4)])
        left -= ends[number]
    return found


def _task(view: NightView, index: int) -> Sequence[Any]:
    task: DoneTask = view.tasks[index]
    start = task.submitted if task.end is None else task.end - task.seconds
    return (
        index,
        task.worker,
        task.label,
        round(start, 3),
        round(task.seconds, 4),
        len(task.frames),
        task.row,
        task.attempt,
        int(task.lost),
    )


def _masters(view: NightView) -> list[dict[str, Any]]:
    return [
        {
            "step": str(master.get("step")),
            "name": str(master.get("name")),
            "frames": len(master.get("frames") or ()),
            "used_by": master.get("used_by"),
            "made": bool(master.get("made")),
        }
        for master in view.plan.get("masters") or ()
        if isinstance(master, dict)
    ]
