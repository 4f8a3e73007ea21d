"""The job that a driver runs in: what it asks for, and its script as text; nothing is submitted.

Our tests run SLURM's. The scripts for other queue systems are written by their manuals.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mirar_dask.cluster.amounts import clock_text
from mirar_dask.cluster.layout import MEMORY_FAR, NANNY_MEMORY
from mirar_dask.cluster.spec import ClusterSpec
from mirar_dask.cluster.time_limit import ASK, VARIABLE
from mirar_dask.errors import UsageError
from mirar_dask.paths import (
    MAX_N_CPU_VARIABLE,
    OUTPUT_DATA_DIR_VARIABLE,
    RAW_DATA_DIR_VARIABLE,
)

SUBMITTED_BY = {
    "slurm": "sbatch", "pbs": "qsub", "sge": "qsub", "lsf": "bsub <", "oar": "oarsub -S",
}  # fmt: skip
"""The command that takes the script of each queue system."""


CORES = 4
"""Cores of a job that has the workers in it, where nobody said."""
MEMORY = 2 * 10**9
"""Bytes for a driver with its scheduler, whose workers are elsewhere."""
BESIDE_WORKERS = 10**9
"""Bytes for the driver with its scheduler in the job of its workers."""
_PASSED = {RAW_DATA_DIR_VARIABLE, OUTPUT_DATA_DIR_VARIABLE, MAX_N_CPU_VARIABLE}
_PASSED |= {"USE_MIRAR_CACHE", "USE_WINTER_CACHE"}
_KEPT_HERE = re.compile("PASSWORD$|SECRET|TOKEN|CACHE_(DIR|KEY)$")
"""Secrets, since others may read a job's script, and what holds for this process alone."""


@dataclass(frozen=True, kw_only=True)
class DriverJob:
    """What the job of a driver asks for."""

    system: str = "slurm"
    """The queue system."""
    name: str = "mirar-dask"
    tasks: int = 1
    """Processes that are started by the queue system; more than one for ``slurm-runner``."""
    cores: int = 1
    """Cores of each."""
    memory: int = 2 * 10**9
    """Bytes of memory of each."""
    walltime: int | None = None
    """Seconds that it may run; None for what the queue gives."""
    queue: str | None = None
    project: str | None = None
    options: tuple[str, ...] = ()
    """Further lines for the queue system, such as ``--qos=low``."""
    prologue: tuple[str, ...] = ()
    """Shell commands before the driver starts."""

    def __post_init__(self) -> None:
        if self.system not in SUBMITTED_BY:
            raise UsageError(
                f"no script can be written for a driver's job of {self.system}; there are "
                f"{', '.join(SUBMITTED_BY)} (--queue-system)"
            )


def driver_for(
    spec: ClusterSpec,
    *,
    system: str | None = None,
    cores: int | None = None,
    memory: int | None = None,
    walltime: int | None = None,
    queue: str | None = None,
    project: str | None = None,
    options: tuple[str, ...] = (),
    workers: int | None = None,
) -> DriverJob:
    """Choose the job of a driver by the cluster that it will use.

    Parameters
    ----------
    spec : ClusterSpec
        Where the tasks are done: in the same job for kinds that use this machine.
    system : str, optional
        The queue system; that of the workers' jobs, else SLURM.
    cores, memory : int, optional
        Of the job: cores, bytes.
    walltime : int, optional
        Seconds; that of the workers' jobs, else what the queue gives.
    queue, project : str, optional
        Those of the workers' jobs by default.
    options : tuple of str
        Further lines for the queue system.
    workers : int, optional
        Tasks beside the driver, for ``slurm-runner``.
    """
    tasks = 1
    if spec.kind == "slurm-runner":
        if not workers:
            raise UsageError(
                "--cluster slurm-runner: the job needs a task for each worker; give --workers N"
            )
        tasks, cores = workers + 1, 1
        memory = memory or (spec.memory or MEMORY_FAR) + NANNY_MEMORY
    elif spec.kind in ("local", "threads"):
        each = spec.memory or MEMORY_FAR
        fitting = (memory - BESIDE_WORKERS) // each if memory else CORES
        cores = cores or spec.workers or spec.cores or max(1, min(CORES, fitting))
        memory = memory or BESIDE_WORKERS + cores * each
    elif spec.kind == "serial":
        memory = memory or BESIDE_WORKERS + MEMORY_FAR
    return DriverJob(
        system=system or (spec.kind if spec.traits.queue else "slurm"),
        tasks=tasks,
        cores=cores or 1,
        memory=memory or MEMORY,
        walltime=walltime or spec.walltime,
        queue=queue or spec.queue,
        project=project or spec.project,
        options=options,
        prologue=spec.prologue,
    )


def memory_of_workers(job: DriverJob) -> int:
    """Return the bytes that the driver leaves to workers in its job, all together."""
    return job.memory - BESIDE_WORKERS


def environment_of_driver(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables, of those that are set here, that change what a run does."""
    return {
        name: value
        for name, value in environment.items()
        if name in _PASSED
        or (name.startswith("MIRAR_DASK_") and name != VARIABLE and not _KEPT_HERE.search(name))
    }


def driver_script(
    job: DriverJob,
    command: Sequence[str],
    *,
    output: Path | str,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Return the script of a driver's job.

    Parameters
    ----------
    job : DriverJob
        What it asks for.
    command : sequence of str
        The words of the command that is the driver.
    output : Path or str
        File for what the job prints.
    environment : mapping, optional
        Variables that the driver needs.
    """
    mark, head = _HEADS[job.system]
    lines = ["#!/bin/bash", *(f"{mark} {line}" for line in (*head(job, str(output)), *job.options))]
    if job.system != "slurm":
        lines.append(f"# Not run by us: this script was written by the manual of {job.system}.")
    lines.append("")
    lines += [f"export {k}={shlex.quote(v)}" for k, v in sorted((environment or {}).items())]
    # The driver stops in order before its job is ended: it must know when that will be.
    ends = ASK if job.walltime is None else f"$(($(date +%s) + {job.walltime}))"
    lines.append(f"export {VARIABLE}={ends}")
    lines += job.prologue
    # In place of the shell, so that a signal to the job is one to the driver.
    started = f"srun --ntasks={job.tasks} " if job.tasks > 1 else ""
    lines.append(f"exec {started}{shlex.join(command)}")
    return "\n".join(lines) + "\n"


def _slurm(job: DriverJob, output: str) -> list[str]:
    megabytes = -(-job.memory // 2**20)
    one = [f"--mem={megabytes}M", "--nodes=1"]
    said = [f"--job-name={job.name}", f"--output={_quoted(output.replace('%', '%%'))}"]
    said += [f"--ntasks={job.tasks}", f"--cpus-per-task={job.cores}"]
    said += [f"--mem-per-cpu={megabytes}M"] if job.tasks > 1 else one
    said += [f"--time={clock_text(job.walltime)}"] if job.walltime else []
    said += [f"--partition={job.queue}"] if job.queue else []
    said += [f"--account={job.project}"] if job.project else []
    # A job that SLURM begins anew would find the folder of its run in use.
    return [*said, "--no-requeue"]


def _pbs(job: DriverJob, output: str) -> list[str]:
    size = -(-job.memory // 2**20)
    said = [f"-N {job.name[:15]}", "-j oe", f"-o {_quoted(output)}"]
    said.append(f"-l select=1:ncpus={job.cores}:mem={size}mb")
    said += [f"-l walltime={clock_text(job.walltime)}"] if job.walltime else []
    said += [f"-q {job.queue}"] if job.queue else []
    return said + ([f"-A {job.project}"] if job.project else [])


def _sge(job: DriverJob, output: str) -> list[str]:
    each = -(-job.memory // job.cores // 2**20)  # asked for by the slot
    said = [f"-N {job.name}", "-S /bin/bash", "-j y", f"-o {_quoted(output)}", f"-l h_vmem={each}M"]
    said += [f"-pe smp {job.cores}"] if job.cores > 1 else []
    said += [f"-l h_rt={clock_text(job.walltime)}"] if job.walltime else []
    said += [f"-q {job.queue}"] if job.queue else []
    return said + ([f"-P {job.project}"] if job.project else [])


def _lsf(job: DriverJob, output: str) -> list[str]:
    size = -(-job.memory // 2**20)
    said = [f"-J {job.name}", f"-o {_quoted(output)}", f"-n {job.cores}", '-R "span[hosts=1]"']
    said.append(f"-M {size}MB")
    said += [f"-W {clock_text(job.walltime + 59)[:-3]}"] if job.walltime else []
    said += [f"-q {job.queue}"] if job.queue else []
    return said + ([f"-P {job.project}"] if job.project else [])


def _oar(job: DriverJob, output: str) -> list[str]:
    walltime = f",walltime={clock_text(job.walltime)}" if job.walltime else ""
    said = [f"-n {job.name}", f"-O {_quoted(output)}", f"-E {_quoted(output)}"]
    said.append(f"-l /nodes=1/core={job.cores}{walltime}")
    said += [f"-q {job.queue}"] if job.queue else []
    return said + ([f"--project {job.project}"] if job.project else [])


def _quoted(text: str) -> str:
    r"""Quote a path where that is needed, as queue systems read it.

    Examples
    --------
    >>> _quoted("/a/b"), _quoted("/a b")
    ('/a/b', '"/a b"')
    """
    if re.fullmatch(r"[\w./%+=:,@-]+", text):
        return text
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


_HEADS: Mapping[str, tuple[str, Callable[[DriverJob, str], list[str]]]] = {
    "slurm": ("#SBATCH", _slurm),
    "pbs": ("#PBS", _pbs),
    "sge": ("#$", _sge),
    "lsf": ("#BSUB", _lsf),
    "oar": ("#OAR", _oar),
}
