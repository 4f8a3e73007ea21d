"""Naming a run on the command line: what `status`, `report`, `cancel` and `runs` share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mirar_dask.paths import OUTPUT_DATA_DIR_VARIABLE

if TYPE_CHECKING:
    from mirar_dask.monitoring.job_file import Job
    from mirar_dask.monitoring.standing import Standing

out_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Output folder, or that of one night in it (default: OUTPUT_DATA_DIR).",
)
"""Where runs are looked for."""


def run_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument that names a run, and the folder in which it is looked for."""
    return click.argument("run", required=False, default="last")(out_option(command))


def output_folder(out: Path | None) -> Path:
    """Return the folder in which runs are looked for: as `run` decides where it writes."""
    from mirar_dask.paths import load_env

    load_env()
    folder = Path(out or os.environ.get(OUTPUT_DATA_DIR_VARIABLE) or Path.home())
    return folder.expanduser().absolute()


def standing_of(run: str, out: Path | None) -> Standing:
    """Find the run that was named, and read how it stands."""
    from mirar_dask.monitoring.standing import read_standing

    return read_standing(find(run, out), ask_job)


def find(run: str, out: Path | None) -> Path:
    """Return the folder of the run that was named."""
    from mirar_dask.monitoring.runs import find_run

    return find_run(run, output_folder(out))


def ask_job(job: Job) -> tuple[str, str] | None:
    """Ask the queue system about a run's job: its state, and why it is pending."""
    from mirar_dask.cluster.squeue import JobState, ask_slurm_now

    states = ask_slurm_now([job.job_id]) if job.system == "slurm" else None
    if states is None:
        return None
    found = states.get(job.job_id, JobState(""))
    return found.state, found.reason
