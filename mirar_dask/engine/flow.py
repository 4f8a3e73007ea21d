"""The whole run as bookkeeping: which task can be done next, and what follows from an outcome.

`Flow` knows no clock, no processes and no Dask. A driver asks `next_task` whenever there is room
and hands every outcome to `absorb`; batches go through segments (the steps between two regroups
that see other batches), independently of one another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mirar_dask.engine import batch_names, memory
from mirar_dask.engine.batch_graph import BatchGraph
from mirar_dask.engine.board import Landing, TaskBoard, Urgency
from mirar_dask.engine.book import RunBook
from mirar_dask.engine.chain_tasks import ChainTasks
from mirar_dask.engine.context_tasks import ContextTasks
from mirar_dask.engine.expand import expand
from mirar_dask.engine.expansion import Expansion, Foreseen
from mirar_dask.engine.gates import Arrived, Gates, in_order
from mirar_dask.engine.inquest import begin_inquest
from mirar_dask.engine.legs import Leg
from mirar_dask.engine.memo import Memo
from mirar_dask.engine.order import Order
from mirar_dask.engine.packing import Packing
from mirar_dask.engine.questions import is_solo, needs_whole_batch
from mirar_dask.engine.recollection import Recollection
from mirar_dask.engine.segments import cut, regroup_behind
from mirar_dask.engine.traffic import Traffic
from mirar_dask.engine.types import BatchWork, Bunch, ChainWork, Outcome, Rows, Task
from mirar_dask.processors.base.outcome import Record, Row, Status
from mirar_dask.processors.base_processor import BaseProcessor


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
    packing : Packing, optional
        Chooses the sizes of tasks.
    foreseen : Foreseen, optional
        What a plan of the same steps and batches has found out already.
    memo : Memo, optional
        What earlier runs of the night have done, which is not done again.
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
        foreseen: Foreseen | None = None,
        memo: Memo | None = None,
    ) -> None:
        self.steps = steps
        self._recall = None if memo is None else Recollection(memo, steps)
        self._may_recall = memo is not None and not memo.empty
        self.worked: set[str] = set()
        """Raw frames for which a task was done, making masters of them left aside."""
        self.segments = cut(steps, start)
        self.packing = packing or Packing(slots)
        foreseen = foreseen or Foreseen()
        self.claims = foreseen.claims.copy()
        self.late: list[str] = []
        """Why looking ahead ended somewhere."""
        self.expansions = 0
        self._book = RunBook()
        self._board = TaskBoard(steps)
        self._chains = ChainTasks(self._board, self._book, self.packing, self._touch, self._recall)
        self._contexts = ContextTasks(
            steps, self._board, self._book, self.packing, self._touch, memo
        )
        self._traffic = Traffic()
        self._gates = Gates(
            steps, self.segments, self._traffic, self._board, self._book, self._go_on,
            group_by_group=group_by_group,
        )  # fmt: skip
        self._touched: dict[int, BatchGraph] = {}
        """Graphs of which something has become known."""
        self._final: list[Arrived] = []
        self._book.hold(batches)
        for place, bunch in enumerate(batches):
            order, expansion = Order().then(place), foreseen.expansions.get(place)
            name = batch_names.of_entry(place, len(batches))
            self._enter(0, self.segments[0].start, bunch, order, name, expansion)
        self._settle()

    # -- for the driver -----------------------------------------------------------------------

    @property
    def records(self) -> list[Record]:
        """Everything that happened, in the order in which it became known."""
        return self._book.records

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do or to wait for."""
        return self._board.idle and self._chains.idle

    @property
    def stopped(self) -> bool:
        """Whether nothing new is begun."""
        return self._board.stopped

    @property
    def cut_short(self) -> bool:
        """Whether a stop kept a batch from coming to its end."""
        return self.stopped and not (self._traffic.over and self._gates.empty)

    def stop(self) -> None:
        """Begin nothing new; what is under way still comes in."""
        self._board.stop()
        self._chains.stop()

    @property
    def may_queue(self) -> bool:
        """Whether the next task may be handed to a worker that has another one to do first.

        Among many workers tasks are so long that one should not wait behind a stack, say, if
        others wait for it; with few workers each has its share of everything.
        """
        if not self.packing.crowded:
            return True
        return self._chains_first() and not self._chains.awaited

    def _chains_first(self) -> bool:
        """Whether the next task is one of images, none that waits on the board."""
        waiting, chain = self._board.urgency, self._chains.urgency
        return chain is not None and (waiting is None or chain >= waiting)

    def next_task(self) -> Task | None:
        """Return a task that can be done now, the most urgent first; None if there is none."""
        if self._chains_first():
            return self._chains.next_task()
        return self._board.next_task() or self._chains.next_task()

    def absorb(self, task: Task, outcome: Outcome) -> None:
        """Take in what became of a task."""
        self._book.records.extend(outcome.records)
        self._book.ledger.made(outcome.files)
        if isinstance(task.work, ChainWork | BatchWork):
            self.worked.update(task.names)
        self._board.land(task).absorb(outcome)
        self._settle()

    def lose(self, task: Task, reason: str) -> None:
        """Give up a task that could not be brought to an end."""
        self._board.land(task).lose(reason)
        self._settle()

    def take_back(self, number: int, positions: Sequence[int]) -> None:
        """Let images wait again that a task under way has not begun and gave back."""
        self._chains.take_back(number, positions)

    def divide(self, task: Task) -> list[Task]:
        """Divide a task that was lost into tasks of one image each, to find the one at fault."""
        return self._chains.divide(task)

    def inquire(self, task: Task, reason: str) -> list[Task]:
        """Have the images of a task that was lost tried one by one; none if that is of no use."""
        return begin_inquest(self._board, task, reason)

    def results(self) -> list[Bunch]:
        """Return the batches that came to the end, in order."""
        return [arrived.bunch for arrived in in_order(self._final)]

    def tables(self) -> dict[int, list[Row]]:
        """Rows of the night's tables by step, in the order of their batches."""
        return self._book.tables()

    def garbage(self) -> list[Path]:
        """Cache files that nobody needs any more; each is returned once."""
        return self._book.ledger.garbage()

    # -- where batches go ---------------------------------------------------------------------

    def _enter(
        self,
        segment: int,
        place: int,
        bunch: Bunch,
        order: Order,
        name: str,
        expansion: Expansion | None = None,
    ) -> None:
        """Let a batch, whose files are held, see a step."""
        stop = self.segments[segment].stop
        if place >= stop:
            self._arrive(segment, bunch, order, name)
            return
        self._traffic.enter(segment)
        if self.stopped:
            return
        if bunch.is_sources or not bunch.members or needs_whole_batch(self.steps[place]):
            self._batch_task(segment, place, bunch, order, name)
            return
        if expansion is None or not expansion.holds():
            self.expansions += 1
            prefix = f"{segment}.{self.expansions}"
            expansion = expand(self.steps, place, stop, bunch, prefix, self.claims, name=name)
        if expansion.late is not None:
            self.late.append(expansion.late)
        graph = BatchGraph(self.steps, bunch, order, expansion, segment, self._book.ledger)
        self._book.drop((bunch,))  # the graph holds it now
        self._traffic.follow(graph)
        self._touch(graph)

    def _arrive(self, segment: int, bunch: Bunch, order: Order, name: str) -> None:
        """Let a batch wait at the end of a segment, or go on if nothing is done there."""
        if regroup_behind(self.steps, self.segments[segment]) is not None:
            self._gates.arrive(segment, bunch, order)
        else:
            self._go_on(segment, bunch, order, name)

    def _go_on(self, segment: int, bunch: Bunch, order: Order, name: str) -> None:
        """Let a batch into the segment behind this one, or among the results."""
        following = segment + 1
        if following < len(self.segments):
            self._enter(following, self.segments[following].start, bunch, order, name)
        else:
            self._final.append(Arrived(bunch, order))

    def _touch(self, graph: BatchGraph) -> None:
        self._touched[id(graph)] = graph

    def _settle(self) -> None:
        """Draw every conclusion from what is known now."""
        while True:
            while self._touched:
                _, graph = self._touched.popitem()
                self._serve(graph)
            if not self._gates.open_any():
                break

    def _serve(self, graph: BatchGraph) -> None:
        while True:
            contexts, legs = graph.ready_contexts(), graph.ready_legs()
            if not contexts and not legs:
                break
            if self.stopped:
                continue
            for state in contexts:
                if not self._may_recall or not graph.put_off(state):
                    self._contexts.add(graph, state)
            for leg in legs:
                if self._recall_leg(graph, leg):
                    continue
                wanted = graph.wait_for_put_off(leg)
                if wanted is None:
                    self._chains.add(leg)
                for state in wanted or ():
                    self._contexts.add(graph, state)
        self._book.records.extend(graph.records)
        graph.records.clear()
        for bunch, leaf, order in graph.ready_leaves():
            self._enter(graph.segment, leaf.next_step, bunch, order, leaf.batch)
        self._traffic.leave_if_complete(graph)

    def _recall_leg(self, graph: BatchGraph, leg: Leg) -> bool:
        """Take in how far an image has come on a leg before; False if nobody knows."""
        image = graph.values[leg.position]
        if not self._may_recall or leg.measures or leg.for_bands or image is None:
            return False
        assert self._recall is not None
        contexts = [graph.contexts[name] for link in leg.links if (name := link.context)]
        known = self._recall.leg(image, leg.links, contexts, leg.position)
        if known is None:
            return False
        self._book.records.extend(known.records)
        self._book.take_rows(known.rows, graph.order)
        graph.absorb_leg(replace(leg, links=leg.links[: known.passed]), known.image, {})
        return True

    def _batch_task(self, segment: int, place: int, bunch: Bunch, order: Order, name: str) -> None:
        step = self.steps[place]
        names = bunch.names

        def go_on(batches: Sequence[Bunch], next_step: int, rows: Rows) -> None:
            self._traffic.leave(segment)
            self._book.hold(batches)
            self._book.drop((bunch,))
            self._book.take_rows(rows, order)
            for rank, child in enumerate(batches):
                part = batch_names.of_part(name, rank, len(batches))
                self._enter(segment, next_step, child, order.then(rank), part)

        def absorb(outcome: Outcome) -> None:
            if self._recall is not None:
                self._recall.keep_batch(work, outcome)
            go_on(outcome.batches, outcome.next_step, outcome.rows)

        def lose(reason: str) -> None:
            self._traffic.leave(segment)
            self._book.drop((bunch,))
            self._book.records.append(Record(names, Status.LOST, step.step_name, reason))

        def without(left_out: Mapping[int, str]) -> None:
            for number, reason in left_out.items():
                lost = tuple(bunch.members[number].names)
                self._book.records.append(Record(lost, Status.LOST, step.step_name, reason))
            kept = tuple(m for n, m in enumerate(bunch.members) if n not in left_out)
            rest = replace(bunch, members=kept)
            self._traffic.leave(segment)
            self._book.hold((rest,))
            self._book.drop((bunch,))
            self._book.records.append(_made_without(step, rest, len(bunch.members)))
            self._enter(segment, place, rest, order, name)

        # Once `next_step` is the place of a solo step or of more images than one task should
        # do alone, the batch comes back through `_enter`.
        last = place + 1 if is_solo(step) else self.segments[segment].stop
        work = BatchWork(place, last, bunch, checkpoints=self._recall is not None)
        known = self._recall.batch(bunch, place, last) if self._recall else None
        if known is not None:
            self._book.records.extend(known.records)
            go_on(known.batches, place + known.passed, known.rows)
            return
        nbytes = max(memory.of_batch(step, bunch) for step in self.steps[place:last])
        urgency = Urgency.BATCH.within(segment)
        landing = Landing(absorb, lose, without)
        self._board.post(
            work, (place,), names, nbytes, urgency, landing, batch=batch_names.shown(name)
        )


def _made_without(step: BaseProcessor, rest: Bunch, n_before: int) -> Record:
    """Say that a batch went on without some of its images."""
    why = f"done with {len(rest.members)} of {n_before} images: the others are quarantined"
    return Record(rest.names, Status.CAVEATS, step.step_name, why)
