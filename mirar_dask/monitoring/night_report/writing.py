"""Puts the night's report together as one HTML file, which needs nothing from anywhere."""

from __future__ import annotations

from functools import cache
from html import escape
from importlib import resources
from pathlib import Path

from mirar_dask.atomic import replacing
from mirar_dask.monitoring.night_report.content import (
    Content,
    Linker,
    collect,
    keep_measurements,
    script_data,
)
from mirar_dask.monitoring.night_report.sections import (
    card,
    caveats_part,
    failures_part,
    pictures_part,
    products_part,
    provenance_part,
)
from mirar_dask.monitoring.page.assets import night_page
from mirar_dask.monitoring.run_folder import REPORT
from mirar_dask.monitoring.standing import Standing
from mirar_dask.monitoring.status_view import frames_line

PARTS = ("head", "flow", "board", "timeline")
"""What is drawn as on the page of a night that goes on; figures of memory too, if there are any."""


def write_report(
    standing: Standing, path: Path | None = None, *, seconds_of_pictures: float = 20.0
) -> Path:
    """Write the report of a run, and its measurements beside it.

    Parameters
    ----------
    standing : Standing
        How the run stands; see `mirar_dask.monitoring.standing.read_standing`.
    path : Path, optional
        Where to; into the run's own folder by default.
    seconds_of_pictures : float
        How long pictures are drawn at most.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    WriteError
        If it cannot be written. That the measurements cannot be kept in the run's folder is no
        error where the report is written elsewhere.
    """
    path = path or standing.folder / REPORT
    content = collect(standing, seconds_of_pictures=seconds_of_pictures)
    keep_measurements(content)
    text = report_html(content, path.absolute().parent)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def report_html(content: Content, place: Path) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    content : Content
        What it shows.
    place : Path
        Folder in which it will stand.
    """
    link = Linker(content.standing.output, place)
    parts = {
        "failures": failures_part(content),
        "caveats": caveats_part(content),
        "quality": _measured("quality", "Quality", "plots"),
        "masters": _measured("masters", "Masters, this night and others", "levels"),
        "pictures": pictures_part(content, link),
        "measurements": card(
            "measurements", "Measurements", '<div id="table"></div>', note=_files(content, link)
        ),
        "products": products_part(content, link),
        "provenance": provenance_part(content),
    }
    jumps = "".join(f'<a href="#{name}">{name}</a>' for name, part in parts.items() if part)
    return night_page(
        script_data(content, place),
        title=f"{content.standing.night}, run {content.standing.run_id}",
        before=f'<nav class="jumps" aria-label="sections">{jumps}</nav>{_noscript(content)}',
        after="".join(parts.values()),
        parts=[*PARTS, *(["resources"] if content.night["samples"] else [])],
        more_style=_static("report.css"),
        more_script=_static("report.js"),
    )


def _measured(anchor: str, title: str, place: str) -> str:
    return card(anchor, title, f'<div id="{place}"></div>')


def _files(content: Content, link: Linker) -> str:
    run = f"runs/{content.standing.run_id}"
    names = [f"measurements.{suffix}" for suffix in ("tsv", "json", "parquet")]
    known = [name for name in names if (content.standing.folder / name).exists()]
    links = [f'<a href="{escape(link(f"{run}/{name}"))}">{name}</a>' for name in known]
    return f"The same as files: {', '.join(links)}." if links else ""


def _noscript(content: Content) -> str:
    standing = content.standing
    text = f"{standing.night}: {standing.state}, frames: {frames_line(standing)}."
    return (
        f'<noscript><section class="card wide"><h1>{escape(standing.night)}</h1><p>{escape(text)} '
        "Board, plots and tables are drawn by the script in this file; allow it to run."
        "</p></section></noscript>"
    )


@cache
def _static(name: str) -> str:
    return resources.files(__package__).joinpath("static", name).read_text(encoding="utf-8")
