"""ChainTasks: images that wait for the same links become tasks, several images each.

The legs of one batch that can be done by one task lie in a pool; how many of them go into the
next task is decided when a worker is free for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from mirar_dask.engine import memory
from mirar_dask.engine.batch_graph import BatchGraph
from mirar_dask.engine.batch_names import shown
from mirar_dask.engine.board import Landing, TaskBoard, Urgency
from mirar_dask.engine.book import RunBook
from mirar_dask.engine.legs import Leg
from mirar_dask.engine.packing import Packing
from mirar_dask.engine.recollection import Recollection
from mirar_dask.engine.travel import size_of
from mirar_dask.engine.types import ChainItem, ChainWork, Link, Outcome, Task
from mirar_dask.processors.base.outcome import Record, Status


class _Pool(NamedTuple):
    """What the legs that one task may take have in common."""

    urgency: int
    first: int
    """First step: of pools of one urgency the one that is behind goes first."""
    graph: int
    links: tuple[Link, ...]
    measures: tuple[int, ...]
    for_bands: bool
    batch: str
    """Name of the batch that they are in."""

    @classmethod
    def of(cls, leg: Leg) -> _Pool:
        feeds_master = bool(leg.for_bands or leg.measures)
        kind = Urgency.FRAME_OF_MASTER if feeds_master else Urgency.CHAIN
        first = leg.links[0].step if leg.links else 0
        urgency = kind.within(leg.graph.segment)
        name = shown(leg.graph.expansion.names[leg.position])
        return cls(urgency, first, id(leg.graph), leg.links, leg.measures, leg.for_bands, name)


class _Share(NamedTuple):
    """The images of one graph that a task has in hand."""

    graph: BatchGraph
    legs: dict[int, Leg]
    """By the position of their images."""


class ChainTasks:
    """Makes tasks of legs and tells their graphs what came back.

    Parameters
    ----------
    board : TaskBoard
        Keeps what is under way.
    book : RunBook
        Keeps records and rows.
    packing : Packing
        Chooses how many images go into a task.
    touch : callable
        Told of each graph that should be looked at again.
    recall : Recollection, optional
        Keeps what was done for a later run.
    """

    def __init__(
        self,
        board: TaskBoard,
        book: RunBook,
        packing: Packing,
        touch: Callable[[BatchGraph], None],
        recall: Recollection | None = None,
    ) -> None:
        self.recall = recall
        self.board, self.book, self.packing, self.touch = board, book, packing, touch
        self._pools: dict[_Pool, list[Leg]] = {}
        self._waiting = 0
        """Number of legs in all pools."""
        self._shares: dict[int, _Share] = {}
        """Of the tasks under way, by number."""

    @property
    def idle(self) -> bool:
        """Whether no leg waits for a task."""
        return not self._pools

    @property
    def urgency(self) -> int | None:
        """Urgency of the next task, None if there is none."""
        pool = self._next_pool()
        return None if pool is None else pool.urgency

    @property
    def awaited(self) -> bool:
        """Whether other steps wait for the whole batch of the next task."""
        pool = self._next_pool()
        return pool is not None and _is_awaited(self._pools[pool][0])

    def add(self, leg: Leg) -> None:
        """Let a leg wait for a task."""
        self._pools.setdefault(_Pool.of(leg), []).append(leg)
        self._waiting += 1

    def take_back(self, number: int, positions: Sequence[int]) -> None:
        """Let images wait again that a task under way has not begun and gave back.

        A task that has ended meanwhile, or was lost, has left them already.
        """
        share = self._shares.get(number)
        if share is not None:
            self._put_back([share.legs.pop(position) for position in positions])

    def _put_back(self, legs: Sequence[Leg]) -> None:
        """Let legs wait again that a task gave back, before all others of their kind."""
        if legs and not self.board.stopped:
            pool = _Pool.of(legs[0])
            self._pools[pool] = [*legs, *self._pools.get(pool, [])]
            self._waiting += len(legs)

    def stop(self) -> None:
        """Forget the legs that wait."""
        self._pools.clear()
        self._waiting = 0

    def next_task(self) -> Task | None:
        """Make the most urgent task; None if no leg waits."""
        pool = self._next_pool()
        if pool is None:
            return None
        legs = self._pools[pool]
        graph, places = legs[0].graph, _places(pool.links)
        nbytes = _float_bytes(legs[0])
        awaited = _is_awaited(legs[0])
        n = self.packing.size(places, self._waiting, nbytes, awaited=awaited)
        taken, rest = legs[:n], legs[n:]
        self._waiting -= len(taken)
        if rest:
            self._pools[pool] = rest
        else:
            del self._pools[pool]
        states = [graph.contexts[link.context] for link in pool.links if link.context]
        contexts = {state.name: state.value for state in states}
        items = []
        for leg in taken:
            image = graph.values[leg.position]
            assert image is not None
            items.append(ChainItem(leg.position, image, leg.measures, leg.for_bands))
        like = Task(
            label=self.board.label(places or pool.measures),
            number=-1,
            work=ChainWork(
                pool.links,
                (),
                contexts,
                {state.name: state.key for state in states},
                stages=self.recall is not None,
                seconds=self.packing.patience,
            ),
            names=(),
            memory=memory.of_chain(
                nbytes if self._reads_pixels(pool, taken[0]) else 0,
                sum(size_of(value) for value in contexts.values()),
                [self.board.steps[place] for place in places],
            ),
            urgency=pool.urgency,
            batch=pool.batch,
        )
        share = _Share(graph, {leg.position: leg for leg in taken})
        return self._begin(share, tuple(items), like)

    def _reads_pixels(self, pool: _Pool, leg: Leg) -> bool:
        """Whether more is done to an image than to write its history and to note changes of rows.

        What was noted of frames that enter a master is done band by band when it is made.
        """
        image = leg.graph.values[leg.position]
        if image is None or pool.measures or not (pool.for_bands and image.pixels.rows_readable):
            return bool(_places(pool.links) or pool.measures or pool.for_bands)
        return not all(self.board.steps[place].reads_later for place in _places(pool.links))

    def divide(self, task: Task) -> list[Task]:
        """Divide a task that was lost into tasks of one image each, to find the one at fault."""
        work = task.work
        if not isinstance(work, ChainWork) or len(work.items) == 1:
            return [task]
        self.board.land(task)
        graph, legs = self._shares.pop(task.number)
        return [
            self._begin(_Share(graph, {item.position: legs[item.position]}), (item,), task)
            for item in work.items
            if item.position in legs  # it may have given others back
        ]

    def _next_pool(self) -> _Pool | None:
        def rank(pool: _Pool) -> tuple[int, int, int]:
            # Of large batches first: what follows on them whole takes longest.
            return pool.urgency, -pool.first, len(self._pools[pool][0].graph.chains)

        return max(self._pools, key=rank, default=None)

    def _begin(self, share: _Share, items: tuple[ChainItem, ...], like: Task) -> Task:
        """Make the task of some images; links, contexts, memory and label are another's."""
        work: Any = like.work
        names = tuple(dict.fromkeys(name for item in items for name in item.image.names))
        task = self.board.begin(
            replace(like, work=replace(work, items=items), names=names),
            lambda task: Landing(
                lambda outcome: self._absorb(task, outcome), lambda reason: self._lose(task, reason)
            ),
        )
        self._shares[task.number] = share
        return task

    def _absorb(self, task: Task, outcome: Outcome) -> None:
        graph, legs = self._shares.pop(task.number)
        assert isinstance(task.work, ChainWork)
        left = [legs.pop(position) for position in outcome.left if position in legs]
        self.packing.learn(task.work.places, len(legs), outcome.seconds)
        for position, leg in legs.items():
            scales = {step: s for (p, step), s in outcome.scales.items() if p == position}
            image = outcome.images.get(position)
            graph.absorb_leg(leg, image, scales, outcome.failed_after.get(position, 0))
        self._put_back(left)
        if self.recall is not None:
            self.recall.keep_legs(task.work, outcome)
        self.book.take_rows(outcome.rows, graph.order)
        self.touch(graph)

    def _lose(self, task: Task, reason: str) -> None:
        graph, legs = self._shares.pop(task.number)
        members = [graph.batch.members[position] for position in legs]
        names = tuple(dict.fromkeys(name for member in members for name in member.names))
        self.book.records.append(Record(names, Status.LOST, task.label, reason))
        for leg in legs.values():
            graph.absorb_leg(leg, None, {})
        self.touch(graph)


def _is_awaited(leg: Leg) -> bool:
    return leg.graph.is_awaited(leg.position)


def _places(links: tuple[Link, ...]) -> tuple[int, ...]:
    """Steps that do something to the image."""
    return tuple(link.step for link in links if not link.history_only)


def _float_bytes(leg: Leg) -> int:
    image = leg.graph.values[leg.position]
    return 0 if image is None else max(int(image.nbytes), 4 * math.prod(image.shape))
