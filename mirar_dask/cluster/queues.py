"""Workers as jobs of a queue system, by dask-jobqueue: started, watched, ended.

Its last release is of 2024. What it lacks is made good here and in `keeper`: a job that is
refused is told to the user, jobs that end are replaced, certificates lie where we put them.
"""

from __future__ import annotations

import logging
import shutil
import time
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
from mirar_dask.cluster.keeper import Keeper
from mirar_dask.cluster.listening import scheduler_options
from mirar_dask.cluster.prospects import Prospects
from mirar_dask.cluster.spec import ClusterSpec
from mirar_dask.cluster.squeue import ask_slurm
from mirar_dask.engine.outlook import AskOutlook
from mirar_dask.errors import ClusterError

if TYPE_CHECKING:
    from dask_jobqueue.core import Job, JobQueueCluster

logger = logging.getLogger(__name__)

NAME = "mirar"
"""Name of the cluster; without a hyphen, after which the numbers of jobs and workers stand."""
CLOSE_SECONDS = 15
"""How long to wait for jobs to be cancelled."""
TOLD_SECONDS = 30.0
"""How often it is said that jobs are still waited for."""


def start_queue(
    spec: ClusterSpec, stack: ExitStack, *, dashboard: bool, folder: Path
) -> tuple[Client, AskOutlook]:
    """Submit jobs, and return a client once the first of them gives a worker.

    The second value tells what is to be hoped for when none is left.

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
    # The answers of other queue systems are not read: their jobs are over when workers have gone.
    keeper = Keeper(cluster, layout, ask_slurm if spec.kind == "slurm" else None)
    stack.callback(_close, cluster, keeper)
    if dashboard:
        offer_dashboard(cluster.scheduler)
    keeper.start()
    prospects = Prospects(spec.kind, keeper, refused, folder / LOGS)
    _wait_for_one(cluster, prospects)
    client = stack.enter_context(Client(cluster))
    keeper.follow()
    return client, prospects


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


def _wait_for_one(cluster: JobQueueCluster, prospects: Prospects) -> None:
    """Wait for the first worker, as long as there is hope for one; the queue may be long."""
    told = time.monotonic()
    while not cluster.scheduler.workers:
        outlook = prospects()
        if outlook.over or prospects.none_submitted:
            raise ClusterError(outlook.reason)
        if time.monotonic() - told > TOLD_SECONDS:
            told = time.monotonic()
            logger.warning("still waiting for the first worker: %s", outlook.reason)
        time.sleep(0.1)


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
