"""ContextTasks: what the steps of several images are given becomes tasks.

A master is combined of its frames, in bands of rows where that pays; any other context is what
`prepare` makes of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from mirar_dask.data import ImageBatch
from mirar_dask.data.late import is_listed
from mirar_dask.engine import memory
from mirar_dask.engine.batch_graph import BatchGraph
from mirar_dask.engine.batch_names import shown
from mirar_dask.engine.board import Landing, TaskBoard, Urgency
from mirar_dask.engine.book import RunBook
from mirar_dask.engine.legs import ContextState
from mirar_dask.engine.memo import Memo
from mirar_dask.engine.packing import Packing
from mirar_dask.engine.questions import measures_frames
from mirar_dask.engine.travel import files_of
from mirar_dask.engine.types import BandWork, Bunch, MasterWork, Outcome, PrepareWork, Work
from mirar_dask.errors import ShapeMismatchError
from mirar_dask.processors.base.core import CONTAINED
from mirar_dask.processors.base.outcome import Record, Status
from mirar_dask.processors.base_processor import BaseProcessor, ProcessorWithCache


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A context that is being made."""

    graph: BatchGraph
    state: ContextState

    @property
    def step(self) -> int:
        return self.state.plan.step


class ContextTasks:
    """Makes tasks of the contexts of graphs and tells the graphs what came back.

    Parameters
    ----------
    steps : sequence of BaseProcessor
        All steps of the run.
    board : TaskBoard
        Where the tasks wait.
    book : RunBook
        Keeps records and the files of bands.
    packing : Packing
        Chooses the bands.
    touch : callable
        Told of each graph that should be looked at again.
    memo : Memo, optional
        Keeps what masters are like for a later run.
    """

    def __init__(
        self,
        steps: Sequence[BaseProcessor],
        board: TaskBoard,
        book: RunBook,
        packing: Packing,
        touch: Callable[[BatchGraph], None],
        memo: Memo | None = None,
    ) -> None:
        self.memo = memo
        self.steps, self.board, self.book = steps, board, book
        self.packing, self.touch = packing, touch

    def add(self, graph: BatchGraph, state: ContextState) -> None:
        """Have a context made whose inputs are there."""
        wanted = _Wanted(graph, state)
        if state.plan.kind == "frames":
            self._combine(wanted)
        else:
            self._prepare(wanted)

    def _prepare(self, wanted: _Wanted) -> None:
        inputs = wanted.state.inputs
        batch = wanted.state.plan.ahead or Bunch(tuple(inputs[p] for p in sorted(inputs)))
        nbytes = memory.of_batch(self.steps[wanted.step], batch)
        work = PrepareWork(wanted.step, batch)
        self._post(wanted, work, batch.names, nbytes, " context", self._landing(wanted))

    # -- masters ------------------------------------------------------------------------------

    def _combine(self, wanted: _Wanted) -> None:
        state = wanted.state
        frames = tuple(state.inputs[position] for position in state.usable())
        step = self.steps[wanted.step]
        assert isinstance(step, ProcessorWithCache)
        try:
            path = _master_path(step, state)
            scales = _scales(step, state)
            if len({frame.shape for frame in frames}) > 1:
                shapes = ", ".join(sorted({f"{f.name} {f.shape}" for f in frames}))
                raise ShapeMismatchError(f"frames of one master differ in shape: {shapes}")
        except CONTAINED as exc:
            failure = step.failure(exc, ())
            self.book.records.append(failure)
            wanted.graph.fail_context(state, failure.reason)
            self.touch(wanted.graph)
            return
        if step.try_load_cache and is_listed(path):  # frames failed; without them it was made
            self._prepare(wanted)
            return
        master = MasterWork(wanted.step, frames, scales, (), path, state.name)
        rows = frames[0].shape[0]
        nbytes = sum(frame.nbytes for frame in frames)
        edges = self.packing.bands(rows, nbytes, self.board.load)
        if len(edges) < 3:
            self._finish(wanted, master)
            return
        state.n_bands = len(edges) - 1
        names = _names(master)
        for number, (start, stop) in enumerate(pairwise(edges)):
            band = BandWork(wanted.step, frames, scales, start, stop)
            landing = self._band_landing(wanted, number, master)
            nbytes = memory.of_band(frames, (start, stop))
            self._post(wanted, band, names, nbytes, " band", landing)

    def _finish(self, wanted: _Wanted, master: MasterWork) -> None:
        """Have a master made of its bands, or of its frames where there are none."""
        nbytes = memory.of_master(self.steps[wanted.step], master.frames, bool(master.bands))
        landing = self._landing(wanted)
        self._post(wanted, master, _names(master), nbytes, " master", landing)

    # -- tasks --------------------------------------------------------------------------------

    def _post(
        self,
        wanted: _Wanted,
        work: Work,
        names: tuple[str, ...],
        nbytes: int,
        suffix: str,
        landing: Landing,
    ) -> None:
        urgency = Urgency.CONTEXT.within(wanted.graph.segment)
        batch = shown(wanted.state.plan.batch)
        self.board.post(work, (wanted.step,), names, nbytes, urgency, landing, suffix, batch)

    def _landing(self, wanted: _Wanted) -> Landing:
        return Landing(
            lambda outcome: self._absorb(wanted, outcome),
            lambda reason: self._lose(wanted, reason),
            self._without(wanted),
        )

    def _without(self, wanted: _Wanted) -> Callable[[Mapping[int, str]], None] | None:
        """Return what has a context made without some of the images that it is made of now."""
        graph, state = wanted.graph, wanted.state
        if state.plan.ahead is not None:
            return None
        tries = state.tries
        members = state.usable() if state.plan.kind == "frames" else sorted(state.inputs)

        def without(left_out: Mapping[int, str]) -> None:
            if state.done or state.tries != tries:
                return  # another band of it came to the same end before
            graph.leave_out(state, {members[n]: reason for n, reason in left_out.items()})
            self.touch(graph)

        return without

    def _band_landing(self, wanted: _Wanted, number: int, master: MasterWork) -> Landing:
        state = wanted.state
        tries = state.tries

        def absorb(outcome: Outcome) -> None:
            if state.done or state.tries != tries:  # another band failed meanwhile
                self.book.ledger.hold(files_of(outcome.context))
                self.book.ledger.drop(files_of(outcome.context))
                return
            if outcome.failed:
                self._absorb(wanted, outcome)
                return
            state.bands[number] = outcome.context
            self.book.ledger.hold(files_of(outcome.context))
            if len(state.bands) == state.n_bands:
                bands = tuple(state.bands[n] for n in range(state.n_bands))
                self._finish(wanted, replace(master, bands=bands))

        def lose(reason: str) -> None:
            if not state.done and state.tries == tries:
                self._lose(wanted, reason)

        return Landing(absorb, lose, self._without(wanted))

    def _absorb(self, wanted: _Wanted, outcome: Outcome) -> None:
        graph, state = wanted.graph, wanted.state
        if outcome.failed:
            reasons = [r.reason for r in outcome.records if r.status is Status.FAILED]
            graph.fail_context(state, reasons[0] if reasons else "it could not be made")
        else:
            graph.resolve(state, outcome.context)
            if self.memo is not None:
                self.memo.remember_masters(outcome.written)
        self.touch(graph)

    def _lose(self, wanted: _Wanted, reason: str) -> None:
        step = self.steps[wanted.step].step_name
        self.book.records.append(Record((), Status.LOST, step, reason))
        wanted.graph.fail_context(wanted.state, f"its {step} master was lost: {reason}")
        self.touch(wanted.graph)


def _names(master: MasterWork) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for frame in master.frames for name in frame.names))


def _master_path(step: ProcessorWithCache, state: ContextState) -> Path:
    """Path of a master, told from its frames as they came: some may have failed."""
    frames = [state.inputs[position].open() for position in sorted(state.inputs)]
    return step.get_cache_path(ImageBatch(frames))


def _scales(step: ProcessorWithCache, state: ContextState) -> tuple[float, ...]:
    """Scales of the usable frames: measured when they passed, or told by their headers."""
    if measures_frames(step):
        return tuple(state.scales[position] for position in state.usable())
    return tuple(float(step.frame_scale(state.inputs[p].open())) for p in state.usable())
