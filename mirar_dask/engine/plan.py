"""What will be done to a night, found before any pixel is read.

The same walk that the driver makes (`expand`) is made with the night's headers: segments, batches
with their members, masters with the frames that go into them, what is missing, and how much
memory the largest task needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mirar_dask.data import Dataset
from mirar_dask.data.cache import use_place
from mirar_dask.engine import memory
from mirar_dask.engine.batch_names import of_entry, of_key, shown
from mirar_dask.engine.collecting import seldom
from mirar_dask.engine.expand import expand
from mirar_dask.engine.expansion import Expansion, Foreseen
from mirar_dask.engine.lookahead import AheadHandle, LateError, as_ahead
from mirar_dask.engine.opening import Opened, open_night
from mirar_dask.engine.places import RunPlace
from mirar_dask.engine.planned import Plan, PlannedMaster, PlannedStep
from mirar_dask.engine.planned_batches import END, PlannedBatch, expanded, whole_batch
from mirar_dask.engine.questions import needs_whole_batch
from mirar_dask.engine.recollection import first_unsure
from mirar_dask.engine.segments import Segment, cut, regroup_behind
from mirar_dask.engine.types import Bunch, RunSettings
from mirar_dask.errors import NothingToDoError
from mirar_dask.paths import current_roots, use_roots
from mirar_dask.processors.base.claims import Claims
from mirar_dask.processors.base.forms import Form, Regroup
from mirar_dask.processors.base.identity import readable_parameters
from mirar_dask.processors.base.outcome import Status
from mirar_dask.processors.base_processor import (
    BaseProcessor,
    BaseSourceGenerator,
    BaseSourceProcessor,
    KeyedRegroup,
)

__all__ = ["Plan", "PlannedMaster", "PlannedStep", "plan"]


def plan(steps: Sequence[BaseProcessor], dataset: Dataset, settings: RunSettings) -> Plan:
    """Find out what will be done, reading headers only.

    Parameters
    ----------
    steps : sequence of BaseProcessor
        A configuration.
    dataset : Dataset
        What is reduced, where the first step is no loader.
    settings : RunSettings
        Roots and adapter, as for the run.

    Raises
    ------
    NothingToDoError
        If there is no frame to reduce.
    """
    with (
        RunPlace(settings) as place,
        use_roots(settings.roots or current_roots()),
        use_place(place.cache),
        seldom(),
    ):
        opened = open_night(steps, dataset, settings, headers_only=True)
        if not opened.late and not any(len(batch) for batch in opened.dataset):
            reasons = [r.reason for r in opened.records if r.status is Status.FAILED]
            raise NothingToDoError(reasons[0] if reasons else "there is no frame to reduce")
        return _Planner(opened).plan()


Named = tuple[Bunch, str]
"""A batch and its name."""


class _Planner:
    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.all_steps = opened.steps
        self.steps: list[PlannedStep] = []
        self.masters: list[PlannedMaster] = []
        self.batches: list[PlannedBatch] = []
        self.missing = [r for r in opened.records if r.status is Status.FAILED]
        self.caveats = [r.reason for r in opened.records if r.status is Status.CAVEATS]
        self.late: list[str] = []
        self.claims = Claims()
        self.foreseen = Foreseen()
        self.segments: Sequence[Segment] = ()

    def plan(self) -> Plan:
        start = self.opened.next_step
        segments = cut(self.all_steps, start)
        for place, step in enumerate(self.all_steps):
            number = next((n for n, s in enumerate(segments) if s.start <= place < s.stop), -1)
            self.steps.append(_describe(step, -1 if place < start else number))
        blocks = [block for batch in self.opened.dataset for block in batch]
        for planned in self.steps[:start]:
            planned.batches, planned.images = len(self.opened.dataset), len(blocks)
        if self.opened.late:
            self._late_from(0, f"step '{self.all_steps[0].step_name}' reads pixels to load a frame")
        else:
            self._walk_segments(segments)
        self.caveats += [
            f"step '{name}' does not say how much memory it needs beside its images: reckoned "
            f"with {memory.FRAMES_OF_A_STEP} images"
            for name in memory.unsaid(self.all_steps[start:])
        ]
        return Plan(
            self.steps,
            self.masters,
            self.batches,
            len(self.opened.frames),
            self.missing,
            self.caveats,
            list(dict.fromkeys(self.late)),
            *memory.largest_task(self.all_steps[start:], blocks),
            _not_resumable(self.all_steps),
            replace(self.opened, foreseen=self.foreseen),
            memory.least_worker(self.all_steps[start:], blocks),
        )

    def _walk_segments(self, segments: Sequence[Segment]) -> None:
        self.segments = segments
        first = self.opened.bunches
        bunches: list[Named] | None = [
            (bunch, of_entry(place, len(first))) for place, bunch in enumerate(first)
        ]
        self.foreseen = self._foresee(segments[0])
        for number, segment in enumerate(segments):
            assert bunches is not None
            arrived: list[Named] = []
            known = True
            foreseen = {} if number else self.foreseen.expansions
            for place, (bunch, name) in enumerate(bunches):
                expansion = foreseen.get(place)
                known &= self._walk(number, segment.start, bunch, name, arrived, expansion)
            if not known:
                return
            last = self.all_steps[segment.stop - 1] if segment.stop > segment.start else None
            bunches = self._regroup(last, segment.stop, arrived)
            if bunches is None:
                return
        if regroup_behind(self.all_steps, segments[-1]) is not None:
            for bunch, name in bunches or ():
                end = PlannedBatch(shown(name), len(segments), bunch.names, (), END)
                self.batches.append(end)

    def _foresee(self, segment: Segment) -> Foreseen:
        """Expand the batches that enter the first segment; the run goes on from there."""
        expansions: dict[int, Expansion] = {}
        steps, (start, stop) = self.all_steps, (segment.start, segment.stop)
        if start < stop and not needs_whole_batch(steps[start]):
            for place, bunch in enumerate(self.opened.bunches):
                if bunch.members and not bunch.is_sources:
                    prefix = f"plan.{place}"
                    name = of_entry(place, len(self.opened.bunches))
                    expansions[place] = expand(
                        steps, start, stop, bunch, prefix, self.claims, name=name, keep_images=True
                    )
        return Foreseen(expansions, self.claims.copy())

    def _walk(
        self,
        number: int,
        start: int,
        bunch: Bunch,
        name: str,
        arrived: list[Named],
        expansion: Expansion | None = None,
    ) -> bool:
        """Follow one batch; False where only the run will tell how it goes on."""
        stop = self.segments[number].stop
        if start >= stop:
            arrived.append((bunch, name))
            return True
        step = self.all_steps[start]
        if needs_whole_batch(step):
            self._count(start, 1, len(bunch.members), len(bunch.members))
            if start == self.segments[number].start:  # else its way up to here tells of it
                self.batches.append(
                    whole_batch(self.all_steps, self.segments, number, start, bunch, name)
                )
            if start + 1 < len(self.all_steps):
                why = f"step '{step.step_name}' works on whole batches: what it returns is known"
                self._late_from(start + 1, f"{why} at run time only")
            return False
        expansion = expansion or expand(
            self.all_steps, start, stop, bunch, str(start), self.claims, name=name, keep_images=True
        )
        self.batches += expanded(self.all_steps, self.segments, number, bunch, expansion)
        self._count_chains(expansion)
        self._add_masters(expansion, bunch)
        if expansion.late is not None:
            self.late.append(expansion.late)
        known = True
        for leaf in expansion.leaves:
            members: Any = tuple(AheadHandle(expansion.images.pop(p)) for p in leaf.positions)
            if leaf.next_step < stop and not needs_whole_batch(self.all_steps[leaf.next_step]):
                self._late_from(leaf.next_step, expansion.late or "")
                known = False
            else:
                known &= self._walk(number, leaf.next_step, Bunch(members), leaf.batch, arrived)
        return known

    def _count_chains(self, expansion: Expansion) -> None:
        seen: dict[int, int] = {}
        work: dict[int, int] = {}
        for chain in expansion.chains:
            for link in chain.links:
                seen[link.step] = seen.get(link.step, 0) + 1
            if chain.exit is not None and chain.exit.status is Status.SET_ASIDE:
                self.steps[chain.links[-1].step].set_aside += 1
            elif chain.exit is not None:
                self.missing.append(chain.exit)
            for place in chain.work(self.all_steps):
                work[place] = work.get(place, 0) + 1
        for place, n in seen.items():
            self._count(place, 0, n, work.get(place, 0))
        for place in seen:
            parts = {
                split.positions
                for leaf in expansion.leaves
                for split in leaf.splits
                if split.step == place
            }
            self._count(place, len(parts) or 1, 0, 0)

    def _add_masters(self, expansion: Expansion, bunch: Bunch) -> None:
        for context in expansion.contexts.values():
            step = self.all_steps[context.step]
            names = tuple(n for p in context.frames for n in bunch.members[p].names)
            if context.kind == "failed":
                self.missing += list(context.records)
                continue
            if context.kind == "none":
                self.caveats.append(f"step '{step.step_name}' has no frames and is left out")
                continue
            made = context.kind in ("frames", "prepare")
            shown = context.path.name if context.path is not None else step.step_name
            self.masters.append(
                PlannedMaster(step.step_name, shown, names, len(context.users), made)
            )

    def _regroup(
        self, last: BaseProcessor | None, stop: int, arrived: list[Named]
    ) -> list[Named] | None:
        if last is None or last.regroup in (Regroup.NONE, Regroup.DROP_EMPTY, Regroup.SPLIT):
            return arrived
        if last.regroup is Regroup.FREE or not isinstance(last, KeyedRegroup):
            self._late_from(stop, f"step '{last.step_name}' regroups as it likes, at run time")
            return None
        try:
            merged, records = last.merge(Dataset([bunch.open() for bunch, _ in arrived]))
        except LateError as exc:
            why = f"step '{last.step_name}' asks for {exc}, known at run time only"
            self._late_from(stop, why)
            self.steps[stop - 1].batches = None
            return None
        self.missing += [r for r in records if r.status is Status.FAILED]
        self.steps[stop - 1].batches = len(merged)
        found: list[Named] = []
        for batch in merged:
            members: Any = tuple(AheadHandle(as_ahead(image)) for image in batch)
            found.append((Bunch(members), of_key(last.group_key(batch[0]))))
        return found

    def _late_from(self, place: int, why: str) -> None:
        self.late.append(why)
        for planned in self.steps[place:]:
            planned.batches = planned.images = planned.work = None

    def _count(self, place: int, batches: int, images: int, work: int) -> None:
        planned = self.steps[place]
        if planned.batches is None or planned.images is None or planned.work is None:
            return
        planned.batches += batches
        planned.images += images
        planned.work += work


def _describe(step: BaseProcessor, segment: int) -> PlannedStep:
    form = "header" if step.headers_only and step.form is Form.IMAGE else step.form.value
    found = PlannedStep(
        step.step_name, type(step).__name__, step.description(), form, segment, step.regroup.value
    )
    found.parameters = readable_parameters(step)
    if isinstance(step, BaseSourceGenerator):
        found.works_on = "images to sources"
    elif isinstance(step, BaseSourceProcessor):
        found.works_on = "sources"
    return found


def _not_resumable(steps: Sequence[BaseProcessor]) -> list[str]:
    unsure = first_unsure(steps)
    return [f"from step '{step.step_name}' on: {step.why_unsure}" for step in steps[unsure:][:1]]
