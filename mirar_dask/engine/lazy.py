"""A reduction as a Dask collection: for notebooks, `dask.visualize`, `compute`, `persist`.

One task a batch and segment up to the first regroup that cannot be foreseen, one task for what
follows, one that puts mirar's pair together. It works with every Dask scheduler; the files behind
its result belong to the cache of the process that made the collection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dask.delayed import Delayed, delayed

from mirar_dask.data import Dataset
from mirar_dask.data.cache import CachePlace, cache, use_cache, use_place
from mirar_dask.engine.bench import Bench
from mirar_dask.engine.opening import Opened, open_night
from mirar_dask.engine.segments import Segment, cut, regroup_behind
from mirar_dask.engine.task import execute
from mirar_dask.engine.types import BatchWork, Bunch, Outcome, RegroupWork, RunSettings, Task
from mirar_dask.errors import ErrorStack
from mirar_dask.paths import current_roots, use_roots
from mirar_dask.processors.base.outcome import Record, Row, error_stack
from mirar_dask.processors.base_processor import BaseProcessor

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
    parts = [
        _segment_task(bench, segments[0], opened.steps, Bunch.of(batch), number)
        for number, batch in enumerate(opened.dataset)
    ]
    finish = delayed(_finish, pure=False, name=f"collect-{id(parts):x}")
    return finish(bench, parts, segments, _Before.of(opened))


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
    bench: Any, segment: Segment, steps: Sequence[BaseProcessor], bunch: Bunch, number: int
) -> Delayed:
    run = delayed(_run_segment, pure=False)
    key = (_label(steps, segment), number, f"{id(bunch):x}")
    return run(bench, segment, delayed(bunch, pure=False, traverse=False), dask_key_name=key)


def _run_segment(bench: Bench, segment: Segment, bunch: Bunch) -> list[Outcome]:
    """Take one batch through a segment; the outcomes of all tasks that this takes, in order."""
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
    bench: Bench, parts: list[list[Outcome]], segments: list[Segment], before: _Before
) -> tuple[Dataset, ErrorStack]:
    records = list(before.records)
    rows = {step: list(found) for step, found in before.rows.items()}
    bunches = _gathered(parts, records, rows)
    for number, segment in enumerate(segments):
        if number:
            bunches = _gathered(
                [_run_segment(bench, segment, bunch) for bunch in bunches], records, rows
            )
        if regroup_behind(bench.steps, segment) is not None:
            work = RegroupWork(segment.stop - 1, tuple(bunches))
            outcome = execute(bench, Task("", 0, work, (), 0))
            records += outcome.records
            bunches = list(outcome.batches)
    with use_roots(bench.roots), use_place(bench.place):
        for step, found in sorted(rows.items()):
            records += bench.steps[step].save_table(found)
    return Dataset([bunch.open() for bunch in bunches]), error_stack(records)


def _gathered(
    parts: list[list[Outcome]], records: list[Record], rows: dict[int, list[Row]]
) -> list[Bunch]:
    bunches: list[Bunch] = []
    for outcomes in parts:
        for outcome in outcomes[:-1]:
            records += outcome.records
            for step, found in outcome.rows:
                rows.setdefault(step, []).extend(found)
        bunches += outcomes[-1].batches
    return bunches
