"""Memory that a worker may be given beyond its share, for a task that was too large for it.

Asked for and given by `retries`, on a worker whose host does nothing else meanwhile.
"""

from __future__ import annotations

import os
from typing import Any

import psutil
from distributed import Client
from distributed.system import memory_limit

LEFT = 0.9
"""Part of the free memory of a host that a task may be given; the rest is for its files."""
JOB_VARIABLE = "SLURM_MEM_PER_NODE"
"""Environment variable with the memory, in MB, of the job that a worker is part of."""


def reach() -> int:
    """Bytes that this process could grow to: what it has, and what is free beside it."""
    own = psutil.Process().memory_info().rss
    total = memory_limit()  # of a container, where we are in one
    job = os.environ.get(JOB_VARIABLE, "")
    if job.isdigit() and int(job):
        total = min(total, int(job) * 1_000_000)
    free = min(int(psutil.virtual_memory().available), max(0, total - own))
    return own + int(LEFT * free)


def reach_of(client: Client, workers: list[str]) -> dict[str, int]:
    """Ask workers what they could grow to; those that do not answer are left out."""
    found = client.run(reach, workers=workers, on_error="return")
    return {worker: answer for worker, answer in found.items() if isinstance(answer, int)}


def set_limit(client: Client, worker: str, nbytes: int) -> None:
    """Let a worker take so much memory.

    Its nanny gives a worker process that follows it the usual limit again (see `deaths`).

    Raises
    ------
    OSError, KeyError
        If the worker, or its nanny, is not there.
    """
    found = client.run(_set_limit, nbytes, workers=[worker], nanny=True, on_error="return")
    found |= client.run(_set_limit, nbytes, workers=[worker], on_error="return")
    for answer in found.values():
        if isinstance(answer, BaseException):
            raise OSError(f"the memory of {worker} cannot be raised: {answer}")


def _set_limit(nbytes: int, dask_worker: Any) -> None:
    dask_worker.memory_manager.memory_limit = nbytes
