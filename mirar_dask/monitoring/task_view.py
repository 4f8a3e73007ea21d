"""Tasks of a run for people: one with everything that is known of it, or many, a line each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mirar_dask.monitoring.tasks import End, TaskStory
from mirar_dask.monitoring.words import brief, failure_line, plural, size_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

LISTED = 50
"""Tasks that are listed at most, where nobody asked for all."""
FRAMES = 20
"""Frames of one task that are named at most."""


def task_view(task: TaskStory) -> list[RenderableType]:
    """Lay out one task: frames, worker, attempts, seconds, what failed, what it logged."""
    from rich.table import Table
    from rich.text import Text

    head = Table(box=None, show_header=False, pad_edge=False)
    head.add_column(style="bold", no_wrap=True)
    head.add_column(overflow="fold")
    for name, value in _facts(task):
        head.add_row(name, Text(value))
    title = f"task {task.number}: {task.label}"
    parts: list[RenderableType] = [Text(title, "red" if _is_bad(task) else "bold"), head]
    if task.times:
        parts += [Text(), _times(task)]
    for failure in task.failures:
        parts += [Text(), Text(failure_line(failure.record), "red")]
        if failure.traceback:
            parts.append(Text(failure.traceback.rstrip()))
    parts += [Text(), Text("log" if task.log else "nothing was logged", "bold")]
    parts += [Text(line) for line in task.log]
    return parts


def tasks_view(tasks: Sequence[TaskStory], *, most: int = LISTED) -> list[RenderableType]:
    """Lay out many tasks, a line each."""
    from rich.table import Table
    from rich.text import Text

    parts = len({task.part for task in tasks}) > 1
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in (*(["configuration"] if parts else []), "task", "frames", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("log", justify="right", no_wrap=True)
    for heading in ("batch", "steps", "first frame"):
        table.add_column(heading, overflow="fold")
    for task in tasks[:most]:
        seconds = "" if task.seconds is None else f"{task.seconds:.3f}"
        cells = [str(task.part + 1)] if parts else []
        cells += [str(task.number), str(len(task.names)), seconds, task.end.value]
        cells += [str(len(task.log) or "."), task.batch, task.label, *task.names[:1]]
        table.add_row(*map(Text, cells), style="red" if _is_bad(task) else "")
    found: list[RenderableType] = [table]
    if len(tasks) > most:
        more = plural(len(tasks) - most, "more task")
        found.append(Text(f"and {more}: --task NUMBER or a frame's name shows one, --json all"))
    return found


def _is_bad(task: TaskStory) -> bool:
    return task.end in (End.FAILED, End.LOST, End.RETRIED, End.CUT_OFF)


def _facts(task: TaskStory) -> Iterator[tuple[str, str]]:
    yield "state", task.end.value
    if task.batch:
        yield "batch", task.batch
    shown = ", ".join(task.names[:FRAMES])
    more = f" and {len(task.names) - FRAMES} more" if len(task.names) > FRAMES else ""
    yield "frames", f"{len(task.names)}: {shown}{more}" if task.names else "none by name"
    if task.worker:
        yield "worker", task.worker
    for attempt in task.attempts:
        parts = []
        if attempt.submitted is not None:
            parts.append(f"submitted {_when(attempt.submitted)}")
        if attempt.ended is not None:
            parts.append(f"{'lost' if attempt.lost else 'back'} {_when(attempt.ended)}")
        why = f": {attempt.lost}" if attempt.lost else ""
        yield f"attempt {attempt.number + 1}", ", ".join(parts) + why
    if task.seconds is not None:
        last = task.attempts[-1] if task.attempts else None
        waited = ""
        if last is not None and last.submitted is not None and last.ended is not None:
            wait = max(0.0, last.ended - last.submitted - task.seconds)
            waited = f" (and {brief(wait)} on its way or waiting)"
        yield "seconds", f"{task.seconds:.3f}{waited}"
    for word, counted in (("read", task.meter.read), ("written", task.meter.written)):
        if counted:
            yield word, ", ".join(f"{size_text(n)} {kind}" for kind, n in counted.items())


def _times(task: TaskStory) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("step", no_wrap=True)
    table.add_column("seconds", justify="right")
    table.add_column("passed", justify="right")
    for step, seconds, n in task.times:
        table.add_row(Text(step), f"{seconds:.3f}", str(n or "."))
    return table


def _when(moment: float) -> str:
    fraction = f"{moment % 1:.3f}"[1:]
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment)) + f"{fraction} UTC"
