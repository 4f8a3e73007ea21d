"""How many workers, with how much memory, in how many jobs; pure, and with the reason."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mirar_dask.cluster.amounts import memory_text

MEMORY_A_WORKER = 1 << 30
"""Least memory with which a worker is useful."""
FOR_THE_REST = 1 << 30
"""Memory left to the driver, the scheduler and the system."""
MEMORY_FAR = 2 * 10**9
"""Memory of a worker process on another machine, of which we know nothing."""
WORKERS_FAR = 4
"""Workers on other machines where nobody said how many."""
NANNY_MEMORY = 256 << 20
"""Memory of a job beside that of its workers: the process that watches over them."""


@dataclass(frozen=True)
class Layout:
    """Workers on one machine."""

    workers: int
    threads: int
    """Threads of each worker."""
    memory: int
    """Bytes for each worker; 0 for no limit."""
    reason: str


def local_layout(
    cores: int,
    memory: int,
    *,
    workers: int | None = None,
    worker_memory: int | None = None,
    max_n_cpu: int | None = None,
) -> Layout:
    """Choose workers for one machine: a process a core, one thread each.

    Parsing FITS headers holds Python's lock, so that threads of one process wait for each other.

    Parameters
    ----------
    cores : int
        Cores of the machine that we may use.
    memory : int
        Bytes of memory that are free.
    workers : int, optional
        What the user asked for; taken as it is.
    worker_memory : int, optional
        Bytes for each worker that the user asked for.
    max_n_cpu : int, optional
        Upper limit from the environment (``MAX_N_CPU``).
    """
    share = max(memory - FOR_THE_REST, MEMORY_A_WORKER)
    if workers is not None:
        reason = f"{workers} workers as asked for"
    else:
        workers = max(1, min(cores, max_n_cpu or cores))
        reason = f"{workers} workers: one for each of {workers} cores"
        if max_n_cpu is not None and max_n_cpu < cores:
            reason = f"{workers} workers: MAX_N_CPU is {max_n_cpu}"
        fit = max(1, share // (worker_memory or MEMORY_A_WORKER))
        if fit < workers:
            workers = fit
            reason = f"{workers} workers: more would not fit {memory / 1e9:.1f} GB of free memory"
    each = worker_memory or share // workers
    return Layout(workers, 1, each, f"{reason}, {memory_text(each)} each")


@dataclass(frozen=True)
class JobLayout:
    """Workers in jobs of a queue system."""

    least: int
    """Jobs that there are always."""
    most: int
    """Jobs that there are at most; equal to `least` where their number is fixed."""
    processes: int
    """Worker processes of one thread in each job."""
    memory: int
    """Bytes for each worker process."""
    reason: str

    @property
    def job_memory(self) -> int:
        """Bytes to ask of the queue system for one job."""
        return self.processes * self.memory + NANNY_MEMORY


def job_layout(
    *,
    workers: int | None = None,
    adapt: tuple[int, int] | None = None,
    cores: int | None = None,
    memory: int | None = None,
) -> JobLayout:
    """Choose jobs: a worker process for each of their cores, as many jobs as workers take.

    Parameters
    ----------
    workers : int, optional
        Number of worker processes that was asked for.
    adapt : (int, int), optional
        Least and greatest number of worker processes that was asked for.
    cores : int, optional
        Cores of one job; one by default, so that a job fits wherever a core is free.
    memory : int, optional
        Bytes for each worker process.
    """
    said = [f"{cores} cores a job" if cores else "one core a job, which fits wherever one is free"]
    processes = cores or 1
    if adapt:
        least, most = (math.ceil(number / processes) for number in adapt)
        said.append(f"{adapt[0]} to {adapt[1]} workers as asked for, by what there is to do")
    else:
        number = workers or WORKERS_FAR
        least = most = math.ceil(number / processes)
        said.append(f"{number} workers {'as asked for' if workers else 'by default'}")
        if least * processes > number:
            said[-1] += f", {least * processes} in whole jobs"
    each = memory or MEMORY_FAR
    said.append(f"{memory_text(each)} each{'' if memory else ' by default'}")
    return JobLayout(least, most, processes, each, "; ".join(said))
