"""A run's standing for people and for machines: what `status` and `runs` print."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirar_dask.monitoring.console import failure_line, plural
from mirar_dask.monitoring.job_file import OUTPUT
from mirar_dask.monitoring.run_folder import LOG, REPORT, SUMMARY
from mirar_dask.monitoring.standing import Standing, State
from mirar_dask.monitoring.step_table import StepRow, step_rows
from mirar_dask.monitoring.watched import read_glance, watch_facts
from mirar_dask.monitoring.words import night_page

if TYPE_CHECKING:
    from rich.console import RenderableType

FORMAT = 1
"""Version of the JSON descriptions of a run: `docs/summary.md`."""
SHOWN = 10
"""Failures that `status` lists; `report` lists all."""
NEXT = {
    State.INTERRUPTED: "'mirar-dask resume {run}' goes on with it",
    State.DEAD: "'mirar-dask resume {run}' goes on with it",
    State.NEVER_BEGAN: "'mirar-dask resume {run}' begins it",
}
"""What to do about a run that is over too early."""
WATCH_ON = "the same 'mirar-dask watch' goes on; 'mirar-dask resume {run}' reduces what is there"
"""The same, where it watched a night."""


def status_view(standing: Standing, chain: Sequence[Standing] = ()) -> list[RenderableType]:
    """Lay out how a run stands: its state, its steps, its failures.

    Parameters
    ----------
    standing : Standing
        Of the run.
    chain : sequence of Standing
        The runs that go on with one another, in their order, this one among them.
    """
    from rich.table import Table
    from rich.text import Text

    head = Table(box=None, show_header=False, pad_edge=False)
    head.add_column(style="bold", no_wrap=True)
    head.add_column(overflow="fold")
    for name, value in _facts(standing, chain):
        head.add_row(name, Text(value))
    parts: list[RenderableType] = [Text(f"run {standing.run_id}: {standing.night}", "bold"), head]
    rows = step_rows(standing.progress, standing.plan, over=standing.state.over)
    if rows:
        parts += [Text(), _table(rows, standing.state)]
    if standing.failures:
        parts.append(Text())
        shown = standing.failures[:SHOWN]
        parts += [Text(failure_line(record), style="red") for record in shown]
        if len(standing.failures) > SHOWN:
            more = plural(len(standing.failures) - SHOWN, "more failure")
            parts.append(Text(f"... and {more}: mirar-dask report {standing.folder}", "red"))
    return parts


def status_json(standing: Standing, chain: Sequence[Standing] = ()) -> dict[str, Any]:
    """Return how a run stands as values that JSON knows."""
    sign, job = standing.sign, standing.job
    return {
        "format": FORMAT,
        **line_json(standing),
        "why": standing.why,
        "host": standing.host or None,
        "process": sign.pid if sign else None,
        "last_sign_of_life": _iso(standing.seen),
        "job": None if job is None else {"system": job.system, "id": job.job_id},
        "chain": [{"run_id": one.run_id, "state": one.state.value} for one in chain],
        "steps": [
            {name: getattr(row, name) for name in StepRow.__dataclass_fields__}
            for row in step_rows(standing.progress, standing.plan, over=standing.state.over)
        ],
        "tasks": {
            "done": standing.progress.tasks_done,
            "under_way": len(standing.progress.in_flight),
            "lost": standing.progress.tasks_lost,
        },
        "failures": [
            {"frames": list(r.names), "status": r.status.value, "step": r.step, "reason": r.reason}
            for r in standing.failures
        ],
        "dashboard": standing.progress.dashboard if not standing.state.over else None,
        "watch": read_glance(standing.folder),
    }


def line_json(standing: Standing) -> dict[str, Any]:
    """Return the line of a run in a list of runs as values that JSON knows."""
    started = standing.started
    return {
        "run_id": standing.run_id,
        "pipeline": standing.output.parent.name,
        "night": standing.output.name,
        "state": standing.state.value,
        "started": started.isoformat(timespec="seconds") if started else None,
        "frames": dict(standing.frames),
        "n_failures": len(standing.failures),
        "folders": {"output": str(standing.output), "run": str(standing.folder)},
    }


def runs_view(standings: Iterable[Standing]) -> RenderableType:
    """Lay out many runs, a line each."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("run", "pipeline, night", "state", "started"):
        table.add_column(heading, no_wrap=True)
    table.add_column("frames", overflow="fold")
    for one in standings:
        style = _style(one)
        cells = (one.run_id, one.night, one.state.value, _when(one.started), frames_line(one))
        table.add_row(*map(Text, cells), style=style)
    return table


def frames_line(standing: Standing) -> str:
    """Say how many frames there are, and what became of them."""
    if not standing.frames:
        return "not known yet" if not standing.state.over else "none"
    counts = ", ".join(f"{n} {status}" for status, n in standing.frames.items())
    return f"{standing.number_of_frames} ({counts})"


def _facts(standing: Standing, chain: Sequence[Standing]) -> Iterable[tuple[str, str]]:
    why = f": {standing.why}" if standing.why else ""
    yield "state", f"{standing.state}{why}"
    job = standing.job
    if standing.state is State.NEVER_BEGAN and (said := _last_words(standing.folder / OUTPUT)):
        yield "it said", said
    if job and job.job_id and job.title not in standing.why:
        yield "job", job.title
    if standing.state in NEXT and standing.folder == (chain or [standing])[-1].folder:
        watches = read_glance(standing.folder) is not None
        yield "next", (WATCH_ON if watches else NEXT[standing.state]).format(run=standing.folder)
    if standing.host:
        yield "host", standing.host
    if job and job.submitted:
        yield "submitted", f"{_when(datetime.fromisoformat(job.submitted))} on {job.host}"
    if standing.started:
        yield "started", _when(standing.started)
    if standing.seen is not None and not standing.state.over:
        yield "last sign", f"{max(0.0, time.time() - standing.seen):.0f} s ago"
    elif standing.seen is not None:
        yield "last sign", _when(datetime.fromtimestamp(standing.seen, UTC))
    yield "frames", frames_line(standing)
    if (watched := read_glance(standing.folder)) is not None:
        yield from watch_facts(watched)
    progress = standing.progress
    if progress.started is not None and not standing.state.over:
        under_way = f"{progress.tasks_done} done, {len(progress.in_flight)} under way"
        lost = f", {progress.tasks_lost} lost" if progress.tasks_lost else ""
        yield "tasks", f"{under_way}{lost}; {plural(progress.workers, 'worker')}"
        if progress.dashboard:
            yield "night's page", night_page(progress.dashboard)
            yield "dashboard", progress.dashboard
    if len(chain) > 1:
        yield "chain", " > ".join(_link(one, standing) for one in chain)
    yield "products", str(standing.output)
    names = [name for name in (SUMMARY, REPORT, LOG, OUTPUT) if (standing.folder / name).exists()]
    yield "run folder", f"{standing.folder} ({', '.join(names)})" if names else str(standing.folder)


def _last_words(path: Path) -> str:
    """Return the last line that a job printed, if it printed anything."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _link(one: Standing, shown: Standing) -> str:
    return f"{'this' if one.folder == shown.folder else one.run_id} ({one.state})"


def _table(rows: Sequence[StepRow], state: State) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    # What no product needed is not done: nobody subtracts the bias from a bias frame.
    rest = "left out" if state is State.ENDED else "not done" if state.over else "waiting"
    headings = ["expected", rest, "ready", "running", "succeeded"]
    headings += ["failed", "blocked", "skipped", "lost"]
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("step", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        # How many there would be is known at the end: nothing is left out that nobody planned.
        waiting = 0 if state is State.ENDED and row.waiting is None else row.waiting
        figures: list[int | None] = [row.expected, waiting, row.ready, row.running]
        figures += [row.succeeded, row.failed, row.blocked, row.skipped, row.lost]
        texts = ["?" if n is None else str(n or ".") for n in figures]
        bad = row.failed or row.blocked or row.lost
        table.add_row(*map(Text, (row.step, *texts)), style="red" if bad else "")
    return table


def _style(standing: Standing) -> str:
    if standing.state in (State.DEAD, State.NEVER_BEGAN) or standing.failures:
        return "red"
    return "" if standing.state.over else "bold"


def _when(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else ""


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
