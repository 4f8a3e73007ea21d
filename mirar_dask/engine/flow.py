"""The whole run as bookkeeping: which task can be done next, and what follows from an outcome.

`Flow` knows no clock, no processes and no Dask. A driver asks `next_task` whenever there is room
and hands every outcome to `absorb`; batches go through segments (the steps between two regroups
that see other batches), independently of one another.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

from mirar_dask.data import ImageBatch
from mirar_dask.engine import memory
from mirar_dask.engine.batch_graph import BatchGraph, ContextState, Leg
from mirar_dask.engine.expand import expand, needs_measuring, needs_whole_batch
from mirar_dask.engine.order import Order
from mirar_dask.engine.packing import Packing
from mirar_dask.engine.release import FileLedger
from mirar_dask.engine.task import is_solo
from mirar_dask.engine.travel import files_of, size_of
from mirar_dask.engine.types import (
    BandWork,
    BatchWork,
    Bunch,
    ChainItem,
    ChainWork,
    Handle,
    MasterWork,
    Outcome,
    PrepareWork,
    RegroupWork,
    Task,
)
from mirar_dask.errors import ShapeMismatchError
from mirar_dask.processors.base.claims import Claims
from mirar_dask.processors.base.core import CONTAINED
from mirar_dask.processors.base.forms import Regroup
from mirar_dask.processors.base.outcome import Record, Row, Status
from mirar_dask.processors.base_processor import BaseProcessor, KeyedRegroup, ProcessorWithCache


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps that a batch passes without meeting others."""

    start: int
    stop: int
    """First step that is not part of it; the last one may end in a regroup."""


def cut(steps: Sequence[BaseProcessor], start: int = 0) -> list[Segment]:
    """Divide steps into segments, each ending with a step that sees all batches, or the last."""
    segments = []
    for place in range(start, len(steps)):
        if steps[place].regroup in (Regroup.KEYED, Regroup.FREE):
            segments.append(Segment(start, place + 1))
            start = place + 1
    if start < len(steps) or not segments:
        segments.append(Segment(start, len(steps)))
    return segments


@dataclass(slots=True)
class _Arrived:
    """A batch that waits at the end of a segment."""

    bunch: Bunch
    order: Order


@dataclass(slots=True)
class _Flying:
    """What to do with the outcome of a task."""

    absorb: Callable[[Outcome], None]
    lose: Callable[[str], None]


class Flow:
    """The state of a run.

    Parameters
    ----------
    steps : sequence of BaseProcessor
        All steps.
    batches : sequence of Bunch
        What enters the first.
    slots : int
        Number of tasks that can run at once.
    start : int
        First step to be run; those before were done when the night was opened.
    group_by_group : bool
        Let a merged group go on as soon as it is complete; else when all batches have arrived.
    """

    def __init__(
        self,
        steps: Sequence[BaseProcessor],
        batches: Sequence[Bunch],
        slots: int = 1,
        *,
        start: int = 0,
        group_by_group: bool = True,
        packing: Packing | None = None,
    ) -> None:
        self.steps = steps
        self.segments = cut(steps, start)
        self.group_by_group = group_by_group
        self.ledger = FileLedger()
        self.claims = Claims()
        self.packing = packing or Packing(slots)
        self.slots = slots
        self.records: list[Record] = []
        self.late: list[str] = []
        """Why looking ahead ended somewhere, for the plan."""
        self.expansions = 0
        self._numbers = count()
        self._graphs: dict[int, list[BatchGraph]] = defaultdict(list)
        self._dirty: dict[int, BatchGraph] = {}
        self._active: Counter[int] = Counter()
        """Batches on their way, by segment."""
        self._gates: dict[int, list[_Arrived]] = defaultdict(list)
        self._queue: list[tuple[int, int, Task]] = []
        self._parked: list[tuple[int, int, Task]] = []
        """Tasks that wait for the concurrency limit of their step."""
        self._pools: dict[Any, list[Leg]] = {}
        self._flying: dict[int, _Flying] = {}
        self._chains: dict[int, tuple[BatchGraph, dict[int, Leg]]] = {}
        """Legs of the chain tasks that are under way."""
        self._limited: Counter[int] = Counter()
        self._final: list[_Arrived] = []
        self._rows: list[tuple[int, Order, int, tuple[Row, ...]]] = []
        self.stopped = False
        for place, bunch in enumerate(batches):
            for handle in bunch.members:
                self.ledger.hold(handle.files)
            self._enter(0, self.segments[0].start, bunch, Order().then(place))
        self._settle()

    # -- for the driver -----------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do or to wait for."""
        return not (self._flying or self._queue or self._pools or self._parked)

    def stop(self) -> None:
        """Begin nothing new; what is under way still comes in."""
        self.stopped = True
        self._queue.clear()
        self._pools.clear()
        self._parked.clear()

    def next_task(self) -> Task | None:
        """Return a task that can be done now, the most urgent first; None if there is none."""
        pool = max(self._pools, key=lambda key: (key[0], -key[1]), default=None)
        if pool is not None and (not self._queue or pool[0] >= -self._queue[0][0]):
            return self._chain_task(pool)
        while self._queue:
            entry = heapq.heappop(self._queue)
            task = entry[2]
            if task.limited_by is not None:
                limit = self.steps[task.limited_by].concurrency_limit
                if limit is not None and self._limited[task.limited_by] >= limit:
                    self._parked.append(entry)
                    continue
                self._limited[task.limited_by] += 1
            return task
        return None if pool is None else self._chain_task(pool)

    def absorb(self, task: Task, outcome: Outcome) -> None:
        """Take in what became of a task."""
        self.records.extend(outcome.records)
        self.ledger.made(outcome.files)
        self._land(task).absorb(outcome)
        self._settle()

    def lose(self, task: Task, reason: str) -> None:
        """Give up a task that could not be brought to an end."""
        self._land(task).lose(reason)
        self._settle()

    def divide(self, task: Task) -> list[Task]:
        """Divide a task that was lost into tasks of one image each, to find the one at fault."""
        work = task.work
        if not isinstance(work, ChainWork) or len(work.items) == 1:
            return [task]
        graph, legs = self._chains.pop(task.number)
        del self._flying[task.number]
        return [
            self._chain(graph, {item.position: legs[item.position]}, work, (item,), task)
            for item in work.items
        ]

    def results(self) -> list[Bunch]:
        """Return the batches that came to the end, in order."""
        return [a.bunch for a in sorted(self._final, key=lambda a: a.order.key())]

    def tables(self) -> dict[int, list[Row]]:
        """Rows of the night's tables by step, in the order of their batches."""
        found: dict[int, list[Row]] = defaultdict(list)
        for step, _, _, rows in sorted(self._rows, key=lambda r: (r[0], r[1].key(), r[2])):
            found[step].extend(rows)
        return dict(found)

    # -- where batches go ---------------------------------------------------------------------

    def _enter(self, segment: int, place: int, bunch: Bunch, order: Order) -> None:
        """Let a batch, whose files are held, see a step."""
        stop = self.segments[segment].stop
        if self.stopped:
            return
        if place >= stop:
            self._arrive(segment, bunch, order)
            return
        self._active[segment] += 1
        if bunch.is_sources or not bunch.members or needs_whole_batch(self.steps[place]):
            self._batch_task(segment, place, bunch, order)
            return
        self.expansions += 1
        expansion = expand(
            self.steps, place, stop, bunch, f"{segment}.{self.expansions}", self.claims
        )
        if expansion.late is not None:
            self.late.append(expansion.late)
        graph = BatchGraph(self.steps, bunch, order, expansion, segment, self.ledger)
        for handle in bunch.members:
            self.ledger.drop(handle.files)  # the graph holds them now
        self._graphs[segment].append(graph)
        self._dirty[id(graph)] = graph

    def _arrive(self, segment: int, bunch: Bunch, order: Order) -> None:
        span = self.segments[segment]
        last = self.steps[span.stop - 1] if span.stop > span.start else None
        if last is not None and last.regroup in (Regroup.KEYED, Regroup.FREE):
            self._gates[segment].append(_Arrived(bunch, order))
        elif segment + 1 < len(self.segments):
            self._enter(segment + 1, self.segments[segment + 1].start, bunch, order)
        else:
            self._final.append(_Arrived(bunch, order))

    def _settle(self) -> None:
        """Draw every conclusion from what is known now."""
        while True:
            while self._dirty:
                _, graph = self._dirty.popitem()
                self._serve(graph)
            if not any(self._open_gate(segment) for segment in range(len(self.segments))):
                break

    def _serve(self, graph: BatchGraph) -> None:
        while True:
            contexts, legs = graph.ready_contexts(), graph.ready_legs()
            if not contexts and not legs:
                break
            for state in contexts:
                self._context_tasks(graph, state)
            if not self.stopped:
                for leg in legs:
                    self._pools.setdefault(self._pool_of(leg), []).append(leg)
        self.records.extend(graph.records)
        graph.records.clear()
        for bunch, leaf, order in graph.ready_leaves():
            self._enter(graph.segment, leaf.next_step, bunch, order)
        if graph.complete and graph in self._graphs[graph.segment]:
            self._graphs[graph.segment].remove(graph)
            self._active[graph.segment] -= 1

    # -- regroups -----------------------------------------------------------------------------

    def _quiet_before(self, segment: int) -> bool:
        return all(not self._active[s] and not self._gates[s] for s in range(segment))

    def _open_gate(self, segment: int) -> bool:
        """Let go what waits at the end of a segment, if it is complete."""
        waiting = self._gates[segment]
        if not waiting or self.stopped or not self._quiet_before(segment):
            return False
        place = self.segments[segment].stop - 1
        step = self.steps[place]
        all_here = not self._active[segment]
        if step.regroup is Regroup.FREE or not isinstance(step, KeyedRegroup):
            if all_here:
                self._gates[segment] = []
                self._regroup_task(segment, place, waiting)
            return all_here
        if all_here:
            self._gates[segment] = []
            self._merge(segment, step, waiting, None)
            return True
        pending = self._pending_keys(segment)
        if pending is None or not self.group_by_group:
            return False
        if not all(arrived.order.decided() for arrived in waiting):
            return False
        self._gates[segment] = []
        return self._merge(segment, step, waiting, pending)

    def _pending_keys(self, segment: int) -> set[Any] | None:
        keys: set[Any] = set()
        graphs = self._graphs[segment]
        if len(graphs) != self._active[segment]:
            return None  # a batch step is under way: nobody knows what it will bring
        for graph in graphs:
            found = graph.pending_keys()
            if found is None:
                return None
            keys |= found
        return keys

    def _merge(
        self,
        segment: int,
        step: KeyedRegroup,
        waiting: list[_Arrived],
        pending: set[Any] | None,
    ) -> bool:
        """Merge blocks by key; those of keys that are still expected stay at the gate."""
        groups: dict[Any, list[tuple[tuple[int, ...], Handle]]] = {}
        is_sources = any(arrived.bunch.is_sources for arrived in waiting)
        stay: list[_Arrived] = []
        for arrived in sorted(waiting, key=lambda a: a.order.key()):
            kept: list[Handle] = []
            for place, handle in enumerate(arrived.bunch.members):
                try:
                    key = step.group_key(handle.open())
                except CONTAINED as exc:
                    self.records.append(step.failure(exc, tuple(handle.names)))
                    self.ledger.drop(handle.files)
                    continue
                if key is None:
                    names, why = tuple(handle.names), step.description()
                    self.records.append(Record(names, Status.SET_ASIDE, step.step_name, why))
                    self.ledger.drop(handle.files)
                elif pending is not None and key in pending:
                    kept.append(handle)
                else:
                    groups.setdefault(key, []).append(((*arrived.order.key(), place), handle))
            if kept:
                stay.append(_Arrived(Bunch(tuple(kept), arrived.bunch.is_sources), arrived.order))
        self._gates[segment].extend(stay)
        following = segment + 1
        for members in groups.values():
            bunch = Bunch(tuple(handle for _, handle in members), is_sources)
            order = Order().then(*members[0][0])
            if following < len(self.segments):
                self._enter(following, self.segments[following].start, bunch, order)
            else:
                self._final.append(_Arrived(bunch, order))
        if pending is None and not groups and isinstance(step, KeyedRegroup):
            return True
        return bool(groups)

    def _regroup_task(self, segment: int, place: int, waiting: list[_Arrived]) -> None:
        bunches = tuple(a.bunch for a in sorted(waiting, key=lambda a: a.order.key()))
        names = tuple(dict.fromkeys(name for bunch in bunches for name in bunch.names))
        self._active[segment] += 1

        def absorb(outcome: Outcome) -> None:
            self._active[segment] -= 1
            self._hold(outcome.batches)
            self._drop(bunches)
            for rank, bunch in enumerate(outcome.batches):
                order = Order().then(rank)
                if segment + 1 < len(self.segments):
                    self._enter(segment + 1, self.segments[segment + 1].start, bunch, order)
                else:
                    self._final.append(_Arrived(bunch, order))

        def lose(reason: str) -> None:
            self._active[segment] -= 1
            self._drop(bunches)
            self.records.append(Record(names, Status.LOST, self.steps[place].step_name, reason))

        largest = max((_largest(bunch) for bunch in bunches), default=0)
        self._push(
            RegroupWork(place, bunches),
            (place,),
            names,
            memory.of_batch_step(largest),
            segment,
            _Flying(absorb, lose),
        )

    # -- tasks --------------------------------------------------------------------------------

    def _push(
        self,
        work: Any,
        places: Sequence[int],
        names: tuple[str, ...],
        nbytes: int,
        segment: int,
        flying: _Flying,
        suffix: str = "",
        boost: int = 0,
    ) -> None:
        if self.stopped:
            flying.lose("the run was stopped")
            return
        solo = [place for place in places if is_solo(self.steps[place])]
        limited = next((p for p in solo if self.steps[p].concurrency_limit is not None), None)
        task = Task(
            label=self._label(places) + suffix,
            number=next(self._numbers),
            work=work,
            names=names,
            memory=nbytes,
            urgency=10 * segment + boost,
            limited_by=limited,
            repeatable=all(self.steps[place].repeatable for place in places),
        )
        self._flying[task.number] = flying
        heapq.heappush(self._queue, (-task.urgency, task.number, task))

    def _label(self, places: Sequence[int]) -> str:
        return "+".join(dict.fromkeys(self.steps[place].step_name for place in places)) or "read"

    def _land(self, task: Task) -> _Flying:
        if task.limited_by is not None:
            self._limited[task.limited_by] -= 1
            for entry in self._parked:
                heapq.heappush(self._queue, entry)
            self._parked.clear()
        self._chains.pop(task.number, None)
        return self._flying.pop(task.number)

    def _batch_task(self, segment: int, place: int, bunch: Bunch, order: Order) -> None:
        stop = self.segments[segment].stop
        step = self.steps[place]
        names = bunch.names

        def absorb(outcome: Outcome) -> None:
            self._active[segment] -= 1
            self._hold(outcome.batches)
            self._drop((bunch,))
            self._take_rows(outcome, order, 0)
            for rank, child in enumerate(outcome.batches):
                self._enter(segment, outcome.next_step, child, order.then(rank))

        def lose(reason: str) -> None:
            self._active[segment] -= 1
            self._drop((bunch,))
            self.records.append(Record(names, Status.LOST, step.step_name, reason))

        last = place + 1 if is_solo(step) else stop
        nbytes = memory.of_batch_step(_largest(bunch))
        if isinstance(step, ProcessorWithCache):
            nbytes += memory.BAND_BYTES
        # Once `next_step` is the place of a solo step or of more images than one task should
        # do alone, the batch comes back through `_enter`.
        work = BatchWork(place, last, bunch)
        self._push(work, (place,), names, nbytes, segment, _Flying(absorb, lose), boost=7)

    def _pool_of(self, leg: Leg) -> tuple[int, int, int, Any, Any, bool]:
        boost = 8 if leg.for_bands or leg.measures else 5
        urgency = 10 * leg.graph.segment + boost
        first = leg.links[0].step if leg.links else 0
        return (urgency, first, id(leg.graph), leg.links, leg.measures, leg.for_bands)

    def _chain_task(self, pool: tuple[int, int, int, Any, Any, bool]) -> Task:
        legs = self._pools[pool]
        graph, links = legs[0].graph, legs[0].links
        places = [link.step for link in links if not link.history_only]
        nbytes = _float_bytes(legs[0])
        n = self.packing.size(tuple(places), len(legs), nbytes)
        taken, rest = legs[:n], legs[n:]
        if rest:
            self._pools[pool] = rest
        else:
            del self._pools[pool]
        contexts = {
            link.context: graph.contexts[link.context].value for link in links if link.context
        }
        items = []
        for leg in taken:
            image = graph.values[leg.position]
            assert image is not None
            items.append(ChainItem(leg.position, image, leg.measures, leg.for_bands))
        like = Task(
            label=self._label(places or list(legs[0].measures)),
            number=-1,
            work=ChainWork(links, (), contexts),
            names=(),
            memory=memory.of_chain(nbytes, sum(size_of(value) for value in contexts.values())),
            urgency=pool[0],
        )
        by_position = {leg.position: leg for leg in taken}
        return self._chain(graph, by_position, like.work, tuple(items), like)

    def _chain(
        self,
        graph: BatchGraph,
        legs: dict[int, Leg],
        work: Any,
        items: tuple[ChainItem, ...],
        like: Task,
    ) -> Task:
        """Make the task of some images of a graph; memory and label are those of another."""
        task = replace(
            like,
            number=next(self._numbers),
            work=replace(work, items=items),
            names=tuple(dict.fromkeys(name for item in items for name in item.image.names)),
        )
        places = tuple(link.step for link in work.links if not link.history_only)
        self._chains[task.number] = graph, legs
        self._flying[task.number] = _Flying(
            lambda outcome: self._absorb_chain(graph, legs, places, outcome),
            lambda reason: self._lose_chain(graph, legs, task, reason),
        )
        return task

    def _absorb_chain(
        self,
        graph: BatchGraph,
        legs: dict[int, Leg],
        places: tuple[int, ...],
        outcome: Outcome,
    ) -> None:
        self.packing.learn(places, len(legs), outcome.seconds)
        for position, leg in legs.items():
            scales = {step: s for (p, step), s in outcome.scales.items() if p == position}
            image = outcome.images.get(position)
            graph.absorb_leg(leg, image, scales, outcome.failed_after.get(position, 0))
        self._take_rows(outcome, graph.order, min(legs))
        self._dirty[id(graph)] = graph

    def _lose_chain(self, graph: BatchGraph, legs: dict[int, Leg], task: Task, reason: str) -> None:
        self.records.append(Record(task.names, Status.LOST, task.label, reason))
        for leg in legs.values():
            graph.absorb_leg(leg, None, {})
        self._dirty[id(graph)] = graph

    # -- contexts -----------------------------------------------------------------------------

    def _context_tasks(self, graph: BatchGraph, state: ContextState) -> None:
        plan, step = state.plan, self.steps[state.plan.step]
        flying = _Flying(
            lambda outcome: self._absorb_context(graph, state, outcome),
            lambda reason: self._lose_context(graph, state, reason),
        )
        if plan.kind != "frames":
            batch = plan.ahead or Bunch(tuple(state.inputs[p] for p in sorted(state.inputs)))
            nbytes = memory.of_batch_step(_largest(batch)) + memory.BAND_BYTES
            work = PrepareWork(plan.step, batch)
            self._push(
                work, (plan.step,), batch.names, nbytes, graph.segment, flying, " context", 9
            )
            return
        assert isinstance(step, ProcessorWithCache) and plan.path is not None
        positions = state.usable()
        frames = tuple(state.inputs[position] for position in positions)
        names = tuple(dict.fromkeys(name for frame in frames for name in frame.names))
        try:
            path = self._master_path(step, state)
            scales = self._scales(step, state, positions)
            if len({frame.shape for frame in frames}) > 1:
                shapes = ", ".join(sorted({f"{f.name} {f.shape}" for f in frames}))
                raise ShapeMismatchError(f"frames of one master differ in shape: {shapes}")
        except CONTAINED as exc:
            self.records.append(step.failure(exc, ()))
            graph.fail_context(state, self.records[-1].reason)
            self._dirty[id(graph)] = graph
            return
        nbytes = memory.of_master(frames[0].shape)
        edges = self.packing.bands(frames[0].shape[0], sum(frame.nbytes for frame in frames))
        master = MasterWork(plan.step, frames, scales, (), path)
        if len(edges) < 3:
            self._push(master, (plan.step,), names, nbytes, graph.segment, flying, " master", 9)
            return
        state.n_bands = len(edges) - 1
        for number, (start, stop) in enumerate(pairwise(edges)):
            self._push(
                BandWork(plan.step, frames, scales, start, stop),
                (plan.step,),
                names,
                memory.BAND_BYTES,
                graph.segment,
                self._band_flying(graph, state, number, master, names, nbytes, flying),
                " band",
                9,
            )

    def _master_path(self, step: ProcessorWithCache, state: ContextState) -> Path:
        """Path of a master; one of which frames failed has another name."""
        assert state.plan.path is not None
        if len(state.inputs) == len(state.plan.frames):
            return state.plan.path
        frames = [state.inputs[position].open() for position in sorted(state.inputs)]
        return step.get_cache_path(ImageBatch(frames))

    def _scales(
        self,
        step: ProcessorWithCache,
        state: ContextState,
        positions: Sequence[int],
    ) -> tuple[float, ...]:
        if needs_measuring(self.steps, state.plan):
            return tuple(state.scales[position] for position in positions)
        return tuple(float(step.frame_scale(state.inputs[p].open())) for p in positions)

    def _band_flying(
        self,
        graph: BatchGraph,
        state: ContextState,
        number: int,
        master: MasterWork,
        names: tuple[str, ...],
        nbytes: int,
        flying: _Flying,
    ) -> _Flying:
        def absorb(outcome: Outcome) -> None:
            if state.done:  # another band failed meanwhile
                self.ledger.hold(files_of(outcome.context))
                self.ledger.drop(files_of(outcome.context))
                return
            if outcome.failed:
                self._absorb_context(graph, state, outcome)
                return
            state.bands[number] = outcome.context
            self.ledger.hold(files_of(outcome.context))
            if len(state.bands) == state.n_bands:
                bands = tuple(state.bands[n] for n in range(state.n_bands))
                work = MasterWork(master.step, master.frames, master.scales, bands, master.path)
                self._push(work, (master.step,), names, nbytes, graph.segment, flying, " master", 9)

        def lose(reason: str) -> None:
            if not state.done:
                self._lose_context(graph, state, reason)

        return _Flying(absorb, lose)

    def _absorb_context(self, graph: BatchGraph, state: ContextState, outcome: Outcome) -> None:
        if outcome.failed:
            reasons = [r.reason for r in outcome.records if r.status is Status.FAILED]
            graph.fail_context(state, reasons[0] if reasons else "it could not be made")
        else:
            graph.resolve(state, outcome.context)
        self._dirty[id(graph)] = graph

    def _lose_context(self, graph: BatchGraph, state: ContextState, reason: str) -> None:
        step = self.steps[state.plan.step].step_name
        self.records.append(Record((), Status.LOST, step, reason))
        graph.fail_context(state, f"its {step} master was lost: {reason}")
        self._dirty[id(graph)] = graph

    # -- files and rows -----------------------------------------------------------------------

    def _hold(self, bunches: Sequence[Bunch]) -> None:
        for bunch in bunches:
            for handle in bunch.members:
                self.ledger.hold(handle.files)

    def _drop(self, bunches: Sequence[Bunch]) -> None:
        for bunch in bunches:
            for handle in bunch.members:
                self.ledger.drop(handle.files)

    def _take_rows(self, outcome: Outcome, order: Order, place: int) -> None:
        for step, rows in outcome.rows:
            self._rows.append((step, order, place, rows))

    def garbage(self) -> list[Path]:
        """Cache files that nobody needs any more; each is returned once."""
        return self.ledger.garbage()


def _largest(bunch: Bunch) -> int:
    return max((int(getattr(handle, "nbytes", 0)) for handle in bunch.members), default=0)


def _float_bytes(leg: Leg) -> int:
    image = leg.graph.values[leg.position]
    return 0 if image is None else max(int(image.nbytes), 4 * math.prod(image.shape))
