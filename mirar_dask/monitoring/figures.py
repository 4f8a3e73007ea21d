"""The figures of a run that is under way, as lines: what panel, plain lines and notebooks show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mirar_dask.monitoring.state import RunState
from mirar_dask.monitoring.step_table import StepRow, step_rows, time_left
from mirar_dask.monitoring.words import duration, plural, size_text

Plan = Mapping[str, Any]
"""A plan as `Plan.to_json` gives it."""


def shown_rows(state: RunState, plan: Plan | None) -> list[StepRow]:
    """Return the steps that do something in this run, in their order."""
    rows = step_rows(state, plan)
    idle = [not (row.succeeded or row.running or row.ready or _trouble(row)) for row in rows]
    active = [number for number, nothing in enumerate(idle) if not nothing]
    last = active[-1] if active else -1
    found = []
    for number, row in enumerate(rows):
        # Without a plan nobody knows whether a step that the run has passed had anything to do.
        expected = row.expected if plan is not None else (None if number > last else 0)
        if expected != 0 or not idle[number]:
            found.append(row)
    return found


def _trouble(row: StepRow) -> bool:
    return bool(row.failed or row.blocked or row.lost or row.skipped)


def share_done(state: RunState, rows: Sequence[StepRow]) -> float | None:
    """Return which part of the work is done, counted in images and steps; None where unknown."""
    if state.ended:
        return 1.0
    known = [row for row in rows if row.expected and row.waiting is not None]
    wanted = sum(row.expected or 0 for row in known)
    if not wanted:
        return None
    rest = sum((row.waiting or 0) + row.ready + row.running for row in known)
    return min(1.0, max(0.0, 1.0 - rest / wanted))


def left_text(rows: Sequence[StepRow]) -> str:
    """Say how long the run will last; empty where nothing was measured yet."""
    seconds, whole = time_left(rows)
    if seconds is None or (seconds < 1.0 and not whole):
        return ""
    return f"about {duration(seconds)} left" if whole else f"more than {duration(seconds)} left"


def throughput(state: RunState) -> str:
    """Say how many frames there are, and how fast they go."""
    parts = [plural(state.n_frames, "frame")]
    pace = state.pace
    if pace is not None:
        parts.append(f"{pace.frames:.1f} frames/s")
        parts.append(f"read {size_text(pace.bytes_read)}/s")
        parts.append(f"written {size_text(pace.bytes_written)}/s")
    return " · ".join(parts)


def tasks_text(state: RunState) -> str:
    """Say what workers do, and what went otherwise than it should."""
    parts = [plural(state.workers, "worker")]
    parts.append(f"tasks: {state.tasks_done} done, {len(state.in_flight)} running")
    if state.n_skipped:
        parts.append(f"{state.n_skipped} done before")
    if state.tasks_lost:
        parts.append(f"{state.tasks_lost} lost")
    if state.n_failures:
        parts.append(plural(state.n_failures, "failure"))
    if state.n_caveats:
        parts.append(plural(state.n_caveats, "caveat"))
    return " · ".join(parts)


def resources(state: RunState) -> str:
    """Say what the run takes up, against what there is; empty before that is known."""
    sample = state.sample
    if sample is None:
        return ""
    memory = f"memory {size_text(sample.memory)}"
    if sample.memory_limit:
        memory += f" of {size_text(sample.memory_limit)}"
    if sample.fullest >= FULL:
        memory += f" (fullest worker {sample.fullest:.0%})"
    room = sample.cache_bytes + sample.cache_free
    cache = f"cache {size_text(sample.cache_bytes)}"
    if room:
        cache += f" of {size_text(room)}"
    parts = [memory, cache]
    if sample.disk_size:
        parts.append(f"disk {size_text(sample.disk_free)} free")
    return " · ".join(parts)


FULL = 0.75
"""Share of its memory from which a worker is worth a word: beyond it Dask begins to pause them."""


def progress_line(state: RunState, plan: Plan | None = None) -> str:
    """Say in one line how far a run is."""
    rows = step_rows(state, plan)
    parts = [throughput(state), tasks_text(state), left_text(rows) if plan else ""]
    return " · ".join(part for part in parts if part)
