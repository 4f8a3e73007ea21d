"""A reduction as a Dask collection: for notebooks, `dask.visualize`, `compute`, `persist`.

One task a batch and segment up to the first regroup that cannot be foreseen, one task for what
follows, one that puts mirar's pair together. It works with every Dask scheduler; the files behind
its result belong to the cache of the process that made the collection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from dask.delayed import Delayed, delayed

from mirar_dask.data import Dataset
from mirar_dask.data.cache import CachePlace, cache, use_cache, use_place
from mirar_dask.engine.bench import Bench
from mirar_dask.engine.expand import expand
from mirar_dask.engine.lookahead import AheadHandle, LateError
from mirar_dask.engine.opening import Opened, open_night
from mirar_dask.engine.questions import needs_whole_batch
from mirar_dask.engine.segments import Segment, cut, regroup_behind
from mirar_dask.engine.task import execute
from mirar_dask.engine.types import BatchWork, Bunch, Outcome, RegroupWork, RunSettings, Task
from mirar_dask.errors import ErrorStack
from mirar_dask.paths import current_roots, use_roots
from mirar_dask.processors.base.claims import Claims
from mirar_dask.processors.base.core import CONTAINED
from mirar_dask.processors.base.forms import Regroup
from mirar_dask.processors.base.outcome import Record, Row, error_stack
from mirar_dask.processors.base_processor import BaseProcessor, KeyedRegroup

MEMORY_FOR_PIXELS = 1 << 30


def lazy_reduction(
    steps: Sequence[BaseProcessor], dataset: Dataset, settings: RunSettings
) -> Delayed:
    """Make a collection that computes to (Dataset, ErrorStack).

    Parameters
    ----------
    steps : sequence of BaseProcessor
        All steps. The loader and what concerns headers only are run at once.
    dataset : Dataset
        What is reduced.
    settings : RunSettings
        Roots, and the adapter of the pipeline.

    Returns
    -------
    dask.delayed.Delayed
        Its graph has a task for each batch and segment.
    """
    roots = settings.roots or current_roots()
    with use_roots(roots):
        opened = open_night(steps, dataset, settings)
    place = CachePlace(cache.ensure_cache_dir(), cache.key) if use_cache() else None
    bench = delayed(
        Bench(opened.steps, roots, place, MEMORY_FOR_PIXELS), pure=False, traverse=False
    )
    segments = cut(opened.steps, opened.next_step)
    bunches = [Bunch.of(batch) for batch in opened.dataset]
    sources = [delayed(bunch, pure=False, traverse=False) for bunch in bunches]
    levels: list[tuple[list[Any], list[Delayed]]] = []
    keys: list[Any] = list(range(len(sources)))
    for number, segment in enumerate(segments):
        parts = [
            _segment_task(bench, segment, opened.steps, source, place)
            for place, source in enumerate(sources)
        ]
        levels.append((keys, parts))
        groups = foresee(opened.steps, segment, bunches) if number + 1 < len(segments) else None
        if groups is None:
            break
        pick = delayed(_pick, pure=False)
        keys, bunches = list(groups), [group.ahead for group in groups.values()]
        sources = [
            pick(bench, segment, key, [parts[place] for place in sorted(group.parts)])
            for key, group in groups.items()
        ]
    finish = delayed(_finish, pure=False, name=f"collect-{id(levels):x}")
    return finish(bench, levels, segments, _Before.of(opened))


@dataclass
class _Group:
    """A batch that will be merged, as far as it can be foreseen."""

    members: list[AheadHandle] = field(default_factory=list)
    parts: set[int] = field(default_factory=set)
    """Numbers of the batches from which its images come."""

    @property
    def ahead(self) -> Any:
        return Bunch(tuple(self.members))  # type: ignore[arg-type]


def foresee(
    steps: Sequence[BaseProcessor], segment: Segment, bunches: Sequence[Bunch]
) -> dict[Any, _Group] | None:
    """Tell which images the regroup behind a segment will merge; None if only the run will."""
    last = regroup_behind(steps, segment)
    if not isinstance(last, KeyedRegroup) or last.regroup is not Regroup.KEYED:
        return None
    groups: dict[Any, _Group] = {}
    for place, bunch in enumerate(bunches):
        if bunch.is_sources or not bunch.members or needs_whole_batch(steps[segment.start]):
            return None
        expansion = expand(
            steps, segment.start, segment.stop, bunch, "", Claims(), keep_images=True
        )
        if any(leaf.next_step != segment.stop for leaf in expansion.leaves):
            return None
        for position in (p for leaf in expansion.leaves for p in leaf.positions):
            image = expansion.images[position]
            try:
                key = last.group_key(image)
            except LateError:
                return None
            except CONTAINED:  # reported by the run, which meets it again
                continue
            if key is not None:
                group = groups.setdefault(key, _Group())
                group.members.append(AheadHandle(image))
                group.parts.add(place)
    return groups


def _pick(bench: Bench, segment: Segment, key: Any, parts: list[list[Outcome]]) -> Bunch | None:
    """Put together, in order, the images of one key from the batches that came so far."""
    step = bench.steps[segment.stop - 1]
    assert isinstance(step, KeyedRegroup)
    members = []
    for bunch in (bunch for outcomes in parts for bunch in outcomes[-1].batches):
        for handle in bunch.members:
            try:
                if step.group_key(handle.open()) == key:
                    members.append(handle)
            except CONTAINED:  # reported where the pair is put together
                continue
    return Bunch(tuple(members)) if members else None


class _Before:
    """What happened before the graph was made."""

    def __init__(self, records: tuple[Record, ...], rows: dict[int, list[Row]]) -> None:
        self.records, self.rows = records, rows

    @classmethod
    def of(cls, opened: Opened) -> Any:
        return delayed(cls(opened.records, opened.rows), pure=False, traverse=False)


def _label(steps: Sequence[BaseProcessor], segment: Segment) -> str:
    return "+".join(step.step_name for step in steps[segment.start : segment.stop]) or "nothing"


def _segment_task(
    bench: Any, segment: Segment, steps: Sequence[BaseProcessor], source: Delayed, number: int
) -> Delayed:
    run = delayed(_run_segment, pure=False)
    key = (_label(steps, segment), number, uuid4().hex[:8])
    return run(bench, segment, source, dask_key_name=key)


def _run_segment(bench: Bench, segment: Segment, bunch: Bunch | None) -> list[Outcome]:
    """Take one batch through a segment; the outcomes of all tasks that this takes, in order."""
    if bunch is None:  # every image that was foreseen failed before
        return [Outcome()]
    outcomes: list[Outcome] = []
    waiting = [(segment.start, bunch)]
    done: list[Bunch] = []
    while waiting:
        place, batch = waiting.pop(0)
        if place >= segment.stop:
            done.append(batch)
            continue
        work = BatchWork(place, segment.stop, batch)
        outcome = execute(bench, Task("", 0, work, batch.names, 0))
        outcomes.append(outcome)
        # Depth first keeps the batches in the order in which a serial loop has them.
        waiting[:0] = [(outcome.next_step, child) for child in outcome.batches]
    return [*outcomes, Outcome(batches=tuple(done))]


def _finish(
    bench: Bench,
    levels: list[tuple[list[Any], list[list[Outcome]]]],
    segments: list[Segment],
    before: _Before,
) -> tuple[Dataset, ErrorStack]:
    """Run what could not be foreseen, and put mirar's pair together."""
    records = list(before.records)
    rows = {step: list(found) for step, found in before.rows.items()}
    bunches: list[Bunch] = []
    for number, segment in enumerate(segments):
        if number < len(levels):
            parts = _in_order(bench, segments, number, levels[number], bunches)
        else:
            parts = [_run_segment(bench, segment, bunch) for bunch in bunches]
        bunches = _gathered(parts, records, rows)
        if regroup_behind(bench.steps, segment) is not None:
            work = RegroupWork(segment.stop - 1, tuple(bunches))
            outcome = execute(bench, Task("", 0, work, (), 0))
            records += outcome.records
            bunches = list(outcome.batches)
    with use_roots(bench.roots), use_place(bench.place):
        for step, found in sorted(rows.items()):
            records += bench.steps[step].save_table(found)
    return Dataset([bunch.open() for bunch in bunches]), error_stack(records)


def _in_order(
    bench: Bench,
    segments: list[Segment],
    number: int,
    level: tuple[list[Any], list[list[Outcome]]],
    merged: list[Bunch],
) -> list[list[Outcome]]:
    """Order the parts of a segment as the batches are that the regroup before it really made."""
    keys, parts = level
    if not number:
        return parts
    step = bench.steps[segments[number - 1].stop - 1]
    assert isinstance(step, KeyedRegroup)
    by_key = dict(zip(keys, parts, strict=True))
    return [by_key[step.group_key(bunch.members[0].open())] for bunch in merged]


def _gathered(
    parts: list[list[Outcome]], records: list[Record], rows: dict[int, list[Row]]
) -> list[Bunch]:
    bunches: list[Bunch] = []
    for outcomes in parts:
        for outcome in outcomes[:-1]:
            records += outcome.records
            for step, _, found in outcome.rows:
                rows.setdefault(step, []).extend(found)
        bunches += outcomes[-1].batches
    return bunches
