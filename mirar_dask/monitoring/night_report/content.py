"""What the report of a run holds, as data: collected from its folder and the night's products.

`sections` and the script `report.js` show it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import quote

from mirar_dask.errors import WriteError
from mirar_dask.json_files import read_object
from mirar_dask.monitoring import run_folder
from mirar_dask.monitoring.night import RunFollower
from mirar_dask.monitoring.night_report.masters import MasterLevel, master_levels
from mirar_dask.monitoring.night_report.pictures import Picture, pictures
from mirar_dask.monitoring.outcome_report import OutcomeReport, read_report
from mirar_dask.monitoring.quality.columns import COLUMNS
from mirar_dask.monitoring.quality.files import write_measurements
from mirar_dask.monitoring.quality.measurements import Row, measure, table_folders, time_of
from mirar_dask.monitoring.runs import REQUEST
from mirar_dask.monitoring.standing import Standing

MOST_LOGS = 200
"""Tasks whose log lines are in the report; those that went wrong first."""
_DIGITS = 6


@dataclass(frozen=True)
class Content:
    """Everything that a report shows."""

    outcome: OutcomeReport
    night: Mapping[str, Any]
    """What `RunFollower.everything` tells: for the board, the flow, the timeline."""
    rows: Sequence[Row]
    """What was measured."""
    masters: Sequence[MasterLevel]
    pictures: Sequence[Picture]
    pictures_left: int
    """Products that would be shown too, had there been time to draw them."""
    request: Mapping[str, Any]
    """What was asked for; empty where that was not written down."""
    made: datetime
    """When the report was made, UTC."""

    @property
    def standing(self) -> Standing:
        """How the run stands."""
        return self.outcome.standing


def collect(standing: Standing, *, seconds_of_pictures: float = 20.0) -> Content:
    """Collect what the report of a run holds.

    Parameters
    ----------
    standing : Standing
        Of a run that goes on, is over, or crashed.
    seconds_of_pictures : float
        How long pictures are drawn at most.
    """
    outcome, output = read_report(standing), standing.output
    night = RunFollower(standing.folder).everything()
    frames = {name for names in night["frames"] for name in names}
    files = run_folder.product_files(output) if output.is_dir() else {}
    rows = measure(files, output, table_folders(output), frames=frames)
    request = _request(standing.folder)
    archives = [Path(str(path)) for path in request.get("calibrations") or ()]
    drawn, left = pictures(rows, output, seconds=seconds_of_pictures)
    return Content(
        outcome=outcome,
        night=night,
        rows=rows,
        masters=master_levels(output, archives),
        pictures=drawn,
        pictures_left=left,
        request=request,
        made=datetime.now(UTC),
    )


def keep_measurements(content: Content) -> str:
    """Write the measurements into the run's folder; say why not, if that cannot be done."""
    try:
        write_measurements(content.rows, content.standing.folder)
    except (WriteError, OSError) as error:  # a run of another user, a disk that is read-only
        return str(error)
    return ""


def script_data(content: Content, place: Path) -> dict[str, Any]:
    """Return what the scripts of the report draw.

    Parameters
    ----------
    content : Content
        What `collect` returned.
    place : Path
        Folder in which the report will stand: links are told from there.
    """
    link = Linker(content.standing.output, place)
    return {
        **content.night,
        "products": {kind: len(paths) for kind, paths in content.outcome.products.items()},
        "report": {
            "columns": [
                {name: getattr(column, name) for name in ("name", "doc", "unit", "plot", "text")}
                for column in COLUMNS
            ],
            # By column, as most of a table is numbers.
            "values": [[_short(row[column.name]) for row in content.rows] for column in COLUMNS],
            "times": [time_of(row) for row in content.rows],
            "base": link(""),
            "masters": [_master(one) for one in content.masters],
        },
    }


class Linker:
    """Makes links from a report to products: relative, so that both can move together.

    Parameters
    ----------
    output : Path
        The night's folder.
    place : Path
        The report's.
    """

    def __init__(self, output: Path, place: Path) -> None:
        self._base = os.path.relpath(output, place)

    def __call__(self, file: str) -> str:
        """Return the link to a file that is named from the night's folder."""
        return quote(f"{self._base}/{file}")


def _master(one: MasterLevel) -> dict[str, Any]:
    row = one.row
    level = row["level"] if row["level"] is not None else row["sky"]
    return {
        "night": one.night,
        "kind": one.kind,
        "group": one.group,
        "time": time_of(row),
        "level": _short(level),
        "noise": _short(row["noise"]),
        "combined": row["combined"],
        "file": Path(row["file"]).name,
        "ours": one.ours,
    }


def _short(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


class _RequestForm(TypedDict, total=False):
    """What is shown of a request, and must be what it seems."""

    calibrations: list[str]
    configurations: list[str]
    parameters: dict[str, Any]
    software: dict[str, Any]


def _request(folder: Path) -> dict[str, Any]:
    return read_object(folder / REQUEST, _RequestForm) or {}
