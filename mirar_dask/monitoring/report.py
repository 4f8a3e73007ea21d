"""What a run leaves for its readers: a summary for people, and the same for machines as JSON.

`docs/summary.md` describes the JSON file field by field; a change of it raises `FORMAT`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirar_dask.atomic import replacing
from mirar_dask.monitoring.console import plural
from mirar_dask.monitoring.run_folder import REPORT
from mirar_dask.monitoring.state import FAILURES, PLAN_STEP
from mirar_dask.processors.base.outcome import Record, Status

if TYPE_CHECKING:
    from rich.console import RenderableType

FORMAT = 1
"""Version of the JSON summary."""
SHOWN = 10
"""Failures, and caveats, that the printed summary lists; the JSON file has all of them."""


@dataclass(frozen=True, kw_only=True, repr=False)
class RunSummary:
    """What a run did, with everything that a report needs and no pixels."""

    run_id: str
    pipeline: str
    night: str
    configurations: tuple[str, ...]
    cluster: str
    """Where the work was done: what ``--cluster`` was given."""
    workers: int
    started: datetime
    """UTC."""
    seconds: float
    """From the first header to the last product, start and end of the cluster included."""
    raw: Path
    """Folder of the raw frames."""
    output: Path
    """Folder of the night's products."""
    run_folder: Path
    """The run's own folder: plan, journal, log, this summary."""
    frames: Mapping[str, Status]
    """Status of each raw frame, by name."""
    records: tuple[Record, ...]
    """Everything that happened to a frame beside success."""
    products: tuple[Path, ...]
    """Files that the run wrote for the user, sorted."""
    continues: str | None = None
    """Name of the run that this one continued."""
    phases: Mapping[str, float] = field(default_factory=dict)
    """Seconds by phase; they add up to `seconds`."""
    bytes_read: Mapping[str, int] = field(default_factory=dict)
    """Bytes of pixels that were read, by the kind of their file."""
    bytes_written: Mapping[str, int] = field(default_factory=dict)
    """Bytes of files that were written, by kind."""

    @property
    def failures(self) -> tuple[Record, ...]:
        """What failed, was blocked or was lost."""
        return tuple(record for record in self.records if record.status in FAILURES)

    @property
    def caveats(self) -> tuple[Record, ...]:
        """What the user should know about results that are good otherwise."""
        return tuple(record for record in self.records if record.status is Status.CAVEATS)

    @property
    def counts(self) -> dict[str, int]:
        """Number of frames by status; they add up to the number of frames."""
        found = list(self.frames.values())
        return {status.value: found.count(status) for status in Status}

    @property
    def frames_per_second(self) -> float:
        """Raw frames over the seconds of the whole run."""
        return len(self.frames) / self.seconds if self.seconds > 0 else 0.0

    @property
    def exit_code(self) -> int:
        """Tell the shell: 0 all well, caveats included; 1 failures; 3 nothing could be done."""
        if not self.failures:
            return 0
        arrived = (Status.SUCCEEDED, Status.CAVEATS, Status.SKIPPED)
        done = self.products or any(status in arrived for status in self.frames.values())
        return 1 if done else 3

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {status}" for status, n in self.counts.items() if n)
        return (
            f"<RunSummary of {self.pipeline} {self.night}: {counts}; "
            f"{len(self.products)} products, {self.seconds:.1f} s>"
        )

    def __str__(self) -> str:
        from io import StringIO

        from rich.console import Console

        # Whatever surrounds this (a terminal, a notebook), the result is plain text.
        console = Console(
            file=StringIO(), width=100, color_system=None, force_terminal=False, force_jupyter=False
        )
        for part in summary_report(self):
            console.print(part)
        return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]

    def to_json(self) -> dict[str, Any]:
        """Return the summary as values that JSON knows; see ``docs/summary.md``."""
        return {
            "format": FORMAT,
            "software": versions(),
            "state": "ended",
            "run_id": self.run_id,
            "continues": self.continues,
            "pipeline": self.pipeline,
            "night": self.night,
            "configurations": list(self.configurations),
            "cluster": self.cluster,
            "workers": self.workers,
            "started": self.started.isoformat(timespec="milliseconds"),
            "seconds": round(self.seconds, 3),
            "frames_per_second": round(self.frames_per_second, 3),
            "exit_code": self.exit_code,
            "folders": {
                "raw": str(self.raw),
                "output": str(self.output),
                "run": str(self.run_folder),
            },
            "counts": {"frames": len(self.frames), **self.counts},
            "frames": {name: status.value for name, status in sorted(self.frames.items())},
            "products": [str(path) for path in self.products],
            "failures": [_record_json(record) for record in self.failures],
            "caveats": [_record_json(record) for record in self.caveats],
            "phases": {name: round(seconds, 3) for name, seconds in self.phases.items()},
            "bytes": {"read": dict(self.bytes_read), "written": dict(self.bytes_written)},
        }

    def save(self, path: Path) -> None:
        """Write the summary as JSON, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")


def _record_json(record: Record) -> dict[str, Any]:
    return {
        "frames": list(record.names),
        "status": record.status.value,
        "step": record.step,
        "reason": record.reason,
    }


def versions() -> dict[str, str]:
    """Return the versions that results may depend on."""
    import platform
    from importlib import metadata

    found = {"python": platform.python_version()}
    for name in ("mirar-dask", "numpy", "astropy", "dask"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def summary_report(
    summary: RunSummary, extra: Iterable[tuple[str, str]] = ()
) -> Sequence[RenderableType]:
    """Lay out a summary for people: failures and caveats first, then the table of figures.

    Parameters
    ----------
    summary : RunSummary
        What the run did.
    extra : iterable of (str, str)
        More rows for the table.
    """
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = []
    parts += _listed("failures", summary.failures, "red", summary)
    parts += _listed("caveats", summary.caveats, "yellow", summary)
    if parts:
        parts.append(Text())
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    rows = [
        ("frames", _frames_line(summary)),
        ("products", _products_line(summary)),
        ("failures", str(len(summary.failures))),
        ("seconds", _seconds_line(summary)),
        ("frames a second", _rate_line(summary)),
        *([("continues", summary.continues)] if summary.continues else []),
        *extra,
        ("look at", str(summary.output)),
        ("log, plan", str(summary.run_folder)),
    ]
    report = summary.run_folder / REPORT
    if report.exists():
        rows.append(("report", str(report)))
    for name, value in rows:
        table.add_row(name, Text(value))
    return [*parts, table]


def _frames_line(summary: RunSummary) -> str:
    counts = ", ".join(f"{n} {status}" for status, n in summary.counts.items() if n)
    return f"{len(summary.frames)} ({counts})" if counts else "0"


def _products_line(summary: RunSummary) -> str:
    folders: dict[str, int] = {}
    for path in summary.products:
        parent = path.parent
        inside = parent.is_relative_to(summary.output)
        name = str(parent.relative_to(summary.output)) if inside else str(parent)
        folders[name] = folders.get(name, 0) + 1
    parts = ", ".join(f"{n} in {name}/" for name, n in folders.items())
    return f"{len(summary.products)} files" + (f": {parts}" if parts else "")


def _seconds_line(summary: RunSummary) -> str:
    phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in summary.phases.items())
    return f"{summary.seconds:.1f}" + (f" ({phases})" if phases else "")


def _rate_line(summary: RunSummary) -> str:
    workers = plural(summary.workers, "worker")
    return f"{summary.frames_per_second:.1f} (cluster {summary.cluster}, {workers})"


def _listed(
    what: str, records: Sequence[Record], style: str, summary: RunSummary
) -> list[RenderableType]:
    """List records of one kind, those of one reason together."""
    from rich.text import Text

    by_reason: dict[tuple[str, str, str], list[str]] = {}
    for record in records:
        key = (record.status.value, record.step, record.reason)
        by_reason.setdefault(key, []).extend(record.names)
    lines: list[RenderableType] = []
    for (status, step, reason), names in list(by_reason.items())[:SHOWN]:
        who = _some(list(dict.fromkeys(names)))
        kind = "caveat" if status == Status.CAVEATS else status
        where = "" if step == PLAN_STEP else f" at {step}"
        lines.append(Text(f"{kind}{where}: {who}{reason}", style=style))
    left = len(by_reason) - SHOWN
    if left > 0:
        place = summary.run_folder / "summary.json"
        lines.append(Text(f"... and {plural(left, 'more reason')} for {what} in {place}", style))
    return lines


def _some(names: Sequence[str], shown: int = 3) -> str:
    if not names:
        return ""
    listed = ", ".join(names[:shown])
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{listed}{more}: "


def utc_now() -> datetime:
    """Return the time, UTC."""
    return datetime.now(UTC)
