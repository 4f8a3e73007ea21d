"""What came out of a run, as text and as JSON: products, failures by kind, caveats, the seconds.

`report` prints it. It is made of the run's folder alone, so it can be had of a run that goes on,
and of one that crashed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from mirar_dask.engine.journal import read_events, read_journal, read_record
from mirar_dask.engine.memo import MEMO
from mirar_dask.json_files import has_form, object_of
from mirar_dask.monitoring import run_folder
from mirar_dask.monitoring.account import Account
from mirar_dask.monitoring.console import plural
from mirar_dask.monitoring.standing import Standing
from mirar_dask.monitoring.state import FAILURES
from mirar_dask.monitoring.status_view import FORMAT, frames_line, line_json
from mirar_dask.processors.base.outcome import Record

if TYPE_CHECKING:
    from rich.console import RenderableType

_ABOUT_THE_NIGHT = re.compile("_error_stack|_processing_flowchart")
"""Names of files that stand beside the products and are none."""
CLOCK_SLACK = 2.0
"""Seconds by which the clock of a file server may be behind the driver's."""


@dataclass(frozen=True)
class Failure:
    """One thing that went wrong."""

    record: Record
    kind: str
    """Class of the error, or the first words of the reason where there was none."""
    traceback: str
    """Empty where there was no error, as for what was blocked."""

    def to_json(self) -> dict[str, Any]:
        """Return it as values that JSON knows."""
        return {
            "kind": self.kind,
            "status": self.record.status.value,
            "step": self.record.step,
            "frames": list(self.record.names),
            "reason": self.record.reason,
            "traceback": self.traceback,
        }


@dataclass(frozen=True)
class OutcomeReport:
    """What came out of a run so far."""

    standing: Standing
    products: dict[str, list[Path]]
    """Files that it wrote for the user, by the folder that names their kind."""
    failures: tuple[Failure, ...]
    seconds: float | None
    phases: dict[str, float]
    """Where the seconds went, as far as that is known."""

    def by_kind(self) -> dict[str, list[Failure]]:
        """Return the failures of each kind, the most frequent kind first."""
        found: dict[str, list[Failure]] = {}
        for failure in self.failures:
            found.setdefault(f"{failure.record.status}, {failure.kind}", []).append(failure)
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON knows."""
        return {
            "format": FORMAT,
            **line_json(self.standing),
            "products": {kind: [str(p) for p in paths] for kind, paths in self.products.items()},
            "failures": {
                kind: [failure.to_json() for failure in found]
                for kind, found in self.by_kind().items()
            },
            "caveats": [
                {"frames": list(r.names), "step": r.step, "reason": r.reason}
                for r in self.standing.caveats
            ],
            "seconds": self.seconds,
            "phases": self.phases,
        }


def read_report(standing: Standing) -> OutcomeReport:
    """Put together what came out of a run."""
    journal = standing.folder / run_folder.JOURNAL
    failures = tuple(_failures(journal)) if journal.exists() else ()
    summary = standing.summary
    if summary is not None:
        told = Path(summary.get("folders", {}).get("output", standing.output))
        paths = [_moved(Path(path), told, standing.output) for path in summary["products"]]
        seconds, phases = summary["seconds"], summary["phases"]
    else:
        paths = list(_written(standing))
        seconds, phases = _seconds_so_far(standing, journal)
    products: dict[str, list[Path]] = {}
    for path in paths:
        products.setdefault(_kind_of(path, standing.output), []).append(path)
    return OutcomeReport(standing, products, failures, seconds, phases)


def _moved(path: Path, told: Path, output: Path) -> Path:
    """Return where a product is now, if the night's folder was moved, or is seen elsewhere."""
    return output / path.relative_to(told) if path.is_relative_to(told) else path


def _failures(journal: Path) -> Iterator[Failure]:
    for entry in read_journal(journal):
        if entry.get("event") != "RecordAdded":
            continue
        try:
            record = read_record(entry.get("record", {}))
        except ValueError:  # of another version, or altered
            continue
        if record.status in FAILURES:
            report = entry["record"].get("report")
            report = report if isinstance(report, dict) else {}
            kind = str(report.get("error") or record.reason.partition(":")[0])
            yield Failure(record, kind, str(report.get("traceback", "")))


def _written(standing: Standing) -> Iterator[Path]:
    """Yield the products of a run that left no summary.

    One that is over has noted what was done with the files of it; of one that goes on, that is
    what was written since it began: its last files are noted when their tasks are.
    """
    started, output = standing.started, standing.output
    if started is None or not output.is_dir():
        return
    noted = _noted(standing.folder / MEMO, output) if standing.state.over else set()
    since = (started.timestamp() - CLOCK_SLACK) * 1e9
    for path, (_, changed, _) in sorted(run_folder.product_files(output).items()):
        if path.parent == output and _ABOUT_THE_NIGHT.search(path.name):
            continue
        if path in noted if noted else changed >= since:
            yield path


class _NodeForm(TypedDict, total=False):
    """What a line of the memo says of files: path in the night, size, time, inode."""

    marks: list[list[Any]]
    master: list[Any]


def _noted(memo: Path, output: Path) -> set[Path]:
    """Return the files that a run noted as its own, wherever the night is seen."""
    if not memo.exists():
        return set()
    with memo.open("rb") as file:
        lines = [entry for line in file if (entry := object_of(line))]
    known = [entry for entry in lines if has_form(entry, _NodeForm)]
    marks = [mark for entry in known for mark in (*entry.get("marks", ()), entry.get("master"))]
    return {output / str(mark[0]) for mark in marks if mark}


def _seconds_so_far(standing: Standing, journal: Path) -> tuple[float | None, dict[str, float]]:
    started, updated = standing.progress.started, standing.progress.updated
    if started is None or updated is None:
        return None, {}
    account = Account()
    for event in read_events(journal):
        account(event)
    seconds = updated - started
    return seconds, account.phases(seconds)


def _kind_of(path: Path, output: Path) -> str:
    inside = path.relative_to(output).parts if path.is_relative_to(output) else path.parts
    return inside[0] if len(inside) > 1 else "."


def report_view(report: OutcomeReport, *, tracebacks: bool = False) -> Sequence[RenderableType]:
    """Lay a report out for people.

    Parameters
    ----------
    report : OutcomeReport
        From `read_report`.
    tracebacks : bool
        Show the traceback of each failure that has one.
    """
    from rich.table import Table
    from rich.text import Text

    standing = report.standing
    head = Table(box=None, show_header=False, pad_edge=False)
    head.add_column(style="bold", no_wrap=True)
    head.add_column(overflow="fold")
    for name, value in _rows(report):
        head.add_row(name, Text(value))
    parts: list[RenderableType] = [Text(f"run {standing.run_id}: {standing.night}", "bold"), head]
    for kind, found in report.by_kind().items():
        parts += [Text(), Text(f"{kind} ({len(found)})", "bold red")]
        for failure in found:
            parts.append(_line(failure.record, style="red"))
            if tracebacks and failure.traceback:
                parts.append(Text(failure.traceback.rstrip(), style="dim"))
    if standing.caveats:
        parts += [Text(), Text(f"caveats ({len(standing.caveats)})", "bold yellow")]
        parts += [_line(record, style="yellow") for record in standing.caveats]
    if not tracebacks and any(failure.traceback for failure in report.failures):
        parts += [Text(), Text("--tracebacks shows where in the code each failure happened", "dim")]
    return parts


def _line(record: Record, *, style: str) -> RenderableType:
    from rich.padding import Padding
    from rich.text import Text

    names = f"{', '.join(record.names)}: " if record.names else ""
    return Padding(Text(f"at {record.step}: {names}{record.reason}", style), (0, 0, 0, 2))


def _rows(report: OutcomeReport) -> Iterator[tuple[str, str]]:
    standing = report.standing
    yield "state", f"{standing.state}" + (f": {standing.why}" if standing.why else "")
    yield "frames", frames_line(standing)
    number = sum(map(len, report.products.values()))
    kinds = ", ".join(f"{len(paths)} in {kind}/" for kind, paths in report.products.items())
    yield "products", plural(number, "file") + (f": {kinds}" if kinds else "")
    yield "failures", str(len(report.failures))
    if report.seconds is not None:
        phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in report.phases.items())
        yield "seconds", f"{report.seconds:.1f}" + (f" ({phases})" if phases else "")
    yield "look at", str(standing.output)
    yield "log, plan", str(standing.folder)
