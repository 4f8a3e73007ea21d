"""Flights: the tasks of a run that are in the hands of Dask.

Tasks are handed over many at a time. Their outcomes do not wait on the workers until they are
fetched, one request each: they come with the stream of messages that every worker has to the
scheduler anyway, and the scheduler to its clients. What does not come that way, because it is too
large or its message went astray, is fetched.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from distributed import Client, Future, KilledWorker, get_worker
from distributed.protocol.pickle import dumps, loads

from mirar_dask.engine.asking import UnderWay, worth_asking
from mirar_dask.engine.bench import give_back
from mirar_dask.engine.packing import Packing
from mirar_dask.engine.task import execute_remote
from mirar_dask.engine.types import ChainWork, Outcome, Task
from mirar_dask.engine.workers import Workers

logger = logging.getLogger(__name__)

POSTED_BYTES = 64 << 10
"""Outcomes up to this size are posted; the scheduler keeps the last thousand messages."""
SCAN_SECONDS = 0.1
"""How often futures are looked at for tasks that went down without a word."""
ASTRAY_SECONDS = 1.0
"""How long the outcome of a task that has ended may be on its way before it is fetched."""


class Flight(NamedTuple):
    """A task on its way, and which attempt this is."""

    task: Task
    attempt: int
    where: tuple[str, ...] = ()
    """Addresses of workers that are to do it, if one of them is there; empty for any."""
    alone: bool = False
    """Its worker does nothing else: it need not reserve its share."""

    @property
    def tag(self) -> tuple[int, int]:
        """What its messages are marked with."""
        return self.task.number, self.attempt


class GivenBack(NamedTuple):
    """Images that a task was asked for and has not begun."""

    number: int
    """Of the task."""
    positions: tuple[int, ...]
    """Of the images in their batch."""


class Landed(NamedTuple):
    """A flight that has ended."""

    flight: Flight
    outcome: Outcome | None
    reason: str
    """Why there is no outcome."""
    worker: str = ""
    """Address of the worker that died of it, or with it."""
    executing: bool = False
    """That worker was doing it when it was last heard of; others only waited there."""


@dataclass
class _Held:
    flight: Flight
    future: Future
    sent: float
    """When it was handed over."""
    ended: float | None = None
    """When its future was first seen to have finished."""
    given_back: int = 0
    """Number of its images that it gave back."""
    asked: bool = False
    """Whether it was asked for images and has not answered, or said that none is left."""

    def under_way(self, now: float) -> UnderWay | None:
        """Describe it to `asking`; None if it cannot give anything back."""
        task = self.flight.task
        if self.asked or not isinstance(task.work, ChainWork):
            return None
        images = len(task.work.items) - self.given_back
        return UnderWay(task.number, task.work.places, images, now - self.sent)


def fly(topic: str, run: str, task: Task, attempt: int) -> Outcome:
    """Do a task on a worker and post its outcome; what Dask calls."""
    outcome = execute_remote(run, task)
    if outcome.trouble is not None:
        found = replace(outcome.trouble, worker=get_worker().address)
        outcome = replace(outcome, trouble=found)
    content: bytes | None = dumps(outcome)
    if content is not None and len(content) > POSTED_BYTES:
        content = None
    get_worker().log_event(topic, {"run": run, "tag": (task.number, attempt), "outcome": content})
    return outcome


class Flights:
    """The tasks of one run on one client; a context manager.

    Parameters
    ----------
    client : distributed.Client
        Connected to the cluster.
    run : str
        Name of the run, unique among all that the cluster sees.
    workers : Workers
        Say what a task reserves.
    """

    def __init__(self, client: Client, run: str, workers: Workers) -> None:
        self.client, self.run, self.workers = client, run, workers
        self._held: dict[tuple[int, int], _Held] = {}
        self._posted: SimpleQueue[tuple[tuple[int, int], bytes | None] | GivenBack] = SimpleQueue()
        self._scanned = 0.0
        self._asking = 0
        """Number of tasks that were asked and have not answered."""

    def __enter__(self) -> Flights:
        # The scheduler forgets messages under the name of a client when that leaves.
        self.client.subscribe_topic(self.client.id, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        if self.client.status == "running":
            self.client.unsubscribe_topic(self.client.id)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def under_way(self) -> list[Flight]:
        """All flights."""
        return [held.flight for held in self._held.values()]

    def _receive(self, event: tuple[float, Any]) -> None:
        message = event[1]
        if isinstance(message, dict) and message.get("run") == self.run:
            number, attempt = message["tag"]
            self._posted.put(((number, attempt), message["outcome"]))

    def send(self, flights: Sequence[Flight]) -> None:
        """Hand tasks over, those that are alike in one message."""
        alike: dict[Any, list[Flight]] = defaultdict(list)
        now = time.monotonic()
        for flight in flights:
            reserved = None if flight.alone else self.workers.reservation(flight.task)
            key = (flight.task.urgency, tuple((reserved or {}).items()), flight.where)
            alike[key].append(flight)
        for (urgency, reserved, where), group in alike.items():
            futures = self.client.map(
                fly,
                [self.client.id] * len(group),
                [self.run] * len(group),
                [flight.task for flight in group],
                [flight.attempt for flight in group],
                key=[(f.task.label, f"{self.run}-{f.task.number}", f.attempt) for f in group],
                pure=False,
                retries=0,
                priority=urgency,
                resources=dict(reserved) or None,
                workers=list(where) or None,
                allow_other_workers=bool(where),  # one that is gone must not be waited for
            )
            for flight, future in zip(group, futures, strict=True):
                self._held[flight.tag] = _Held(flight, future, now)

    def ask_back(self, idle: int, packing: Packing) -> None:
        """Have workers give back images that they have not begun, for so many that are idle."""
        idle -= self._asking
        if idle <= 0:
            return
        now = time.monotonic()
        packs = [pack for held in self._held.values() if (pack := held.under_way(now))]
        numbers = set(worth_asking(packs, idle, packing))
        if not numbers:
            return
        asked = [held for held in self._held.values() if held.flight.task.number in numbers]
        for held in asked:
            held.asked = True
        self._asking += len(asked)
        keys = {held.future.key: held.flight.task.number for held in asked}
        self.client.loop.add_callback(self._ask, keys)

    async def _ask(self, numbers: dict[Any, int]) -> None:
        """Ask the workers that have some tasks, and post their answers."""
        found: dict[int, tuple[int, ...]] = dict.fromkeys(numbers.values(), ())
        try:
            processing = await self.client.processing()
            workers = [w for w, keys in processing.items() if not numbers.keys().isdisjoint(keys)]
            answers = await self.client.run(
                give_back, self.run, list(found), workers=workers, on_error="ignore"
            )
            for answer in answers.values():
                for number, positions in answer.items():
                    found[number] += positions
        except Exception as exc:  # a worker or the scheduler has gone: the loop will hear of it
            logger.debug("could not ask tasks %s for images: %s", list(found), exc)
        for number, positions in found.items():
            self._posted.put(GivenBack(number, positions))

    def landed(self, timeout: float) -> list[Landed | GivenBack]:
        """Wait for a flight to end or to give images back; return all that have."""
        found: list[Landed | GivenBack] = []
        deadline = time.monotonic() + timeout
        while not found:
            self._take_posted(found, min(SCAN_SECONDS, max(0.0, deadline - time.monotonic())))
            if time.monotonic() - self._scanned >= SCAN_SECONDS:
                self._scan(found)
            if time.monotonic() >= deadline:
                break
        return found

    def _take_posted(self, found: list[Landed | GivenBack], timeout: float) -> None:
        """Take in all messages that are there; wait for the first of them."""
        wait = True
        while True:
            try:
                post = self._posted.get(wait, timeout) if wait else self._posted.get(False)
            except Empty:
                return
            wait = False
            if isinstance(post, GivenBack):
                self._take_answer(post)
                found.append(post)
            elif post[0] in self._held:
                found.append(self._land(*post))

    def _take_answer(self, answer: GivenBack) -> None:
        self._asking -= 1
        for held in self._held.values():
            if held.flight.task.number == answer.number:
                held.asked = not answer.positions
                held.given_back += len(answer.positions)

    def _scan(self, found: list[Landed | GivenBack]) -> None:
        """Look for tasks that have ended and sent no word."""
        now = self._scanned = time.monotonic()
        for tag, held in list(self._held.items()):
            status = held.future.status
            if status == "pending":
                continue
            if status == "finished":
                held.ended = held.ended or now
                if now - held.ended < ASTRAY_SECONDS:
                    continue
            found.append(self._land(tag, None))

    def _land(self, tag: tuple[int, int], content: bytes | None) -> Landed:
        held = self._held.pop(tag)
        if content is None:
            landed = _look_at(held.flight, held.future)
        else:
            landed = Landed(held.flight, loads(content), "")
        held.future.release()
        return landed

    def cancel(self) -> list[Flight]:
        """Call all flights back; return them."""
        flights, futures = self.under_way, [held.future for held in self._held.values()]
        self._held.clear()
        if self.client.status == "running":
            self.client.cancel(futures, force=True)
        return flights


def _look_at(flight: Flight, future: Future) -> Landed:
    """Say what became of a task that has ended: its outcome, or why there is none."""
    try:
        return Landed(flight, future.result(), "")
    except KilledWorker as exc:
        worker = exc.last_worker
        return Landed(
            flight, None, "its worker died", worker.address, future.key in worker.executing
        )
    except Exception as exc:
        if future.status == "finished":  # the worker died before its result was fetched
            return Landed(flight, None, f"its result was lost ({type(exc).__name__}: {exc})")
        if future.status == "error":
            return Landed(flight, None, f"{type(exc).__name__}: {exc}".splitlines()[0])
        return Landed(flight, None, f"it was {future.status}")
