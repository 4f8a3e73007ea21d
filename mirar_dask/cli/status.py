"""`mirar-dask status RUN` and `mirar-dask runs`: how runs stand, by their folders alone."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mirar_dask.cli.app import verbosity_option
from mirar_dask.cli.run_options import (
    ask_job,
    out_option,
    output_folder,
    run_argument,
    standing_of,
)

LISTED = 20
"""Runs that are listed where nobody says how many."""


@click.command(short_help="Show how a run stands.")
@run_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@verbosity_option
def status(run: str, out: Path | None, as_json: bool, verbosity: int) -> None:
    """Show how RUN stands, step by step: queued, running, ended, interrupted or dead.

    RUN is a run's name, the beginning of one, or the path of a run's folder; without it the newest
    run is shown. Nothing but the run's folder is needed, wherever it is seen.
    """
    from mirar_dask.monitoring.chain import chain_of
    from mirar_dask.monitoring.console import make_console
    from mirar_dask.monitoring.standing import read_standing
    from mirar_dask.monitoring.status_view import status_json, status_view

    standing = standing_of(run, out)
    folders = chain_of(standing.folder)
    chain = [
        standing if folder == standing.folder else read_standing(folder, ask_job)
        for folder in folders
    ]
    if as_json:
        click.echo(json.dumps(status_json(standing, chain), indent=1))
        return
    console = make_console()
    for part in status_view(standing, chain):
        console.print(part)


@click.command(short_help="List runs, the newest first.")
@out_option
@click.option(
    "--last",
    "number",
    type=click.IntRange(min=1),
    default=LISTED,
    show_default=True,
    metavar="N",
    help="How many.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@verbosity_option
def runs(out: Path | None, number: int, as_json: bool, verbosity: int) -> None:
    """List the runs of an output folder, or of one night in it, the newest first."""
    from mirar_dask.monitoring.console import make_console, plural
    from mirar_dask.monitoring.runs import run_folders
    from mirar_dask.monitoring.standing import read_standing
    from mirar_dask.monitoring.status_view import line_json, runs_view

    folder = output_folder(out)
    folders = run_folders(folder)
    standings = [read_standing(path, ask_job, glance=True) for path in folders[:number]]
    if as_json:
        click.echo(json.dumps([line_json(one) for one in standings], indent=1))
        return
    if not standings:
        click.echo(f"no run in {folder}")
        return
    console = make_console()
    console.print(runs_view(standings))
    if len(folders) > number:
        console.print(f"and {plural(len(folders) - number, 'older run')}: --last N shows more")
