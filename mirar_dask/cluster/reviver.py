"""Starts workers of this machine again whose nannies gave up.

A nanny starts its worker process again when that dies, but for one that dies while it starts: then
the nanny ends too, and Dask starts no other. With one worker that would be the end of the run.
"""

from __future__ import annotations

import logging
from typing import Any

from distributed.core import Status
from tornado.ioloop import PeriodicCallback

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often the nannies are looked at."""
FRUITLESS = 5
"""After so many on end that never gave a worker no more are started: they cannot start here."""


class Reviver:
    """Looks after the nannies of one cluster, on its event loop.

    Parameters
    ----------
    cluster : distributed.LocalCluster
        Running.
    """

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self.fruitless = 0
        self._timer = PeriodicCallback(self._look, LOOK_SECONDS * 1000)

    def start(self) -> None:
        """Look after them from now on."""
        self.cluster.loop.add_callback(self._timer.start)

    def stop(self) -> None:
        """Leave them alone."""
        self.cluster.loop.add_callback(self._timer.stop)

    def _look(self) -> None:
        cluster = self.cluster
        if cluster.status != Status.running:
            return
        ended = [
            name
            for name, nanny in cluster.workers.items()
            if nanny.status in (Status.closed, Status.failed) and name in cluster.worker_spec
        ]
        if not ended:
            if cluster.scheduler.workers:
                self.fruitless = 0
            return
        for name in ended:
            del cluster.workers[name]  # it is in the specification, so another one is made
        self.fruitless += 1
        if self.fruitless <= FRUITLESS:
            logger.info("workers %s ended while they started; others are started", ended)
            cluster._correct_state()
