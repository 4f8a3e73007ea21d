"""Recollection: finds work of a run that an earlier one has done, and keeps what this one does.

The key of a state is a chain of hashes: what an image was (its PRODKEY and name), then the
fingerprint of each step and the key of the context that it was given. So a stretch of a chain is
found however a run had cut it into tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, takewhile
from typing import Any

from mirar_dask.data import ImageHandle
from mirar_dask.data.pixels import FitsFilePixels, FitsPixels, KeptPixels
from mirar_dask.engine.legs import ContextState
from mirar_dask.engine.memo import Memo
from mirar_dask.engine.pending import PendingContext, PendingPixels, pending_batches
from mirar_dask.engine.remembered import KEPT, Node
from mirar_dask.engine.types import (
    Aside,
    BatchWork,
    Bunch,
    ChainWork,
    Handle,
    Link,
    Mark,
    Outcome,
    Rows,
)
from mirar_dask.paths import PRODKEY_KEY
from mirar_dask.processors.base.identity import digest
from mirar_dask.processors.base.outcome import Record, Status
from mirar_dask.processors.base_processor import BaseProcessor


@dataclass(frozen=True, slots=True)
class Recalled:
    """What was done before, as if a task had just brought it."""

    batches: tuple[Bunch, ...]
    passed: int
    records: tuple[Record, ...]
    rows: Rows

    @property
    def image(self) -> ImageHandle:
        """The image at the end of its leg."""
        image = self.batches[0].members[0]
        assert isinstance(image, ImageHandle)
        return image


class Recollection:
    """Asks a memo for the work of a run.

    Parameters
    ----------
    memo : Memo
        What earlier runs have done.
    steps : sequence of BaseProcessor
        All steps of the run.
    """

    def __init__(self, memo: Memo, steps: Sequence[BaseProcessor]) -> None:
        self.memo, self.steps = memo, steps
        self._prints = [step.fingerprint for step in steps]
        self._sure = first_unsure(steps)

    # -- a leg of an image's chain ------------------------------------------------------------

    def leg(
        self,
        image: ImageHandle,
        links: Sequence[Link],
        contexts: Sequence[ContextState],
        position: int,
    ) -> Recalled | None:
        """Find how far an image has come through some links; None if nobody knows.

        Parameters
        ----------
        image : ImageHandle
            The image before the links.
        links : sequence of Link
            What it is to pass.
        contexts : sequence of ContextState
            What the links are given.
        position : int
            Place of the image in its batch.
        """
        keys = {state.name: state.key for state in contexts}
        states = self._states(image, links, keys)
        steps = [link.step for link in links]
        ways = (self._ways(states, passed) for passed in range(len(states) - 1, 0, -1))
        last = next(ways, [])
        lasting = next((way for way in chain([last], ways) if way and way[-1].lasts), None)
        passed = sum(node.passed for node in lasting) if lasting else 0
        there = all(state.done for state in contexts)
        if last and not last[-1].lasts and len(states) > len(links) and there:
            # Made, but not kept: perhaps nobody asks for the pixels.
            known = self._joined(last, steps, image.names, position)
            start = lasting[-1].blocks[0].members[0] if lasting and lasting[-1].blocks else image
            assert isinstance(start, ImageHandle)
            rest = tuple(links[passed:])
            needed = {link.context for link in rest}
            used = {s.name: _packed(s) for s in contexts if s.name in needed}
            gone = known.image
            pixels = PendingPixels(start, rest, used, keys, gone.shape, gone.dtype)
            made = replace(gone, pixels=pixels)
            return replace(known, batches=(Bunch((made,)),))
        return self._joined(lasting, steps, image.names, position) if lasting else None

    def _ways(self, states: list[str], passed: int) -> list[Node]:
        """Return the nodes that lead from the first state to another one; none if there are none.

        A way to pixels that last is preferred.
        """
        ways = [self._way_back(node, states) for node in self.memo.recall(states[passed])]
        found = [way for way in ways if way and way[-1].blocks is not None]
        return next((way for way in found if way[-1].lasts), found[0] if found else [])

    def _way_back(self, node: Node, states: list[str]) -> list[Node]:
        """Return the nodes that lead from the first state to one, in order; none if some lack."""
        nodes = [node]
        places = {state: place for place, state in enumerate(states)}
        while nodes[0].since != states[0]:
            place = places.get(nodes[0].since)
            if place is None or place == 0:
                return []
            before = next(
                (n for n in self.memo.recall(states[place]) if places.get(n.since, place) < place),
                None,
            )
            if before is None:
                return []
            nodes.insert(0, before)
        return nodes

    def keep_legs(self, work: ChainWork, outcome: Outcome) -> None:
        """Remember what became of the images of a task."""
        steps = [link.step for link in work.links]
        used = [m for name in work.contexts if (m := _mark_of(work.contexts[name])) is not None]
        for item in work.items:
            states = self._states(item.image, work.links, work.keys)
            for stage in outcome.stages.get(item.position, ()):
                if stage.passed >= len(states):
                    break
                image = stage.image or outcome.images[item.position]
                of_master = item.measures or item.for_bands  # which is looked at anew for another
                blocks = None if of_master else (Bunch((image,)),)
                key = states[stage.passed]
                self._keep(states[0], key, stage.passed, blocks, stage.aside, steps, used)

    def _states(self, image: ImageHandle, links: Sequence[Link], keys: dict[str, str]) -> list[str]:
        """Keys of an image before the links and after each, as far as they can be told."""
        start = _state(image)
        if start is None:
            return []
        states = [start]
        for link in takewhile(lambda link: link.step < self._sure, links):
            used = keys.get(link.context, "") if link.context else ""
            states.append(digest(states[-1], self._prints[link.step], used))
        return states

    # -- a batch ------------------------------------------------------------------------------

    def batch(self, bunch: Bunch, place: int, last: int) -> Recalled | None:
        """Find how far a batch has come from a step on, at most to ``last``."""
        if self.memo.empty:
            return None
        states = self._batch_states(bunch, place, last)
        for passed in range(len(states) - 1, 0, -1):
            for node in self.memo.recall(states[passed]):
                if node.since != states[0] or node.blocks is None:
                    continue
                if node.lasts:
                    return self._joined([node], range(place, last), bunch.names)
                if self._is_followed(node, place + passed):
                    known = self._joined([node], range(place, last), bunch.names)
                    work = BatchWork(place, place + passed, bunch)
                    return replace(known, batches=pending_batches(work, known.batches))
        return None

    def _is_followed(self, node: Node, place: int) -> bool:
        """Whether each image that came out is known to have gone on, from a step, to a product."""
        handles = [handle for bunch in node.blocks or () for handle in bunch.members]
        return all(self._reaches_product(_state(handle), place) for handle in handles)

    def _reaches_product(self, start: str | None, place: int) -> bool:
        key = start
        for step in range(place, self._sure):
            if key is None or start is None:
                return False
            key = digest(key, self._prints[step], "")
            if any(n.since == start and n.lasts for n in self.memo.recall(key)):
                return True
        return False

    def keep_batch(self, work: BatchWork, outcome: Outcome) -> None:
        """Remember what became of a batch, at each place where it lay in products."""
        states = self._batch_states(work.batch, work.step, work.stop)
        for checkpoint in outcome.checkpoints:
            passed = checkpoint.next_step - work.step
            if passed < len(states):
                batches = outcome.batches if checkpoint.batches is None else checkpoint.batches
                self._keep(
                    states[0], states[passed], passed, batches, checkpoint.aside,
                    range(work.step, work.stop), (),
                )  # fmt: skip

    def _batch_states(self, bunch: Bunch, place: int, last: int) -> list[str]:
        members = [_state(handle) for handle in bunch.members]
        if None in members or not members:
            return []
        states = [digest("batch", *[state for state in members if state is not None])]
        for step in range(place, min(last, self._sure)):
            states.append(digest(states[-1], self._prints[step]))
        return states

    # -- both ---------------------------------------------------------------------------------

    def _keep(
        self,
        since: str,
        key: str,
        passed: int,
        blocks: tuple[Bunch, ...] | None,
        aside: Aside,
        steps: Sequence[int],
        used: Sequence[Mark],
    ) -> None:
        if any(record.status not in KEPT for record in aside.records):
            return  # what failed is tried again
        records = tuple(Record(r.names, r.status, r.step, r.reason) for r in aside.records)
        rows = tuple((steps.index(step), found) for step, _, found in aside.rows)
        marks = (*aside.written, *used)
        self.memo.remember(Node(key, since, passed, blocks, records, rows, marks, self.memo.run))

    def _joined(
        self, nodes: Sequence[Node], steps: Sequence[int], names: Sequence[str], position: int = 0
    ) -> Recalled:
        """Put together what nodes on one way have brought."""
        rows, start = [], 0
        for node in nodes:
            rows += [(steps[start + place], position, found) for place, found in node.rows]
            start += node.passed
            self.memo.remember_again(node)
        last = nodes[-1]
        step = self.steps[steps[start - 1]].step_name
        done = Record(tuple(names), Status.SKIPPED, step, f"done before by run {last.run}")
        records = [record for node in nodes for record in node.records]
        assert last.blocks is not None
        return Recalled(last.blocks, start, (*records, done), tuple(rows))


def first_unsure(steps: Sequence[BaseProcessor]) -> int:
    """Number of the first step of which nobody can tell whether it changed."""
    unsure = (number for number, step in enumerate(steps) if step.why_unsure is not None)
    return next(unsure, len(steps))


def _state(handle: Handle) -> str | None:
    """Key of a block as it is; None if its header does not tell."""
    known = handle.get(PRODKEY_KEY)
    return digest(str(known), handle.name) if known else None


def _packed(state: ContextState) -> Any:
    """Return a context for pixels that may be made again; one that was put off as its inputs."""
    if state.put_off:
        return PendingContext(state.plan.step, Bunch(tuple(state.ordered_inputs())))
    return state.value


def _mark_of(context: Any) -> Mark | None:
    """Mark of the file in which a context lies, if it is a master in one."""
    pixels = context.pixels if isinstance(context, ImageHandle) else None
    if isinstance(pixels, KeptPixels):
        pixels = pixels.origin
    if not isinstance(pixels, FitsPixels | FitsFilePixels):
        return None
    return Mark(pixels.path, pixels.size, pixels.mtime_ns, pixels.inode)
