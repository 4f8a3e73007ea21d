"""`mirar-dask submit PIPELINE`: reduce a night in a job of its own, driver and all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mirar_dask.cli.app import verbosity_option
from mirar_dask.cli.options import alarm_options, night_options, settings_from
from mirar_dask.errors import UsageError

if TYPE_CHECKING:
    from mirar_dask.cluster.driver_job import DriverJob
    from mirar_dask.config import NightSettings

RESUBMITTED = 10
"""Jobs that may go on with one another where nobody said."""

_OPTIONS = (
    click.option("--driver-cores", type=click.IntRange(min=1), metavar="N", help="Its cores."),
    click.option("--driver-memory", metavar="SIZE", help="Its memory, such as 8GB."),
    click.option(
        "--driver-walltime", metavar="TIME", help="How long it may run (default: --walltime)."
    ),
    click.option("--driver-queue", metavar="NAME", help="Its queue (default: --queue)."),
    click.option("--driver-project", metavar="NAME", help="Its project (default: --project)."),
    click.option(
        "--driver-option",
        "driver_options",
        multiple=True,
        metavar="LINE",
        help="A further line for the queue system, such as --qos=low; again and again.",
    ),
    click.option(
        "--queue-system",
        metavar="NAME",
        help="slurm (default), or pbs, sge, lsf, oar: for these the script is written only.",
    ),
    click.option(
        "--resubmit",
        type=click.IntRange(min=0),
        default=RESUBMITTED - 1,
        show_default=True,
        metavar="N",
        help="How often another job may go on where the time of one was not enough.",
    ),
)
"""What the driver's job asks for."""


def _driver_options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(short_help="Reduce a night in a job of its own.")
@night_options
@click.option("--fail-fast", is_flag=True, help="Begin nothing new after the first failure.")
@click.option(
    "--skip-existing", is_flag=True, help="Do not do again what earlier runs of the night did."
)
@click.option("--clobber", is_flag=True, help="Make masters again that earlier runs left.")
@alarm_options
@_driver_options
@click.option("--dry-run", is_flag=True, help="Print the job's script and stop.")
@click.option(
    "--script",
    "script_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the job's script and stop.",
)
@verbosity_option
def submit(
    *, dry_run: bool, script_path: Path | None, resubmit: int, verbosity: int, **options: Any
) -> None:
    """Reduce a night by PIPELINE in a job: 'run' with its options, but the driver is in the job.

    The command returns when the job is in the queue. With --cluster slurm the driver submits the
    jobs of its workers; with --cluster local (the default) the workers are in the driver's job;
    with --cluster slurm-runner --workers N they are further tasks of it.
    """
    from mirar_dask.cli.plan import write_file
    from mirar_dask.cli.run import run as run_command
    from mirar_dask.cli.words import command_words
    from mirar_dask.request import prepare

    said = {name: options.pop(name) for name in list(options) if name.startswith("driver_")}
    said["queue_system"] = options.pop("queue_system")
    workers = options.pop("workers") if options["cluster"] == "slurm-runner" else None
    driver = _driver(settings_from(dict(options)), said, workers)
    options = _filled(options, driver)
    words = command_words(run_command, options)
    settings = settings_from(options)
    settings.resolve_alarms()  # what is wrong with them is found out now, not in the job
    request = prepare(settings)
    if dry_run or script_path is not None:
        from mirar_dask.submit import script_text

        text = script_text(words, driver, f"mirar-dask-{request.folders.night}.out")
        if script_path is None:
            click.echo(text, nl=False)
            return
        write_file(script_path, text, option="--script")
        from mirar_dask.cluster.driver_job import SUBMITTED_BY

        click.echo(f"not submitted: {SUBMITTED_BY[driver.system]} {script_path}")
        return
    from mirar_dask.submit import submit_request

    folder, job = submit_request(request, words, driver, most=resubmit + 1)
    click.echo(f"run {folder.name} of {request.title} is queued: {job.title}")
    for verb in ("status", "cancel"):
        click.echo(f"  mirar-dask {verb} {folder}")


def _driver(settings: NightSettings, said: dict[str, Any], workers: int | None) -> DriverJob:
    """Choose the driver's job, by what was said of it and by the cluster that it will use."""
    from mirar_dask.cluster.amounts import read_memory, read_walltime
    from mirar_dask.cluster.driver_job import driver_for

    spec = settings.resolve_cluster().spec
    if spec.traits.queue:
        from mirar_dask.cluster.job_script import with_dask_defaults

        spec, _ = with_dask_defaults(spec)
    memory, walltime = said["driver_memory"], said["driver_walltime"]
    return driver_for(
        spec,
        system=said["queue_system"],
        cores=said["driver_cores"],
        memory=read_memory(memory, name="--driver-memory") if memory else None,
        walltime=read_walltime(walltime, name="--driver-walltime") if walltime else None,
        queue=said["driver_queue"],
        project=said["driver_project"],
        options=said["driver_options"],
        workers=workers,
    )


def _filled(options: dict[str, Any], driver: DriverJob) -> dict[str, Any]:
    """Say how many workers fit the job, where they are in it: not what its host would hold."""
    from mirar_dask.cluster.amounts import MIN_MEMORY
    from mirar_dask.cluster.driver_job import memory_of_workers
    from mirar_dask.monitoring.console import plural

    spec = settings_from(dict(options)).resolve_cluster().spec
    if spec.kind not in ("local", "threads"):
        return options
    workers = spec.workers or driver.cores
    room = memory_of_workers(driver)
    memory = spec.memory or max(room, 0) // workers
    if memory < MIN_MEMORY or memory * workers > room:
        raise UsageError(
            f"{plural(workers, 'worker')} and the driver do not fit the job's "
            f"{driver.memory / 1e9:.1f} GB; give more --driver-memory, fewer --workers, or less "
            "--memory"
        )
    return {**options, "workers": workers, "memory": str(memory)}
