"""Accidents: what the driver does about tasks that were lost, or could not write.

It tells what happened, has `Retries` try again what is worth it, and gives up the rest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mirar_dask.engine.deaths import Death
from mirar_dask.engine.events import Event, TaskLost
from mirar_dask.engine.fitness import Misfits, Verdict
from mirar_dask.engine.flights import Flight, Landed
from mirar_dask.engine.flow import Flow
from mirar_dask.engine.losses import Losses
from mirar_dask.engine.memo import Memo
from mirar_dask.engine.retries import Retries
from mirar_dask.engine.types import ChainWork, Task
from mirar_dask.engine.workers import Workers
from mirar_dask.processors.base.trouble import Trouble

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)


class Accidents:
    """Deals with the accidents of a run.

    Parameters
    ----------
    client : distributed.Client
        Connected to the cluster.
    workers : Workers
        What is known of its workers.
    announce : callable
        Told of each loss.
    stop : callable
        Has nothing new begun in a flow, for a reason.
    memo : Memo, optional
        Keeps which frames were given up for a later run, which tries them alone at once.
    """

    def __init__(
        self,
        client: Client,
        workers: Workers,
        announce: Callable[[Event], None],
        stop: Callable[[Flow, str], None],
        memo: Memo | None = None,
    ) -> None:
        self._memo = memo
        self.retries = Retries(client, workers)
        self._misfits = Misfits(client, workers)
        self._announce, self._stop = announce, stop

    def take_loss(self, flow: Flow, landed: Landed, losses: Losses) -> None:
        """Have a task tried again that went down with its worker, or give it up."""
        flight, death = landed.flight, losses.death_of(landed)
        task = flight.task
        innocent = task.repeatable and losses.only_waited(landed)
        again = innocent or self.retries.may_retry(task, death)
        self._tell(flight, str(death), again)
        if innocent:
            self.retries.again(flight, flow.divide(task))
        elif again:
            alone = losses.was_alone(landed)
            self.retries.lost(flight, death, flow.divide(task), for_sure=alone)
        else:
            reason = self.retries.why_given_up(task, death)
            at_fault = death.worker and task.repeatable and not death.out_of_memory
            if at_fault and (trials := flow.inquire(task, reason)):
                self.retries.try_singly(trials, death)
            else:
                if self._memo is not None and death.worker and len(task.names) == 1:
                    self._memo.remember_quarantined(task.names)
                flow.lose(task, reason)

    def next_task(self, flow: Flow) -> Task | None:
        """Return the next task of a flow; frames that killed before are put aside, to be alone."""
        while (task := flow.next_task()) is not None:
            known = set() if self._memo is None else self._memo.quarantined.intersection(task.names)
            if not known or not isinstance(task.work, ChainWork):
                return task
            parts = flow.divide(task)
            before = Death("", said="it killed its worker in an earlier run")
            self.retries.try_singly([part for part in parts if known & {*part.names}], before)
            self.retries.try_singly([part for part in parts if not known & {*part.names}])
        return None

    def take_trouble(self, flow: Flow, flight: Flight, trouble: Trouble) -> bool:
        """Act on a volume that could not be written to; False if the frames are to blame."""
        task = flight.task
        if not task.repeatable:
            return False
        verdict = self._misfits.look(trouble)
        if verdict is None and flight.attempt:
            return False  # it is all right there, and was not the first time either
        verdict = verdict or Verdict(hopeless=False)
        self._tell(flight, trouble.reason, not verdict.hopeless)
        flow.records.extend(verdict.records)
        if verdict.hopeless:
            self._stop(flow, verdict.reason)
            flow.lose(task, trouble.reason)
        else:
            self.retries.again(flight, flow.divide(task))
        return True

    def settle(self, flow: Flow) -> None:
        """Give up what no host has the memory for."""
        for task, reason in self.retries.given_up:
            flow.lose(task, reason)
        self.retries.given_up.clear()

    def _tell(self, flight: Flight, reason: str, again: bool) -> None:
        task, attempt = flight.task, flight.attempt
        logger.warning("task %s: %s%s", task.label, reason, "; trying again" if again else "")
        self._announce(
            TaskLost(task.label, task.number, attempt, task.names, reason, again, time.time())
        )
