"""What is told of a run: its state, and a document with everything that is known of it.

The document is the run's summary. A run that did not come to its end leaves none; what its folder
tells is put into the same form then, and kept beside its journal.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirar_dask.atomic import replacing
from mirar_dask.errors import WriteError
from mirar_dask.exit_codes import Terminated, exit_code_of
from mirar_dask.monitoring import run_folder
from mirar_dask.monitoring.console import plural

if TYPE_CHECKING:
    from mirar_dask.monitoring.report import RunSummary

logger = logging.getLogger(__name__)

ENDED, INTERRUPTED, FAILED, REFUSED = "ended", "interrupted", "failed", "refused"
"""States: it came to its end; it was told to stop; an error ended it; it did not even begin."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """News of a run."""

    state: str
    """``ended``, ``interrupted``, ``failed`` or ``refused``; of a night that goes on, what its
    watcher calls the moment (``midway``)."""
    exit_code: int
    """What the shell is told."""
    why: str = ""
    """What ended it, where it did not come to its end."""
    document: Mapping[str, Any]
    """The summary; see ``docs/summary.md``."""
    path: Path | None = None
    """File that holds the document."""

    @property
    def well(self) -> bool:
        """Whether nobody need look: what was asked for is done."""
        return self.exit_code == 0

    @property
    def title(self) -> str:
        """What is reduced, in two words."""
        return f"{self.document['pipeline']} {self.document['night']}".strip()

    @property
    def folder(self) -> Path | None:
        """Folder of the run, if it has one."""
        run = self.document["folders"]["run"]
        return Path(run) if run else None

    @property
    def outcome(self) -> str:
        """How it stands, in a few words."""
        failures = len(self.document["failures"])
        found = plural(failures, "failure") if failures else "no failures"
        if self.state == REFUSED:
            return "could not begin"
        if self.state == ENDED:
            return "all well" if self.well else found
        return f"{self.state}, {found}"


def notice_of_summary(summary: RunSummary, *, state: str = ENDED, why: str = "") -> Notice:
    """Make the notice of a run that has a summary.

    Parameters
    ----------
    summary : RunSummary
        Of the run.
    state : str
        How it is called, if it is not the end that is told of.
    why : str
        What follows, such as a job that goes on with it.
    """
    path = summary.run_folder / run_folder.SUMMARY
    return Notice(
        state=state,
        exit_code=summary.exit_code,
        why=why,
        document={**summary.to_json(), "state": state, "why": why},
        path=path if path.exists() else None,
    )


def notice_of_error(
    error: BaseException, *, pipeline: str, night: str, folder: Path | None = None
) -> Notice:
    """Make the notice of a run that an error, a signal or Ctrl-C ended.

    Parameters
    ----------
    error : BaseException
        What ended it; its notes are told too.
    pipeline, night : str
        What was asked for, as far as that is known.
    folder : Path, optional
        The run's folder, if it has one; the document is kept there.
    """
    if folder is not None and not folder.is_dir():
        folder = None
    state = REFUSED if folder is None else FAILED
    if isinstance(error, KeyboardInterrupt):
        state = INTERRUPTED
    code, why = int(exit_code_of(error)), _sentence(error)
    document = {
        "state": state,
        "why": why,
        "exit_code": code,
        **(_unfinished(folder) if folder is not None else _unbegun(pipeline, night)),
    }
    path = None if folder is None else _kept(document, folder / run_folder.ENDING)
    return Notice(state=state, exit_code=code, why=why, document=document, path=path)


def notice_of_progress(folder: Path, *, state: str, why: str) -> Notice:
    """Make the notice of a run that goes on; the document is kept in its folder.

    Parameters
    ----------
    folder : Path
        The run's folder.
    state : str
        How the moment is called; the document's file too.
    why : str
        How it stands, in a sentence.
    """
    unfinished = _unfinished(folder)
    code = 1 if unfinished["failures"] else 0
    document = {"state": state, "why": why, "exit_code": code, **unfinished}
    path = _kept(document, folder / f"{state}.json")
    return Notice(state=state, exit_code=code, why=why, document=document, path=path)


def keep_ending(error: BaseException, folder: Path) -> None:
    """Write down what ended a run, for `status`; `notice_of_error` writes more.

    Parameters
    ----------
    error : BaseException
        What ended it.
    folder : Path
        The run's folder.
    """
    said = {"why": _sentence(error), "exit_code": int(exit_code_of(error))}
    _kept(said, folder / run_folder.ENDING)


def _kept(document: Mapping[str, Any], path: Path) -> Path | None:
    """Write the document down; on a disk that is full, people are told all the same."""
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    except WriteError as error:
        logger.warning("%s", error)
        return None
    return path


def _sentence(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, KeyboardInterrupt):
        text = f"ended by {error.args[0].name}" if isinstance(error, Terminated) else "Ctrl-C"
    parts = [text, *getattr(error, "__notes__", [])]
    said = "; ".join(" ".join(part.split()) for part in parts if part.strip())
    return said or type(error).__name__


def _unbegun(pipeline: str, night: str) -> dict[str, Any]:
    from mirar_dask.monitoring.report import FORMAT, versions

    return {
        "format": FORMAT,
        "software": versions(),
        "run_id": "",
        "pipeline": pipeline,
        "night": night,
        "started": None,
        "seconds": None,
        "folders": {"output": "", "run": ""},
        "counts": {"frames": 0},
        "frames": {},
        "products": [],
        "failures": [],
        "caveats": [],
    }


def _unfinished(folder: Path) -> dict[str, Any]:
    """Put what the folder of a run tells into the form of a summary."""
    from mirar_dask.monitoring.outcome_report import read_report
    from mirar_dask.monitoring.standing import read_standing

    standing = read_standing(folder)
    report = read_report(standing)
    started = standing.started
    return {
        **_unbegun(standing.output.parent.name, standing.output.name),
        "run_id": standing.run_id,
        "started": started.isoformat(timespec="milliseconds") if started else None,
        "seconds": None if report.seconds is None else round(report.seconds, 3),
        "folders": {"output": str(standing.output), "run": str(folder)},
        "counts": {"frames": standing.number_of_frames, **standing.frames},
        "products": [str(path) for paths in report.products.values() for path in paths],
        "failures": [_entry(failure.record) for failure in report.failures],
        "caveats": [_entry(record) for record in standing.caveats],
        "phases": report.phases,
    }


def _entry(record: Any) -> dict[str, Any]:
    return {
        "frames": list(record.names),
        "status": record.status.value,
        "step": record.step,
        "reason": record.reason,
    }
