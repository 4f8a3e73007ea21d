"""What the driver knows of the workers of a cluster; asked anew at most once a second."""

from __future__ import annotations

import time
from typing import Any

from distributed import Client

from mirar_dask.engine.plugin import MEMORY
from mirar_dask.engine.types import Task

FRESH_SECONDS = 1.0
"""How long an answer of the scheduler is good for; asking takes milliseconds."""
PATIENCE_SECONDS = 60.0
"""How long a run waits while no worker can do anything."""


class Workers:
    """The workers of a cluster.

    Parameters
    ----------
    client : distributed.Client
        Connected to their scheduler.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._asked = -FRESH_SECONDS
        self._known: list[dict[str, Any]] = []
        self._idle_since: float | None = None

    def _all(self) -> list[dict[str, Any]]:
        now = time.monotonic()
        if now - self._asked >= FRESH_SECONDS and self.client.status == "running":
            self._known = list(self.client.scheduler_info(n_workers=-1)["workers"].values())
            self._asked = now
        return self._known

    @property
    def number(self) -> int:
        """Number of workers, at least one."""
        return max(1, len(self._all()))

    @property
    def threads(self) -> int:
        """Number of tasks that can run at once, at least one."""
        return max(1, sum(int(worker["nthreads"]) for worker in self._all()))

    @property
    def memory(self) -> int:
        """Bytes of the largest worker; 0 where workers have no limit."""
        limits = [int(worker.get("memory_limit") or 0) for worker in self._all()]
        return max(limits) if limits and min(limits) > 0 else 0

    @property
    def share(self) -> int:
        """Bytes of the smallest share of memory that one thread has; 0 where there is no limit."""
        shares = [
            int(worker["memory_limit"]) // max(1, int(worker["nthreads"]))
            for worker in self._all()
            if worker.get("memory_limit")
        ]
        return min(shares, default=0)

    def reservation(self, task: Task) -> dict[str, int] | None:
        """Return what a task reserves: never more than the largest worker has, or it never runs."""
        declared = [worker["resources"].get(MEMORY) for worker in self._all()]
        if not declared or None in declared:
            return None
        return {MEMORY: int(min(task.memory, max(declared)))}

    def why_hopeless(self) -> str | None:
        """Say why waiting is of no use, once no worker could do anything for a minute."""
        if self.client.status != "running":
            return "the scheduler was lost"
        if any(worker.get("status") == "running" for worker in self._all()):
            self._idle_since = None
            return None
        self._idle_since = self._idle_since or time.monotonic()
        if time.monotonic() - self._idle_since < PATIENCE_SECONDS:
            return None
        if self._known:
            return (
                f"every worker has been paused for {PATIENCE_SECONDS:.0f} s because its memory is "
                "full; give workers more with --memory, or fewer --workers"
            )
        return f"there has been no worker for {PATIENCE_SECONDS:.0f} s"
