"""`mirar-dask report RUN`: what came out of a run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mirar_dask.cli.app import verbosity_option
from mirar_dask.cli.run_options import run_argument, standing_of


@click.command(short_help="Show what came out of a run.")
@run_argument
@click.option("--tracebacks", is_flag=True, help="Show the traceback of each failure.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, tracebacks included.")
@verbosity_option
def report(run: str, out: Path | None, tracebacks: bool, as_json: bool, verbosity: int) -> None:
    """Show what came out of RUN: frames, products, every failure by kind, caveats, the seconds.

    RUN is a run's name, the beginning of one, or the path of a run's folder; without it the newest
    run is shown. A run that goes on, or crashed, is reported as far as it came.
    """
    from mirar_dask.monitoring.console import make_console
    from mirar_dask.monitoring.outcome_report import read_report, report_view

    found = read_report(standing_of(run, out))
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1))
        return
    console = make_console()
    for part in report_view(found, tracebacks=tracebacks):
        console.print(part)
