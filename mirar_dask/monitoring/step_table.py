"""How far each step of a run is, as figures: what the plan expects, and what has become of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mirar_dask.engine.events import TaskSubmitted
from mirar_dask.monitoring.state import RunState, StepState, steps_of

WITHOUT_TASKS = {"pass", "header", "source"}
"""Forms of steps that concern headers only; they are shown where something happened in them."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """Figures of one step, in images."""

    step: str
    expected: int | None
    """Images to which it will do something by the plan; None where only the run will tell."""
    waiting: int | None
    """Of those, images that nothing has become of: they are not there yet, or were left out."""
    ready: int
    """Images handed to a worker that is at something else."""
    running: int
    succeeded: int
    failed: int
    blocked: int
    skipped: int
    lost: int
    segment: int | None = None
    """Number of its segment; None before the first, or where nobody knows."""
    seconds_each: float | None = None
    """Seconds that a worker spends on an image; None before the first has passed."""
    seconds_left: float | None = None
    """Seconds for which all workers will be busy with what is left of it; None where unknown."""


def step_rows(
    state: RunState, plan: Mapping[str, Any] | None, *, over: bool = False
) -> list[StepRow]:
    """Return the figures of all steps that have any, in their order.

    Parameters
    ----------
    state : RunState
        What the journal tells.
    plan : mapping, optional
        The run's plan, as `Plan.to_json` gives it.
    over : bool
        Whether nothing more will come: what was under way when a driver was killed waits.
    """
    planned = {step["name"]: step for step in (plan or {}).get("steps", ())}
    ready = _ready(state.in_flight.values(), state.workers)
    rows: list[StepRow] = []
    for name in {**dict.fromkeys(planned), **dict.fromkeys(state.steps)}:
        quiet = planned.get(name, {}).get("form") in WITHOUT_TASKS
        entry = planned.get(name, {})
        expected = 0 if quiet else entry.get("work", entry.get("images"))
        row = _row(name, state, expected, ready.get(name, 0))
        if over:
            left = None if row.waiting is None else row.waiting + row.ready + row.running
            row = replace(row, waiting=left, ready=0, running=0)
        segment = entry.get("segment", -1)
        row = replace(row, segment=segment if segment >= 0 else None)
        if not quiet or row.failed or row.blocked or row.lost or row.skipped:
            rows.append(row)
    return _with_times(_passed_before(rows), state, plan or {})


def time_left(rows: Sequence[StepRow]) -> tuple[float | None, bool]:
    """Return the seconds that a run will last as far as they are known, and whether all are."""
    known, whole = [], True
    for row in rows:
        if row.seconds_left is None:
            whole = False
        else:
            known.append(row.seconds_left)
    measured = any(row.seconds_each is not None for row in rows)
    return (sum(known) if measured else None), whole


def _with_times(rows: list[StepRow], state: RunState, plan: Mapping[str, Any]) -> list[StepRow]:
    """Add what an image takes, and how long the rest will.

    Images that failed at a step will not reach those behind it. Where only the run will tell how
    many images come, the batches that will do are counted.
    """
    batches = Counter(step for batch in plan.get("batches", ()) for step in batch.get("steps", ()))
    workers, gone, found = max(1, state.workers), 0, []
    for row in rows:
        at = state.steps.get(row.step, StepState())
        rest: float | None = None
        if row.waiting is not None:
            images = max(0, row.waiting - gone) + row.ready + row.running
            rest = images * at.each if at.each is not None else (None if images else 0.0)
        elif at.tasks:
            rest = max(0, batches[row.step] - at.tasks) * at.seconds / at.tasks
        if state.ended:
            rest = 0.0
        left = None if rest is None else rest / workers
        found.append(replace(row, seconds_each=at.each, seconds_left=left))
        gone += row.failed + row.blocked + row.lost
    return found


def _passed_before(rows: list[StepRow]) -> list[StepRow]:
    """Count images that were skipped behind a step as skipped in it too.

    A run notes them once, at the last of the steps that an earlier run had taken them through.
    """
    found, behind = [], 0
    for row in reversed(rows):
        behind = row.skipped or behind
        more = min(behind, row.waiting or 0) if not row.skipped else 0
        found.append(replace(row, skipped=row.skipped + more, waiting=_less(row.waiting, more)))
    return found[::-1]


def _less(number: int | None, by: int) -> int | None:
    return None if number is None else number - by


def _row(name: str, state: RunState, expected: int | None, ready: int) -> StepRow:
    at = state.steps.get(name)
    if at is None:
        return StepRow(name, expected, expected, 0, 0, 0, 0, 0, 0, 0)
    ready = min(ready, at.running)
    waiting = None
    if expected is not None:
        waiting = max(0, expected - at.done - at.failed - at.skipped - at.running)
    failed = at.failed - at.blocked - at.lost
    return StepRow(
        name, expected, waiting, ready, at.running - ready, at.done, failed, at.blocked,
        at.skipped, at.lost,
    )  # fmt: skip


def _ready(tasks: Iterable[TaskSubmitted], workers: int) -> dict[str, int]:
    """Count, by step, the images of tasks that wait for their worker: all but the oldest few."""
    found: dict[str, int] = {}
    oldest_first = sorted(tasks, key=lambda task: (task.time, task.number))
    for task in oldest_first[max(1, workers) :]:
        for name in steps_of(task.label):
            found[name] = found.get(name, 0) + len(task.names)
    return found
