"""Gates: where batches wait at the end of a segment for a step that sees them together.

Blocks that are merged by key go on group by group, each as soon as nothing that is still on its
way can belong to it; a step that regroups as it likes gets all batches at once, in a task.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mirar_dask.engine import batch_names, memory
from mirar_dask.engine.board import Landing, TaskBoard, Urgency
from mirar_dask.engine.book import RunBook
from mirar_dask.engine.order import Order
from mirar_dask.engine.segments import Segment
from mirar_dask.engine.traffic import Traffic
from mirar_dask.engine.types import Bunch, Handle, Outcome, RegroupWork
from mirar_dask.processors.base.core import CONTAINED
from mirar_dask.processors.base.forms import Regroup
from mirar_dask.processors.base.outcome import Record, Status
from mirar_dask.processors.base_processor import BaseProcessor, KeyedRegroup

GoOn = Callable[[int, Bunch, Order, str], None]
"""Takes a batch that has passed the end of the segment with this number, its place and name."""
Groups = dict[Any, list[tuple[tuple[int, ...], Handle]]]
"""Blocks, with their places in the night, by key."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A batch at the end of a segment."""

    bunch: Bunch
    order: Order


def in_order(arrived: Sequence[Arrived]) -> list[Arrived]:
    """Sort batches by their places."""
    return sorted(arrived, key=lambda a: a.order.key())


class Gates:
    """The ends of all segments.

    Parameters
    ----------
    steps : sequence of BaseProcessor
        All steps of the run.
    segments : sequence of Segment
        Their segments.
    traffic : Traffic
        Knows what is still on its way.
    board : TaskBoard
        Where tasks wait.
    book : RunBook
        Keeps records and files.
    go_on : callable
        Takes the batches that were regrouped.
    group_by_group : bool
        Let a merged group go on as soon as it is complete; else when all batches have arrived.
    """

    def __init__(
        self,
        steps: Sequence[BaseProcessor],
        segments: Sequence[Segment],
        traffic: Traffic,
        board: TaskBoard,
        book: RunBook,
        go_on: GoOn,
        *,
        group_by_group: bool = True,
    ) -> None:
        self.steps, self.segments, self.traffic = steps, segments, traffic
        self.board, self.book, self.go_on = board, book, go_on
        self.group_by_group = group_by_group
        self._waiting: dict[int, list[Arrived]] = defaultdict(list)

    @property
    def empty(self) -> bool:
        """Whether no batch waits anywhere."""
        return not any(self._waiting.values())

    def arrive(self, segment: int, bunch: Bunch, order: Order) -> None:
        """Let a batch wait at the end of a segment."""
        self._waiting[segment].append(Arrived(bunch, order))

    def open_any(self) -> bool:
        """Let go what waits at the first gate that can be opened; False if none can."""
        return any(self._open(segment) for segment in range(len(self.segments)))

    def _open(self, segment: int) -> bool:
        """Let go what waits at the end of a segment, if it is complete."""
        waiting = self._waiting[segment]
        if not waiting or self.board.stopped or not self._quiet_before(segment):
            return False
        place = self.segments[segment].stop - 1
        step = self.steps[place]
        all_here = self.traffic.quiet(segment)
        if step.regroup is Regroup.FREE or not isinstance(step, KeyedRegroup):
            if all_here:
                self._waiting[segment] = []
                self._regroup(segment, place, in_order(waiting))
            return all_here
        if all_here:
            self._waiting[segment] = []
            self._merge(segment, step, in_order(waiting), set())
            return True
        pending = self.traffic.pending_keys(segment)
        if pending is None or not self.group_by_group:
            return False
        if not all(arrived.order.decided() for arrived in waiting):
            return False
        self._waiting[segment] = []
        return self._merge(segment, step, in_order(waiting), pending)

    def _quiet_before(self, segment: int) -> bool:
        return all(self.traffic.quiet(s) and not self._waiting[s] for s in range(segment))

    # -- merging by key -----------------------------------------------------------------------

    def _merge(
        self, segment: int, step: KeyedRegroup, waiting: list[Arrived], pending: set[Any]
    ) -> bool:
        """Merge blocks by key; those of keys that are still expected stay at the gate.

        Returns
        -------
        bool
            Whether any group went on.
        """
        groups: Groups = {}
        for arrived in waiting:
            kept = self._sort_into(groups, step, arrived, pending)
            if kept:
                self.arrive(segment, Bunch(tuple(kept), arrived.bunch.is_sources), arrived.order)
        is_sources = any(arrived.bunch.is_sources for arrived in waiting)
        for key, members in groups.items():
            bunch = Bunch(tuple(handle for _, handle in members), is_sources)
            self.go_on(segment, bunch, Order().then(*members[0][0]), batch_names.of_key(key))
        return bool(groups)

    def _sort_into(
        self, groups: Groups, step: KeyedRegroup, arrived: Arrived, pending: set[Any]
    ) -> list[Handle]:
        """Add the blocks of a batch to their groups; return those that have to stay."""
        stay: list[Handle] = []
        for place, handle in enumerate(arrived.bunch.members):
            names = tuple(handle.names)
            try:
                key = step.group_key(handle.open())
            except CONTAINED as exc:
                self._let_fall(handle, step.failure(exc, names))
                continue
            if key is None:
                why = step.description()
                self._let_fall(handle, Record(names, Status.SET_ASIDE, step.step_name, why))
            elif key in pending:
                stay.append(handle)
            else:
                groups.setdefault(key, []).append(((*arrived.order.key(), place), handle))
        return stay

    def _let_fall(self, handle: Handle, record: Record) -> None:
        self.book.records.append(record)
        self.book.ledger.drop(handle.files)

    # -- regrouping freely --------------------------------------------------------------------

    def _regroup(self, segment: int, place: int, waiting: list[Arrived]) -> None:
        bunches = tuple(arrived.bunch for arrived in waiting)
        names = tuple(dict.fromkeys(name for bunch in bunches for name in bunch.names))
        step = self.steps[place].step_name
        self.traffic.enter(segment)

        def absorb(outcome: Outcome) -> None:
            self.traffic.leave(segment)
            self.book.hold(outcome.batches)
            self.book.drop(bunches)
            n = len(outcome.batches)
            for rank, bunch in enumerate(outcome.batches):
                name = batch_names.of_part(step, rank, n) if n > 1 else ""
                self.go_on(segment, bunch, Order().then(rank), name)

        def lose(reason: str) -> None:
            self.traffic.leave(segment)
            self.book.drop(bunches)
            lost = Record(names, Status.LOST, step, reason)
            self.book.records.append(lost)

        nbytes = max(memory.of_batch(self.steps[place], bunch) for bunch in bunches)
        work, urgency = RegroupWork(place, bunches), Urgency.REGROUP.within(segment)
        self.board.post(work, (place,), names, nbytes, urgency, Landing(absorb, lose))
