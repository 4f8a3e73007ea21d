"""Putting a run's driver into a job of its own, and letting another job go on with it.

The commands `submit`, `run` and `resume` call it. What a job asks for is decided by
`cluster.driver_job`, and handed over by `cluster.submission`.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirar_dask.config import check_output_folder
from mirar_dask.errors import ClusterError, UsageError
from mirar_dask.redaction import is_secret, redacted

if TYPE_CHECKING:
    from mirar_dask.cluster.driver_job import DriverJob
    from mirar_dask.engine.plan import Plan
    from mirar_dask.monitoring.job_file import Job
    from mirar_dask.request import Request

PROGRAM = (sys.executable, "-m", "mirar_dask")
"""What a job starts: the Python that submits it."""


def submit_request(
    request: Request, words: Sequence[str], driver: DriverJob, *, most: int = 1
) -> tuple[Path, Job]:
    """Submit a job that carries a request out.

    Parameters
    ----------
    request : Request
        From `prepare`; its cluster is what the driver will use.
    words : sequence of str
        The command line, after the program's name, that makes the same request in the job.
    driver : DriverJob
        What the job asks for.
    most : int
        Number of jobs that may go on with one another where the time of one does not suffice.

    Returns
    -------
    folder : Path
        The run's folder.
    job : Job
        With the number that SLURM gave it.

    Raises
    ------
    UsageError
        If the request cannot be carried out, or there is no SLURM here; nothing was submitted.
    ClusterError
        If SLURM refuses the job, or those of the workers; nothing is left.
    """
    from mirar_dask.cluster.submission import need_sbatch, try_script, try_workers
    from mirar_dask.monitoring.job_file import Job
    from mirar_dask.planning import cluster_for, plan_request

    if driver.system != "slurm":
        raise UsageError(
            f"jobs are submitted to SLURM only; --script FILE writes the script for {driver.system}"
        )
    need_sbatch()
    check_output_folder(request.folders)
    plan = plan_request(request)
    with tempfile.TemporaryDirectory() as place:
        script = Path(place, "job.sh")
        script.write_text(_script(driver, [*words, "--run-id", "RUN"], Path(place)))
        try_script(script)
    if request.cluster.kind == "slurm":
        try_workers(cluster_for(request, plan))
    job = Job(system=driver.system, steps=driver.tasks > 1, most=most, driver=asdict(driver))
    return _submit(request, plan, words, driver, job)


def _submit(
    request: Request, plan: Plan | None, words: Sequence[str], driver: DriverJob, job: Job
) -> tuple[Path, Job]:
    """Make the folder of a run that is to be, and submit its job; leave nothing if that fails."""
    from mirar_dask.cluster.submission import submit_script
    from mirar_dask.monitoring import run_folder
    from mirar_dask.monitoring.job_file import SCRIPT, write_job
    from mirar_dask.resuming import save_request

    now = datetime.now(UTC)
    run_id = run_folder.new_run_id(now)
    folder = run_folder.make_run_folder(request.folders.output, run_id)
    try:
        save_request(request, folder)
        if plan is not None:
            text = json.dumps(plan.to_json(), indent=1) + "\n"
            (folder / run_folder.PLAN).write_text(text, encoding="utf-8")
        driver = replace(driver, name=f"mirar-dask-{run_id}")
        script = folder / SCRIPT
        script.write_text(_script(driver, [*words, "--run-id", run_id], folder), encoding="utf-8")
        job = replace(job, submitted=now.isoformat(timespec="seconds"), host=socket.gethostname())
        write_job(folder, job)  # it may begin before we know its number
        job = replace(job, job_id=submit_script(script))
        write_job(folder, job)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder, job


def script_text(words: Sequence[str], driver: DriverJob, output: str) -> str:
    """Return the script of a job that carries a request out, for somebody else to submit.

    Raises
    ------
    UsageError
        If an option holds a secret, which many can read in a job's script.
    """
    for word in words:
        if redacted(word) != word or (is_secret(word.partition("=")[0]) and "=" in word):
            raise UsageError(
                f"{word.partition('=')[0]}: this holds a secret, which would stand in the job's "
                "script; name a file that only you can read (--cluster-config FILE), or an "
                "environment variable"
            )
    from mirar_dask.cluster.driver_job import driver_script, environment_of_driver

    return driver_script(
        driver, [*PROGRAM, *words], output=output, environment=environment_of_driver()
    )


def _script(driver: DriverJob, words: Sequence[str], folder: Path) -> str:
    from mirar_dask.monitoring.job_file import OUTPUT

    return script_text(words, driver, str(folder / OUTPUT))


def go_on(request: Request, folder: Path) -> str:
    """Submit a job that goes on with a run which its own job's end cut short.

    Not if the run finished nothing (the next one would not either), nor for ever.

    Parameters
    ----------
    request : Request
        Of the run.
    folder : Path
        The run's folder.

    Returns
    -------
    str
        What was done, or why nothing was, in a sentence.
    """
    from mirar_dask.cluster.driver_job import DriverJob
    from mirar_dask.monitoring.cancellation import end_wished
    from mirar_dask.monitoring.job_file import HANDING_ON, read_job, write_job

    job = read_job(folder)
    by_hand = f"'mirar-dask resume {folder}' goes on with it"
    if (who := end_wished(folder)) is not None:
        return who
    if job is None or not job.driver:
        return f"the time of its job ended this run; {by_hand}"
    then: Job = job
    if job.number >= job.most:
        ending = f"ended by the time of its job, the last of {job.most} that were allowed"
        then = replace(job, ending=f"{ending}; {by_hand}")
    elif not achieved(folder):
        ending = "ended by the time of its job before anything was finished: more jobs of this "
        then = replace(job, ending=f"{ending}length would not help; {by_hand} in a longer one")
    else:
        write_job(folder, replace(job, ending=HANDING_ON))
        driver = DriverJob(**{name: _frozen(value) for name, value in job.driver.items()})
        following = replace(job, job_id="", number=job.number + 1, continues=folder.name)
        try:
            place, made = _submit(request, None, ["resume", str(folder)], driver, following)
            ending = f"ended by the time of its job; goes on as run {place.name}, {made.title}"
            then = replace(job, ending=ending)
        except (ClusterError, UsageError) as error:
            ending = f"ended by the time of its job; no other was submitted ({error})"
            then = replace(job, ending=f"{ending}; {by_hand}")
    write_job(folder, then)
    return then.ending


def achieved(folder: Path) -> bool:
    """Tell whether a run finished anything that is there for the next one."""
    from mirar_dask.engine.events import TaskFinished
    from mirar_dask.engine.journal import read_events
    from mirar_dask.monitoring.run_folder import JOURNAL

    return any(
        event.meter.written.get("products") or event.meter.written.get("masters")
        for event in read_events(folder / JOURNAL)
        if isinstance(event, TaskFinished)
    )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
