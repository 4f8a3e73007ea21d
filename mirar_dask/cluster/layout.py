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
ROUNDING = 10**8
"""What the queue system is asked for is a multiple of so many bytes for each worker."""
NANNY_MEMORY = 256 << 20
"""Memory of a job beside that of its workers: the process that watches over them."""


@dataclass(frozen=True)
class Need:
    """What the largest task of a plan needs."""

    task: int
    """Bytes that it fills."""
    what: str
    """What kind of task it is."""
    worker: int
    """Bytes of the smallest worker that has room for it."""

    def __str__(self) -> str:
        return f"the {self.what} needs {memory_text(self.task)}"


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
    need: Need | None = None,
) -> Layout:
    """Choose workers for one machine: a process a core, one thread each, as far as memory goes.

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
        Bytes for each worker that the user asked for; taken as it is.
    max_n_cpu : int, optional
        Upper limit from the environment (``MAX_N_CPU``).
    need : Need, optional
        What the plan's largest task needs.

    Examples
    --------
    >>> flat = Need(3 * 10**9, "flat master", 4 * 10**9)
    >>> local_layout(16, 33 * 10**9, need=flat).reason
    '7 workers of 1 thread, 4.6 GB each: 16 cores, but the flat master needs 3.0 GB'
    """
    share = max(memory - FOR_THE_REST, MEMORY_A_WORKER)
    if workers is not None:
        reason = "as many as asked for"
    else:
        workers = max(1, min(cores, max_n_cpu or cores))
        reason = f"one for each of {workers} cores" if workers > 1 else "one core"
        if max_n_cpu is not None and max_n_cpu < cores:
            reason = f"MAX_N_CPU is {max_n_cpu}"
        least = worker_memory or max(MEMORY_A_WORKER, need.worker if need else 0)
        fit = max(1, share // least)
        if fit < workers:
            workers = fit
            reason = f"{cores} cores, but {memory_text(memory)} of free memory"
            if need is not None and not worker_memory and share // MEMORY_A_WORKER > fit:
                reason = f"{cores} cores, but {need}"
    each = worker_memory or share // workers
    if worker_memory:
        reason += f"; {memory_text(each)} as asked for"
    said = f"{_count(workers, 'worker')} of 1 thread, {memory_text(each)} each"
    return Layout(workers, 1, each, f"{said}: {reason}")


def far_memory(memory: int | None, need: Need | None) -> tuple[int, str]:
    """Return the bytes of a worker process on another machine, and why so many.

    Parameters
    ----------
    memory : int, optional
        What the user asked for; taken as it is.
    need : Need, optional
        What the plan's largest task needs.

    Examples
    --------
    >>> far_memory(None, Need(3 * 10**9, "flat master", 3_910_000_000))
    (4000000000, '4.0 GB each: the flat master needs 3.0 GB')
    """
    if memory:
        return memory, f"{memory_text(memory)} each"
    if need is None or need.worker <= MEMORY_FAR:
        return MEMORY_FAR, f"{memory_text(MEMORY_FAR)} each by default"
    whole = -(-need.worker // ROUNDING) * ROUNDING
    return whole, f"{memory_text(whole)} each: {need}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


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
    need: Need | None = None,
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
    need : Need, optional
        What the plan's largest task needs.
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
    each, why = far_memory(memory, need)
    said.append(why)
    return JobLayout(least, most, processes, each, "; ".join(said))
