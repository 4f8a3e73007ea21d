"""`mirar-dask cancel RUN`: end a run wherever it is."""

from __future__ import annotations

from pathlib import Path

import click

from mirar_dask.cli.app import verbosity_option
from mirar_dask.cli.run_options import ask_job, out_option, output_folder


@click.command(short_help="End a run wherever it is.")
@click.argument("run")
@out_option
@click.option("--no-wait", is_flag=True, help="Do not wait until it is over.")
@verbosity_option
def cancel(run: str, out: Path | None, no_wait: bool, verbosity: int) -> None:
    """End RUN, in a queue, in a job, or as a process here or on another host.

    RUN is a run's name, the beginning of one, the path of a run's folder, or 'last'. Finished
    products stay whole; 'mirar-dask resume RUN' goes on another time.
    """
    from mirar_dask.cancel import cancel_run
    from mirar_dask.monitoring.runs import find_run

    cancel_run(find_run(run, output_folder(out)), ask_job, say=click.echo, wait=not no_wait)
