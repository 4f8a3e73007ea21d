"""One batch in one segment: which of its images and contexts can be worked on now.

Pure bookkeeping, no clock, no processes: `ready` says what can be done, `absorb` is told what
came back. `Flow` asks it and makes tasks of its answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

from mirar_dask.data.image_data import ImageHandle
from mirar_dask.engine.expansion import Context, Expansion, Leaf, Split
from mirar_dask.engine.legs import ContextState, Leg
from mirar_dask.engine.lookahead import add_history
from mirar_dask.engine.order import Order, Rank
from mirar_dask.engine.questions import measures_frames
from mirar_dask.engine.release import FileLedger
from mirar_dask.engine.travel import files_of
from mirar_dask.engine.types import Bunch, Link
from mirar_dask.processors.base.core import CONTAINED
from mirar_dask.processors.base.outcome import Record, Status
from mirar_dask.processors.base_processor import (
    BaseImageProcessor,
    BaseProcessor,
    ProcessorWithCache,
)


class BatchGraph:
    """The state of one batch in one segment.

    Parameters
    ----------
    steps : sequence of BaseProcessor
        All steps of the run.
    batch : Bunch
        The images as they entered.
    order : Order
        Place of the batch.
    expansion : Expansion
        What is to be done.
    segment : int
        Number of the segment.
    ledger : FileLedger
        Told which files are needed.
    """

    def __init__(
        self,
        steps: Sequence[BaseProcessor],
        batch: Bunch,
        order: Order,
        expansion: Expansion,
        segment: int,
        ledger: FileLedger,
    ) -> None:
        self.steps, self.batch, self.order, self.segment = steps, batch, order, segment
        self.expansion, self.ledger = expansion, ledger
        self.chains = [copy(chain) for chain in expansion.chains]  # they change as things go
        self.values: list[ImageHandle | None] = list(batch.members)  # type: ignore[arg-type]
        for handle in batch.members:
            ledger.hold(handle.files)
        self.done_links = [0] * len(self.chains)
        self._ends = [len(chain.links) for chain in self.chains]
        """Numbers of links after which nothing that is done leaves a trace."""
        self.tapped: list[set[int]] = [set() for _ in self.chains]
        """Numbers of links at which an image was handed to the contexts that want it."""
        self.failed_after: dict[int, int] = {}
        """Position -> number of links passed when the image failed or was set aside."""
        self.finished: set[int] = set()
        self.under_way: set[int] = set()
        self.records: list[Record] = []
        self._to_look_at = dict.fromkeys(range(len(self.chains)))
        """Positions whose next leg may have become ready; the others need not be asked."""
        self._waiting: set[int] = set()
        """Positions that wait for a context."""
        self._leaf_of = {p: n for n, leaf in enumerate(expansion.leaves) for p in leaf.positions}
        keys = [(p, key) for leaf in expansion.leaves for p, key in leaf.keyed()]
        sizes = Counter(key for _, key in keys)
        self._companions = {p: sizes[key] for p, key in keys}
        """Numbers of images that they will be merged with behind the segment, where known."""
        self._still_out = [len(leaf.positions) for leaf in expansion.leaves]
        self._full_leaves: list[int] = []
        self.contexts = {name: self._state(name, plan) for name, plan in expansion.contexts.items()}
        for position, chain in enumerate(self.chains):
            for done, handle in chain.ahead.items():
                self._hand_over(position, done, handle)
            if chain.exit is not None or chain.blocked_by is not None:
                self._cut_useless(position)
            self._finish_if_done(position)

    # -- what can be done ---------------------------------------------------------------------

    def ready_legs(self) -> list[Leg]:
        """Legs whose contexts are there; each is returned once."""
        legs = []
        while self._to_look_at:
            looked_at, self._to_look_at = self._to_look_at, {}
            for position in looked_at:
                if position in self.finished or position in self.under_way:
                    continue
                leg = self._ready_leg(position)
                if leg is not None and not self._do_here(leg):
                    legs.append(leg)
        # What is done to large groups takes longest: it should not be begun last.
        return sorted(legs, key=lambda leg: -self._companions.get(leg.position, 0))

    def _ready_leg(self, position: int) -> Leg | None:
        """Return the next leg of an image, if it can be begun."""
        stop, links, wanted = self._next_leg(position)
        lacking = next((state for state in wanted if state.failed), None)
        if lacking is not None:
            self._block(position, lacking)
            if position in self.finished:
                return None
            stop, links, wanted = self._next_leg(position)
        if not all(state.done for state in wanted):
            self._waiting.add(position)
            return None
        self.under_way.add(position)
        return Leg(self, position, links, *self._wants(position, stop))

    def _do_here(self, leg: Leg) -> bool:
        """Do a leg that only adds to the history of its image, which is not worth a task."""
        if leg.measures or leg.for_bands or not all(link.history_only for link in leg.links):
            return False
        image = self.values[leg.position]
        assert image is not None
        try:
            image = add_history(image, [(self.steps[link.step], "") for link in leg.links])
        except CONTAINED:
            return False  # a worker says what is wrong with it
        self.absorb_leg(leg, image, {})
        return True

    def _next_leg(self, position: int) -> tuple[int, tuple[Link, ...], list[ContextState]]:
        stop = self._next_stop(position)
        links = tuple(self.chains[position].links[self.done_links[position] : stop])
        return stop, links, [self.contexts[link.context] for link in links if link.context]

    def _look_again(self) -> None:
        """Ask those that wait for a context again."""
        self._to_look_at.update(dict.fromkeys(sorted(self._waiting)))
        self._waiting.clear()

    def ready_contexts(self) -> list[ContextState]:
        """Contexts whose inputs are there; each is returned once."""
        found = []
        for state in self.contexts.values():
            if state.done or state.asked or state.waits_for:
                continue
            state.asked = True
            if not self._too_few(state):
                found.append(state)
        return found

    def ready_leaves(self) -> list[tuple[Bunch, Leaf, Order]]:
        """Batches whose images have all arrived; each is returned once."""
        found = []
        for number in self._full_leaves:
            leaf = self.expansion.leaves[number]
            members = tuple(v for p in leaf.positions if (v := self.values[p]) is not None)
            if members:
                found.append((Bunch(members), leaf, self.leaf_order(leaf)))
        self._full_leaves = []
        return found

    def is_awaited(self, position: int) -> bool:
        """Whether other steps wait for the batch, or group, that an image will be in."""
        number = self._leaf_of.get(position)
        if number is None:
            return False
        return self.expansion.leaves[number].next_step < len(self.steps)

    def pending_keys(self) -> set[Any] | None:
        """Keys, at the regroup behind, of images still on their way; None if not all are known."""
        keys: set[Any] = set()
        for number, leaf in enumerate(self.expansion.leaves):
            if self._still_out[number]:
                if leaf.group_keys is None:
                    return None
                keys.update(leaf.group_keys)
        return keys

    @property
    def complete(self) -> bool:
        """Whether every image has come to the end of its chain."""
        return len(self.finished) == len(self.chains)

    # -- what came back -----------------------------------------------------------------------

    def absorb_leg(
        self,
        leg: Leg,
        image: ImageHandle | None,
        scales: dict[int, float],
        passed: int = 0,
    ) -> None:
        """Take in what became of a leg.

        Parameters
        ----------
        leg : Leg
            The leg.
        image : ImageHandle or None
            The image at its end; None if it failed.
        scales : dict
            What was measured, by step.
        passed : int
            Number of links of the leg that it passed before it failed.
        """
        position = leg.position
        self.under_way.discard(position)
        start = self.done_links[position]
        if image is None:
            self.failed_after[position] = start + passed
            self._finish(position)
            return
        self._replace(position, image)
        done = self.done_links[position] = start + len(leg.links)
        if done in self.chains[position].taps and done not in self.tapped[position]:
            self._hand_over(position, done, image, scales)
        self._to_look_at[position] = None
        self._finish_if_done(position)

    def resolve(self, state: ContextState, value: Any) -> None:
        """Note that a context is there."""
        state.done, state.value = True, value
        step = self.steps[state.plan.step]
        assert isinstance(step, BaseImageProcessor)
        state.key = state.key_of(step, value)
        self.ledger.hold(files_of(value))
        self._release_inputs(state)
        self._release_if_unused(state)
        self._look_again()

    def put_off(self, state: ContextState) -> bool:
        """Act as if a context were there whose key its inputs tell; False if it must be made."""
        step = self.steps[state.plan.step]
        if state.plan.kind != "prepare" or isinstance(step, ProcessorWithCache):
            return False
        assert isinstance(step, BaseImageProcessor)
        state.key = state.key_of(step, None)
        state.done = state.put_off = True
        self._look_again()
        return True

    def wait_for_put_off(self, leg: Leg) -> list[ContextState] | None:
        """Let a leg wait for the contexts that were put off; None if it needs none of them.

        Returns
        -------
        list of ContextState or None
            Those that nobody has asked for before.
        """
        states = [self.contexts[link.context] for link in leg.links if link.context]
        if all(state.done and not state.put_off for state in states):
            return None
        wanted = [state for state in states if state.put_off]
        for state in wanted:
            state.done = state.put_off = False
        self.under_way.discard(leg.position)
        self._waiting.add(leg.position)
        return wanted

    def fail_context(self, state: ContextState, reason: str) -> None:
        """Note that a context will never be there; the images that need it are blocked."""
        state.done, state.failed, state.reason = True, True, reason
        self._release_inputs(state)
        self._look_again()

    def leave_out(self, state: ContextState, left_out: Mapping[int, str]) -> None:
        """Have a context made anew without some images, which end here: why, by their positions."""
        step = self.steps[state.plan.step].step_name
        for position, reason in left_out.items():
            names = tuple(self.batch.members[position].names)
            self.records.append(Record(names, Status.LOST, step, reason))
            self.ledger.drop(state.inputs.pop(position).files)
            if position not in self.finished:
                self._waiting.discard(position)
                self.failed_after[position] = self.done_links[position]
                self._finish(position)
        for band in state.bands.values():
            self.ledger.drop(files_of(band))
        state.bands.clear()
        state.tries += 1
        state.n_bands, state.asked = 0, False

    def leaf_order(self, leaf: Leaf) -> Order:
        """Place of a batch that leaves."""
        return self.order.then(*[self._rank_of(split) for split in leaf.splits])

    # -- bookkeeping --------------------------------------------------------------------------

    def _state(self, name: str, plan: Context) -> ContextState:
        state = ContextState(name, plan, set(plan.frames), users_left=set(plan.users))
        if plan.kind == "none":
            state.done = True
        elif plan.kind == "failed":
            state.done = state.failed = True
            state.reason = plan.records[0].reason
            self.records.append(plan.records[0])
        return state

    def _hand_over(
        self,
        position: int,
        done: int,
        image: ImageHandle,
        scales: dict[int, float] | None = None,
    ) -> None:
        """Give an image to the contexts that want it as it is after so many links."""
        self.tapped[position].add(done)
        for name in self.chains[position].taps[done]:
            state = self.contexts[name]
            if position not in state.waits_for:
                continue
            state.waits_for.discard(position)
            state.inputs[position] = image
            self.ledger.hold(image.files)
            if scales and state.plan.step in scales:
                state.scales[position] = scales[state.plan.step]

    def _open_taps(self, position: int) -> list[int]:
        tapped = self.tapped[position]
        return [n for n in self.chains[position].taps if n not in tapped]

    def _next_stop(self, position: int) -> int:
        return min([*self._open_taps(position), self._ends[position]])

    def _wants(self, position: int, stop: int) -> tuple[tuple[int, ...], bool]:
        """Return the steps that measure an image at a stop, and whether bands are read of it."""
        if stop in self.tapped[position]:
            return (), False
        plans = [self.contexts[name].plan for name in self.chains[position].taps.get(stop, ())]
        combined = [plan for plan in plans if plan.kind == "frames"]
        measured = tuple(p.step for p in combined if measures_frames(self.steps[p.step]))
        return measured, bool(combined)

    def _too_few(self, state: ContextState) -> bool:
        """Fail a master of which too few frames are left."""
        step = self.steps[state.plan.step]
        if state.plan.kind != "frames" or not isinstance(step, ProcessorWithCache):
            return False
        least = max(1, step.min_inputs)
        found, wanted = len(state.usable()), len(state.plan.frames)
        if found < least:
            if step.missing == "skip":
                self.resolve(state, None)
                return True
            exc = step.missing_error(
                f"of {wanted} {step.base_key} frames {found} are left, need {least}"
            )
            self.records.append(step.failure(exc, ()))
            self.fail_context(state, self.records[-1].reason)
            return True
        if len(state.inputs) < wanted:
            names = tuple(n for image in state.inputs.values() for n in image.names)
            others = "failed before" if not state.tries else "failed, or are quarantined"
            why = f"master made of {found} of {wanted} frames: the others {others}"
            self.records.append(Record(names, Status.CAVEATS, step.step_name, why))
        return False

    def _block(self, position: int, state: ContextState) -> None:
        """End the chain of an image before the step whose context is missing."""
        chain = self.chains[position]
        chain.exit, chain.blocked_by = None, state.plan.name
        chain.links = [link for link in chain.links if link.step < state.plan.step]
        chain.taps = {n: names for n, names in chain.taps.items() if n <= len(chain.links)}
        self._cut_useless(position)
        self._finish_if_done(position)

    def _cut_useless(self, position: int) -> None:
        """Leave out the steps, of an image that ends early, that leave no trace."""
        needed = max([*self._open_taps(position), self.done_links[position]])
        self._ends[position] = self.chains[position].end(self.steps, needed)

    def _finish_if_done(self, position: int) -> None:
        if self.done_links[position] >= self._ends[position] and not self._open_taps(position):
            self._finish(position)

    def _finish(self, position: int) -> None:
        """Note that the chain of an image has ended, and how."""
        self.finished.add(position)
        number = self._leaf_of.get(position)
        if number is not None:
            self._still_out[number] -= 1
            if not self._still_out[number]:
                self._full_leaves.append(number)
        chain = self.chains[position]
        failed = position in self.failed_after
        if not failed and chain.blocked_by is not None:
            state = self.contexts[chain.blocked_by]
            step = self.steps[state.plan.step].step_name
            names = self.batch.members[position].names
            self.records.append(Record(tuple(names), Status.BLOCKED, step, state.reason))
        elif not failed and chain.exit is not None:
            self.records.append(chain.exit)
        for state in self.contexts.values():
            state.waits_for.discard(position)
            state.users_left.discard(position)
            self._release_if_unused(state)
        if failed or chain.blocked_by is not None or chain.exit is not None:
            self.failed_after.setdefault(position, len(chain.links))
            self._replace(position, None)

    def _replace(self, position: int, image: ImageHandle | None) -> None:
        before = self.values[position]
        if image is not None:
            self.ledger.hold(image.files)
        if before is not None:
            self.ledger.drop(before.files)
        self.values[position] = image

    def _release_inputs(self, state: ContextState) -> None:
        for image in state.inputs.values():
            self.ledger.drop(image.files)
        for band in state.bands.values():
            self.ledger.drop(files_of(band))
        state.inputs.clear()
        state.bands.clear()
        state.waits_for.clear()

    def _release_if_unused(self, state: ContextState) -> None:
        if state.done and not state.users_left and state.value is not None:
            self.ledger.drop(files_of(state.value))
            state.value = None
        if state.put_off and not state.users_left:
            self._release_inputs(state)

    def _rank_of(self, split: Split) -> Rank:
        def rank() -> int | None:
            for position in split.positions:
                if self.failed_after.get(position, split.links_done) >= split.links_done:
                    passed = (
                        position in self.finished or self.done_links[position] >= split.links_done
                    )
                    return position if passed else None
            return split.positions[0]

        return rank
