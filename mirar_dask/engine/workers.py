"""What the driver knows of the workers of a cluster; asked anew at most once a second."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from distributed import Client

from mirar_dask.engine.elsewhere import Spot
from mirar_dask.engine.events import Event, WorkersCounted
from mirar_dask.engine.outlook import AskOutlook, nobody_knows
from mirar_dask.engine.plugin import MEMORY
from mirar_dask.engine.sampling import Memory
from mirar_dask.engine.types import Task

logger = logging.getLogger(__name__)

FRESH_SECONDS = 1.0
"""How long an answer of the scheduler is good for; asking takes milliseconds."""
MANY = 50
"""Of more workers than this the answer is longer, and asked for less often."""
PATIENCE_SECONDS = 60.0
"""How long a run waits while no worker can do anything and nobody knows of one on its way."""
TOLD_SECONDS = 60.0
"""How often it is said that workers are waited for."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A worker as the scheduler told of it last."""

    spot: Spot
    memory: int
    """Bytes that it took."""
    limit: int
    """Bytes that it may take; 0 where there is no limit."""
    since: float = 0.0
    """When it was seen first, by a clock that is never set."""

    @classmethod
    def of(cls, address: str, worker: dict[str, Any]) -> Seen:
        """Take it from what the scheduler says."""
        spot = Spot(address, str(worker["name"]), str(worker["host"]), int(worker["nthreads"]))
        memory = int((worker.get("metrics") or {}).get("memory") or 0)
        return cls(spot, memory, int(worker.get("memory_limit") or 0))


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found out when the scheduler was last asked."""

    number: int = 0
    threads: int = 0
    memory: int = 0
    share: int = 0
    declared: int | None = None
    """Largest amount of memory that a worker declares; None unless all declare one."""
    running: bool = False
    spots: tuple[Spot, ...] = ()
    usage: Memory = field(default_factory=Memory)

    @classmethod
    def of(cls, found: dict[str, dict[str, Any]]) -> _Known:
        workers = list(found.values())
        limits = [int(worker.get("memory_limit") or 0) for worker in workers]
        threads = [int(worker["nthreads"]) for worker in workers]
        shares = [n // max(1, t) for n, t in zip(limits, threads, strict=True) if n]
        declared = [worker["resources"].get(MEMORY) for worker in workers]
        seen = [Seen.of(address, worker) for address, worker in found.items()]
        return cls(
            number=len(workers),
            threads=sum(threads),
            memory=max(limits) if limits and min(limits) > 0 else 0,
            share=min(shares, default=0),
            declared=int(max(declared)) if declared and None not in declared else None,
            running=any(worker.get("status") == "running" for worker in workers),
            spots=tuple(one.spot for one in seen),
            usage=Memory.of((one.memory, one.limit) for one in seen),
        )


class Workers:
    """The workers of a cluster.

    Parameters
    ----------
    client : distributed.Client
        Connected to their scheduler.
    outlook : callable
        Asks who starts them whether others are on their way.
    """

    def __init__(self, client: Client, outlook: AskOutlook = nobody_knows) -> None:
        self.client = client
        self._outlook = outlook
        self.announced = 0
        """Number of tasks that can run at once, as it was announced last."""
        self.seen: dict[str, Seen] = {}
        """Every worker that was ever seen, by its address."""
        self._told = -math.inf
        self._asked = -math.inf
        self._known = _Known()
        self._absent_since: float | None = None
        self._paused_since: float | None = None

    def ask_again(self) -> None:
        """Ask the scheduler when next something is to be known: a worker may be gone."""
        self._asked = -math.inf

    def _all(self) -> _Known:
        now = time.monotonic()
        fresh = FRESH_SECONDS * max(1.0, self._known.number / MANY)
        if now - self._asked >= fresh and self.client.status == "running":
            found = self.client.scheduler_info(n_workers=-1)["workers"]
            self._known = _Known.of(found)
            for address, worker in found.items():
                before = self.seen.get(address)
                since = now if before is None else before.since
                self.seen[address] = replace(Seen.of(address, worker), since=since)
            self._asked = now
        return self._known

    @property
    def number(self) -> int:
        """Number of workers, at least one."""
        return max(1, self._all().number)

    @property
    def threads(self) -> int:
        """Number of tasks that can run at once, at least one."""
        return max(1, self._all().threads)

    @property
    def spots(self) -> tuple[Spot, ...]:
        """The workers as places for tasks."""
        return self._all().spots

    @property
    def addresses(self) -> set[str]:
        """Addresses of the workers."""
        return {spot.address for spot in self.spots}

    def last_seen(self, address: str) -> dict[str, Any]:
        """Return host, name, memory and limit of a worker as they were told last."""
        seen = self.seen.get(address)
        if seen is None:
            return {"host": address.partition("://")[2].rpartition(":")[0]}
        spot = seen.spot
        return {
            "host": spot.host, "name": spot.name, "memory": seen.memory, "limit": seen.limit,
        }  # fmt: skip

    def announce_changes(self, announce: Callable[[Event], None]) -> None:
        """Announce how many tasks can run at once, if that was not announced last."""
        threads = self._all().threads
        if threads != self.announced:
            self.announced = threads
            announce(WorkersCounted(threads, time.time()))

    @property
    def usage(self) -> Memory:
        """What all workers took when the scheduler was last asked; it is not asked for this."""
        return self._known.usage

    @property
    def memory(self) -> int:
        """Bytes of the largest worker; 0 where workers have no limit."""
        return self._all().memory

    @property
    def share(self) -> int:
        """Bytes of the smallest share of memory that one thread has; 0 where there is no limit."""
        return self._all().share

    def reservation(self, task: Task) -> dict[str, int] | None:
        """Return what a task reserves: never more than the largest worker has, or it never runs."""
        declared = self._all().declared
        return None if declared is None else {MEMORY: min(task.memory, declared)}

    def why_hopeless(self) -> str | None:
        """Say why waiting is of no use; None while a worker is there, on its way, or hoped for."""
        if self.client.status != "running":
            return "the scheduler was lost"
        known = self._all()
        if known.running:
            self._absent_since = self._paused_since = None
            return None
        now = time.monotonic()
        if known.number:
            # Also one that has just come, and is not ready yet: its time begins now.
            self._absent_since = None
            self._paused_since = self._paused_since or now
            if now - self._paused_since < PATIENCE_SECONDS:
                return None
            return (
                f"every worker has been paused for {PATIENCE_SECONDS:.0f} s because its memory is "
                "full; give workers more with --memory, or fewer --workers"
            )
        self._paused_since = None
        self._absent_since = self._absent_since or now
        absent = now - self._absent_since
        outlook = self._outlook()
        if outlook.over:
            return outlook.reason
        if outlook.coming:
            self._tell(absent, outlook.reason)
            return None
        if absent < PATIENCE_SECONDS:
            return None
        why = f": {outlook.reason}" if outlook.reason else ""
        return f"there has been no worker for {PATIENCE_SECONDS:.0f} s{why}"

    def _tell(self, seconds: float, reason: str) -> None:
        """Say now and then that workers are waited for; not of a job that is just replaced."""
        now = time.monotonic()
        if seconds >= TOLD_SECONDS / 4 and now - self._told >= TOLD_SECONDS:
            self._told = now
            logger.warning("no worker for %.0f s: %s", seconds, reason)
