"""How many workers fit this machine, with how much memory; pure, and with the reason."""

from __future__ import annotations

from dataclasses import dataclass

MEMORY_A_WORKER = 1 << 30
"""Least memory with which a worker is useful."""
FOR_THE_REST = 1 << 30
"""Memory left to the driver, the scheduler and the system."""


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
    return Layout(workers, 1, each, f"{reason}, {each / 1e9:.1f} GB each")
