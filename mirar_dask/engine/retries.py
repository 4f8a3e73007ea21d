"""Retries: the tasks of a run that were lost with their worker, and where they are tried again.

The driver tells of each loss and asks which tasks to hand out again. One that was lost is tried
alone and elsewhere; one that ran out of memory on a worker that may take all that its host has
free, while that host does nothing else; after some attempts it is given up with the reason.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mirar_dask.engine import headroom
from mirar_dask.engine.deaths import Death
from mirar_dask.engine.elsewhere import Spot, elsewhere, free_spot
from mirar_dask.engine.flights import Flight
from mirar_dask.engine.types import Task
from mirar_dask.engine.workers import Workers

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

ATTEMPTS = 3
"""How often a task is tried whose worker dies."""
SETTLED_SECONDS = 0.5
"""How long a worker must have been there: the nanny of one that dies sooner may not notice."""
WORTH = 1.1
"""A worker's limit is raised only if its host has so many times as much."""


class GivenUp(NamedTuple):
    """A task that is not tried again."""

    task: Task
    reason: str


class _Alone(NamedTuple):
    """A worker that does one task with all memory of its host."""

    spot: Spot
    usual: int
    """Its limit before."""
    limit: int
    number: int
    """Of the task."""


@dataclass
class Retries:
    """What was lost in a run and is to be tried again.

    Parameters
    ----------
    client : distributed.Client
        Connected to the cluster.
    workers : Workers
        What is known of its workers.
    """

    client: Client
    workers: Workers
    waiting: list[Flight] = field(default_factory=list)
    given_up: list[GivenUp] = field(default_factory=list)
    """Tasks for which no host has the memory; the driver takes them out."""
    held: str | None = None
    """Host to which nothing else is sent: it is to do, or does, a task alone."""
    _deaths: dict[int, tuple[Death, ...]] = field(default_factory=lambda: defaultdict(tuple))
    """Of the workers that had a task, by its number."""
    _large: set[int] = field(default_factory=set)
    """Numbers of tasks that are to have more memory."""
    _alone: _Alone | None = None
    _given: dict[int, int] = field(default_factory=dict)
    """Memory that a task was given beyond the usual, by number."""

    # -- what is told -------------------------------------------------------------------------

    def may_retry(self, task: Task, death: Death) -> bool:
        """Whether a task that was just lost is worth another attempt."""
        if not task.repeatable or len(self._deaths.get(task.number, ())) + 1 >= ATTEMPTS:
            return False
        return not (death.out_of_memory and task.number in self._given)

    def lost(
        self, flight: Flight, death: Death, parts: Sequence[Task], *, for_sure: bool = True
    ) -> None:
        """Have the parts of a task that was lost tried again, each by itself.

        Parameters
        ----------
        flight : Flight
            What was lost.
        death : Death
            How its worker ended.
        parts : sequence of Task
            What it is divided into.
        for_sure : bool
            Whether the worker was doing this task, and no other, when it ended.
        """
        deaths = (*self._deaths.pop(flight.task.number, ()), death)
        for part in parts:
            self._deaths[part.number] = deaths
            # Several images in one task may be too much where one alone is not.
            if for_sure and death.out_of_memory and part.number == flight.task.number:
                self._large.add(part.number)
            self.waiting.append(Flight(part, flight.attempt + 1))

    def again(self, flight: Flight, parts: Sequence[Task]) -> None:
        """Have the parts of a task tried again that came to no harm by itself."""
        for part in parts:
            self._deaths[part.number] = self._deaths.get(flight.task.number, ())
            self.waiting.append(Flight(part, flight.attempt + 1))

    def try_singly(self, trials: Sequence[Task], death: Death | None = None) -> None:
        """Have images that may be at fault taken each by itself; a death before counts for each."""
        for trial in trials:
            if death is not None:
                self._deaths[trial.number] = (death,)
            self.waiting.append(Flight(trial, 0))

    def why_given_up(self, task: Task, death: Death) -> str:
        """Say why a task is not tried again."""
        tried = len(self._deaths.pop(task.number, ())) + 1
        if not task.repeatable:
            return f"lost after side effect: {death}"
        times = f"{tried} attempts" if tried > 1 else "1 attempt"
        given = self._given.get(task.number)
        if given is not None and death.out_of_memory:
            return (
                f"{death}; alone on its host, and allowed all that was free there "
                f"({given / 1e9:.2f} GB), it did not fit either ({times})"
            )
        return f"{death} ({times})"

    def landed(self, number: int) -> None:
        """Note that a task came to an end; a worker that did it alone has its usual limit again."""
        alone = self._alone
        if alone is None or alone.number != number:
            return
        self._alone = self.held = None
        if self.client.status == "running" and alone.spot.address in self.workers.addresses:
            self._set_limit(alone.spot.address, alone.usual)

    def forget(self) -> list[Flight]:
        """Give up all that waits; return it."""
        flights, self.waiting = self.waiting, []
        return flights

    # -- what is asked ------------------------------------------------------------------------

    @property
    def free_workers(self) -> tuple[str, ...]:
        """Workers to which other tasks may be sent; empty for all of them."""
        if self.held is None:
            return ()
        return tuple(spot.address for spot in self.workers.spots if spot.host != self.held)

    @property
    def kept_free(self) -> int:
        """Number of tasks that fewer can be under way than there are threads."""
        if self.held is None:
            return 0
        there = sum(spot.threads for spot in self.workers.spots if spot.host == self.held)
        return there if self._alone is None else there - 1  # that one is under way

    def next(self, room: int) -> list[Flight]:
        """Return those that can be handed out now, so many at most, each with its worker."""
        if not self.waiting or self.client.status != "running":
            return []
        self.workers.ask_again()
        spots = self.workers.spots
        busy = Counter({a: len(keys) for a, keys in self.client.processing().items()})
        sent: list[Flight] = []
        for flight in list(self.waiting):
            if len(sent) >= room:
                break
            if flight.task.number in self._large:
                placed = self._place_alone(flight, spots, busy)
            else:
                placed = self._place(flight, spots, busy)
            if placed is not None:
                self.waiting.remove(flight)
                sent.append(placed)
                busy[placed.where[0]] += 1
        return sent

    def _place(self, flight: Flight, spots: Sequence[Spot], busy: Counter[str]) -> Flight | None:
        deaths = self._deaths.get(flight.task.number, ())
        known = [self.workers.seen[d.worker] for d in deaths if d.worker in self.workers.seen]
        there = elsewhere(spots, {k.spot.host for k in known}, {k.spot.name for k in known})
        ripe = time.monotonic() - SETTLED_SECONDS
        there = [spot for spot in there if self.workers.seen[spot.address].since <= ripe]
        spot = free_spot([s for s in there if s.host != self.held], busy)
        return None if spot is None else flight._replace(where=(spot.address,))

    # -- more memory --------------------------------------------------------------------------

    def _place_alone(
        self, flight: Flight, spots: Sequence[Spot], busy: Counter[str]
    ) -> Flight | None:
        if self._alone is not None or not spots:
            return None
        here = [spot for spot in spots if spot.host == self.held] or list(spots)
        reach = headroom.reach_of(self.client, [spot.address for spot in here])
        best = max(here, key=lambda spot: reach.get(spot.address, 0))
        self.held = best.host
        if any(busy[spot.address] for spot in spots if spot.host == self.held):
            return None  # it is waited for until its host has nothing else to do
        usual = self.workers.seen[best.address].limit
        limit = reach.get(best.address, 0)
        number = flight.task.number
        if limit < WORTH * usual or not self._set_limit(best.address, limit):
            self.held = None
            self.waiting.remove(flight)
            tried = self._deaths.pop(number)
            free = f"its host has {limit / 1e9:.2f} GB for one worker that does nothing else"
            self.given_up.append(GivenUp(flight.task, f"{tried[-1]}; {free}"))
            return None
        logger.warning(
            "task %s is tried again alone on %s, with %.2f GB in place of %.2f GB",
            flight.task.label, best.host, limit / 1e9, usual / 1e9,
        )  # fmt: skip
        self._large.discard(number)
        self._given[number] = limit
        self._alone = _Alone(best, usual, limit, number)
        return flight._replace(where=(best.address,), alone=True)

    def _set_limit(self, worker: str, nbytes: int) -> bool:
        try:
            headroom.set_limit(self.client, worker, nbytes)
        except (OSError, KeyError) as error:  # it has just gone
            logger.debug("the memory of %s was not set: %s", worker, error)
            return False
        return True
