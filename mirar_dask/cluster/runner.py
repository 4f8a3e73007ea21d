"""All in one SLURM job: each of its tasks runs the same command, and the first is the driver.

``srun -n 9 mirar-dask run ... --cluster slurm-runner`` gives a driver with its scheduler and
eight workers. The first task writes a scheduler file into the output folder; the others become
workers of that scheduler, and end with it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirar_dask.cluster.certificates import NAMES, certificates_for, security_at
from mirar_dask.cluster.environment import (
    FAR_SETTINGS,
    PRELOAD,
    SETTINGS,
    worker_environment,
)
from mirar_dask.cluster.layout import far_memory
from mirar_dask.cluster.listening import scheduler_options
from mirar_dask.cluster.spec import ClusterSpec
from mirar_dask.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

WAIT_SECONDS = 120.0
"""How long a worker waits for the driver's scheduler, which reads the night's headers first."""


@dataclass(frozen=True)
class Place:
    """Which task of which job this process is."""

    rank: int
    size: int
    job: str
    """Number of the job and of the step in it."""

    @classmethod
    def here(cls, environment: Mapping[str, str] = os.environ) -> Place:
        """Read it from what srun says.

        Raises
        ------
        UsageError
            If this process was not started by srun, or alone.
        """
        try:
            rank, size = int(environment["SLURM_PROCID"]), int(environment["SLURM_NTASKS"])
            step = f"{environment['SLURM_JOB_ID']}-{environment['SLURM_STEP_ID']}"
        except (KeyError, ValueError):
            raise UsageError(
                "--cluster slurm-runner: this is no task of a SLURM job step; start it with srun, "
                "such as: srun -n 5 mirar-dask run ... (4 workers)"
            ) from None
        if size < 2:
            raise UsageError(
                "--cluster slurm-runner: this job step has one task; it needs one for the driver "
                "and one for each worker, such as: srun -n 5 mirar-dask run ... (4 workers)"
            )
        return cls(rank, size, step)

    def scheduler_file(self, folder: Path) -> Path:
        """Return where the scheduler's address is written."""
        return folder / f".scheduler-{self.job}.json"


def serve_unless_first(spec: ClusterSpec, folder: Path) -> None:
    """Become a worker of the first task's scheduler, and never return; do nothing in the first.

    Parameters
    ----------
    spec : ClusterSpec
        Of this kind.
    folder : Path
        The night's output folder, which all tasks see.
    """
    place = Place.here()
    if place.rank == 0:
        return
    file = place.scheduler_file(folder)
    known = _wait_for(file)
    os.environ.update(worker_environment())
    command = worker_command(spec, known)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(command[0], command)


def worker_command(spec: ClusterSpec, known: Mapping[str, Any]) -> list[str]:
    """Return the command that makes a worker of what the first task wrote."""
    memory = int(known["memory"])
    said = [
        *(sys.executable, "-m", "distributed.cli.dask_worker", str(known["address"])),
        *("--nthreads", "1", "--memory-limit", f"{memory}B", "--resources", f"MEMORY={memory}"),
        *("--preload", PRELOAD, "--no-dashboard", "--dashboard-address", "127.0.0.1:0"),
        *("--death-timeout", "60"),
    ]
    if spec.interface:
        said += ["--interface", spec.interface]
    if spec.local_directory:
        said += ["--local-directory", spec.local_directory]
    if known.get("tls"):
        paths = [str(Path(known["tls"]) / name) for name in NAMES]
        said += ["--tls-ca-file", paths[0], "--tls-cert", paths[1], "--tls-key", paths[2]]
    return said


def _wait_for(file: Path) -> dict[str, Any]:
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        # By listing: NFS goes on saying that a file is absent that was asked for too early.
        if file in file.parent.iterdir():
            found: dict[str, Any] = json.loads(file.read_text())
            return found
        time.sleep(0.5)
    raise ClusterError(
        f"the first task of the job wrote no {file} within {WAIT_SECONDS:.0f} s; see its output"
    )


def start_runner(spec: ClusterSpec, stack: ExitStack, *, dashboard: bool, folder: Path) -> Client:
    """Start the scheduler in the first task, and wait for the others.

    Parameters
    ----------
    spec : ClusterSpec
        Of this kind.
    stack : ExitStack
        Ends the scheduler, and with it the workers, when it is closed.
    dashboard : bool
        Offer the dashboard, on this machine's loopback interface.
    folder : Path
        The run's folder, in the night's output folder.
    """
    import dask
    from distributed import Client, Scheduler, SpecCluster

    from mirar_dask.atomic import replacing
    from mirar_dask.cluster.dashboard import offer_dashboard

    place = Place.here()
    stack.enter_context(dask.config.set({**SETTINGS, **FAR_SETTINGS}))
    tls = certificates_for(spec.certificates, folder, stack) if spec.encrypted else None
    security = security_at(tls) if tls else None
    cluster = stack.enter_context(
        SpecCluster(
            {},
            {"cls": Scheduler, "options": scheduler_options(spec, security)},
            security=security,
            silence_logs=logging.ERROR,
        )
    )
    if dashboard:
        offer_dashboard(cluster.scheduler)
    client = stack.enter_context(Client(cluster))
    file = place.scheduler_file(_night_folder(folder))
    with replacing(file) as temporary:
        known = {
            "address": cluster.scheduler_address,
            "tls": str(tls) if tls else None,
            "memory": far_memory(spec.memory, spec.need)[0],
        }
        temporary.write_text(json.dumps(known))
    stack.callback(file.unlink, missing_ok=True)
    try:
        client.wait_for_workers(place.size - 1, timeout=WAIT_SECONDS)
    except TimeoutError as error:
        there = len(client.scheduler_info(n_workers=-1)["workers"])
        if not there:
            raise ClusterError(
                f"none of the other {place.size - 1} tasks of the job became a worker within "
                f"{WAIT_SECONDS:.0f} s; check --interface, and see the job's output"
            ) from error
        logger.warning("%s of %s workers are there; going on with them", there, place.size - 1)
    return client


def _night_folder(folder: Path) -> Path:
    """Return the night's output folder, in which ``runs/RUN`` is the run's folder."""
    return folder.parent.parent
