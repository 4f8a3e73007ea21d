"""Misfits: workers that cannot write where they must are found and retired.

A task that could not write names the folder. All workers look at it, so that a disk that is full
on one host is told from a volume that is full, or gone, for all; the driver acts on the verdict.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mirar_dask.engine.workers import Workers
from mirar_dask.processors.base.outcome import Record, Status
from mirar_dask.processors.base.trouble import Trouble, trouble_in

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """What follows from a trouble."""

    hopeless: bool
    """No worker can write there."""
    reason: str = ""
    records: tuple[Record, ...] = ()


@dataclass
class Misfits:
    """Finds the workers of a cluster that cannot write to a folder, and retires them.

    Parameters
    ----------
    client : distributed.Client
        Connected to the cluster.
    workers : Workers
        What is known of its workers.
    """

    client: Client
    workers: Workers
    retired: set[str] = field(default_factory=set)
    """Addresses."""

    def look(self, trouble: Trouble) -> Verdict | None:
        """Say what a trouble means; None if there is nothing wrong with the folder any more."""
        if trouble.worker in self.retired:
            return Verdict(hopeless=False)
        found = self._looked(trouble)
        sick = {worker: seen for worker, seen in found.items() if isinstance(seen, Trouble)}
        if not sick:
            return None
        if len(sick) == len(found):
            seen = sick.get(trouble.worker) or next(iter(sick.values()))
            return Verdict(
                True, f"{seen.reason}, for every worker; make room or mend it, and resume"
            )
        records = tuple(self._tell(worker, seen.reason) for worker, seen in sick.items())
        self.retired |= sick.keys()
        self._forget(sick)
        # What they had in hand Dask gives to others.
        self.client.retire_workers(list(sick), close_workers=True, remove=True)
        self.workers.ask_again()
        return Verdict(False, trouble.reason, records)

    def _looked(self, trouble: Trouble) -> dict[str, object]:
        """Have every worker look at the folder; return what each says."""
        needed = trouble.needed if trouble.full else 0
        found: dict[str, object] = self.client.run(
            trouble_in, trouble.folder, needed, cache=trouble.cache, on_error="return"
        )
        return found

    def _forget(self, workers: Collection[str]) -> None:
        """Have a cluster of this machine start no others in their place: they have its disks."""
        spec = getattr(self.client.cluster, "worker_spec", {})
        names = {self.workers.last_seen(worker).get("name") for worker in workers}
        for name in [name for name in spec if isinstance(name, int) and str(name) in names]:
            del spec[name]

    def _tell(self, worker: str, reason: str) -> Record:
        host = self.workers.last_seen(worker)["host"]
        told = f"worker {worker} on host {host} was retired: {reason}"
        logger.warning("%s", told)
        return Record((), Status.CAVEATS, "run", told)
