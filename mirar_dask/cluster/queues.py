"""Workers as jobs of a queue system, by dask-jobqueue: started, watched, ended.

Its last release is of 2024. What it lacks is made good here and in `keeper`: a job that is
refused is told to the user, jobs that end are replaced, certificates lie where we put them.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import dask
from distributed import Client
from distributed.deploy.spec import ProcessInterface

from mirar_dask.cluster.certificates import certificates_for, security_at
from mirar_dask.cluster.dashboard import offer_dashboard
from mirar_dask.cluster.environment import FAR_SETTINGS, SETTINGS
from mirar_dask.cluster.job_script import (
    LOGS,
    cluster_class,
    job_arguments,
    layout_of,
    quiet,
    with_dask_defaults,
)
from mirar_dask.cluster.keeper import FRUITLESS, JobState, Keeper, States
from mirar_dask.cluster.listening import scheduler_options
from mirar_dask.cluster.spec import ClusterSpec
from mirar_dask.errors import ClusterError

if TYPE_CHECKING:
    from dask_jobqueue.core import Job, JobQueueCluster

logger = logging.getLogger(__name__)

NAME = "mirar"
"""Name of the cluster; without a hyphen, after which the numbers of jobs and workers stand."""
CLOSE_SECONDS = 15
"""How long to wait for jobs to be cancelled."""
ASK_SECONDS = 10
"""How long to wait for an answer of the queue system."""
TOLD_SECONDS = 30.0
"""How often it is said that jobs are still waited for."""
REMEDIES = (
    (r"time limit|walltime|TimeLimit", "give a shorter --walltime"),
    (r"node config|memory|cpu|NodeLimit|BadConstraints|resource", "give fewer --cores or less "
     "--memory"),
    (r"partition|queue|destination", "check --queue"),
    (r"account|project", "check --project"),
    (r"contact|connect|communicat", "see whether the queue system is up, and try again"),
    (r"QOS|limit|Assoc", "give fewer --workers, or ask those who run the queue system"),
)  # fmt: skip
"""What to do, by the words of a queue system that refuses a job."""
HOPELESS = re.compile("TimeLimit|NodeLimit|BadConstraints|InvalidAccount|InvalidQOS|PartitionDown$")
"""Reasons of SLURM for which a pending job would never start."""


def start_queue(spec: ClusterSpec, stack: ExitStack, *, dashboard: bool, folder: Path) -> Client:
    """Submit jobs, and return a client once the first of them gives a worker.

    Parameters
    ----------
    spec : ClusterSpec
        Of a queue system.
    stack : ExitStack
        Ends the jobs when it is closed.
    dashboard : bool
        Offer the dashboard, on this machine's loopback interface.
    folder : Path
        The run's folder, which the jobs see too.

    Raises
    ------
    ClusterError
        If the queue system is not here, refuses the jobs, or they end without a worker.
    """
    made = cluster_class(spec.kind)
    command = made.job_cls.submit_command.split()[0]
    if shutil.which(command) is None:
        raise ClusterError(
            f"--cluster {spec.kind}: there is no '{command}' here; run this where jobs are "
            "submitted (a login node), or use --cluster local"
        )
    spec, _ = with_dask_defaults(spec)
    layout = layout_of(spec)
    logger.info(layout.reason)
    stack.enter_context(dask.config.set({**SETTINGS, **FAR_SETTINGS}))
    arguments = job_arguments(spec, folder / LOGS)
    security = None
    if spec.encrypted:
        security = security_at(certificates_for(spec.certificates, folder, stack))
    refused: list[str] = []
    with quiet():
        cluster = made(
            **arguments,
            job_cls=_recording(made.job_cls, refused),
            name=NAME,
            security=security,
            protocol="tls://" if security else "tcp://",
            scheduler_options=scheduler_options(spec, security),
            silence_logs=logging.ERROR,
        )
    ask = ask_slurm if spec.kind == "slurm" else ask_nobody
    keeper = Keeper(cluster, layout, ask)
    stack.callback(_close, cluster, keeper)
    if dashboard:
        offer_dashboard(cluster.scheduler)
    keeper.start()
    _wait_for_one(cluster, keeper, folder / LOGS, refused)
    client = stack.enter_context(Client(cluster))
    keeper.follow()
    return client


def _recording(job_class: type[Job], refused: list[str]) -> type[Job]:
    """Return a class of jobs that notes what the queue system says when it refuses one.

    Raised in the event loop, as dask-jobqueue does, it would be lost there.
    """

    class Recording(job_class):
        async def start(self) -> None:
            try:
                await super().start()
            except (RuntimeError, OSError, ValueError) as error:
                logger.info("a job was refused: %s", error)
                refused.append(str(error))
                await ProcessInterface.start(self)

    return Recording


def refusal(message: str, kind: str) -> str:
    """Turn what a queue system says into one sentence with a remedy.

    Parameters
    ----------
    message : str
        What dask-jobqueue says, with the output of the command in it.
    kind : str
        The queue system.
    """
    said = message.partition("stderr:")[2] or message
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    words = lines[-1] if lines else message
    words = re.sub(r"^\w+: (error: )?(Batch job submission failed: )?", "", words).rstrip(". ")
    found = (remedy for pattern, remedy in REMEDIES if re.search(pattern, words, re.IGNORECASE))
    remedy = next(found, "'mirar-dask cluster show' prints the job's script")
    return f"--cluster {kind}: the job was refused ({words}); {remedy}"


def _wait_for_one(cluster: JobQueueCluster, keeper: Keeper, logs: Path, refused: list[str]) -> None:
    """Wait for the first worker, as long as there is hope for one; the queue may be long."""
    told = time.monotonic()
    kind = cluster.job_cls.config_name
    while not cluster.scheduler.workers:
        if refused and not any(keeper.jobs.values()):
            raise ClusterError(refusal(refused[-1], kind))
        if keeper.watch.fruitless >= FRUITLESS:
            raise ClusterError(
                f"{FRUITLESS} jobs ended before they gave a worker{_last_words(logs)}; check "
                f"--python, --prologue and --interface, and see {logs}"
            )
        pending = [state for state in keeper.states.values() if state.state == "PENDING"]
        never = [state.reason for state in pending if HOPELESS.search(state.reason)]
        if never and len(never) == len(keeper.states):
            raise ClusterError(refusal(f"it would wait for ever: {never[0]}", kind))
        if time.monotonic() - told > TOLD_SECONDS:
            told = time.monotonic()
            reasons = sorted({state.reason for state in pending if state.reason})
            why = f" ({', '.join(reasons)})" if reasons else ""
            logger.warning("still waiting for the first of %s jobs%s", len(keeper.jobs), why)
        time.sleep(0.1)


def _last_words(logs: Path) -> str:
    """Return the last line that a job printed about an error."""
    files = sorted(logs.glob("*"), key=lambda path: path.stat().st_mtime)
    for path in reversed(files):
        lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
        if lines:
            return f" (the last one says: {lines[-1].strip()[:200]})"
    return ""


def _close(cluster: JobQueueCluster, keeper: Keeper) -> None:
    keeper.stop()
    try:
        cluster.close(timeout=CLOSE_SECONDS)
    except TimeoutError:
        cluster.shutdown_on_close = False  # or Dask would wait for it once more
        logger.warning(
            "the jobs %s could not be cancelled within %s s; they end by themselves",
            ", ".join(str(job_id) for job_id in keeper.jobs.values()),
            CLOSE_SECONDS,
        )


async def ask_nobody(job_ids: Iterable[str]) -> States | None:
    """Know nothing: for queue systems whose answers we do not read."""
    return None


async def ask_slurm(job_ids: Iterable[str]) -> States | None:
    """Ask SLURM for the state of jobs; None where it does not answer."""
    command = ["squeue", "--noheader", "--format=%i|%T|%r", f"--jobs={','.join(job_ids)}"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    try:
        out, err = await asyncio.wait_for(process.communicate(), ASK_SECONDS)
    except TimeoutError:
        process.kill()
        return None
    if process.returncode:
        return {} if b"Invalid job id" in err else None
    return read_squeue(out.decode())


def read_squeue(text: str) -> dict[str, JobState]:
    r"""Read the lines of ``squeue --format=%i|%T|%r``; what is ending counts as ended.

    Examples
    --------
    >>> read_squeue("7|PENDING|Resources\n8|COMPLETING|None")
    {'7': JobState(state='PENDING', reason='Resources')}
    """
    found = {}
    for line in text.splitlines():
        job_id, _, rest = line.strip().partition("|")
        state, _, reason = rest.partition("|")
        if state and state != "COMPLETING":
            found[job_id] = JobState(state, reason)
    return found
