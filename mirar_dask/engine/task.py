"""What a worker does: take one task, run its steps, bring back an outcome.

Nothing that a processor does can raise through here. Dask appears nowhere: the same function runs
in a worker process, in a thread, or inline in a test.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import singledispatch
from pathlib import Path
from typing import Any

from mirar_dask.data import DataBatch, Dataset, Image, ImageBatch
from mirar_dask.data.cache import CachePlace, task_memory, use_place
from mirar_dask.engine.questions import is_solo
from mirar_dask.engine.travel import pack, pack_image, size_of, unpack
from mirar_dask.engine.types import (
    BandWork,
    BatchWork,
    Bunch,
    ChainItem,
    ChainWork,
    LoadWork,
    MasterWork,
    Outcome,
    PrepareWork,
    RegroupWork,
    StepTime,
    Task,
    Work,
)
from mirar_dask.errors import ProcessorError
from mirar_dask.paths import Roots, use_roots
from mirar_dask.processors.base.core import CONTAINED, names_of
from mirar_dask.processors.base.forms import Form, Regroup
from mirar_dask.processors.base.outcome import Record, Row, Status, collect_caveats
from mirar_dask.processors.base_processor import (
    BaseImageLoader,
    BaseImageProcessor,
    BaseProcessor,
    ProcessorWithCache,
)

FEW_IMAGES = 4
"""Up to so many images a task goes on by itself where others could share the work."""
CONTEXT_BYTES = 1 << 30
"""Bytes of masters that a worker keeps unpacked."""


class ContextCache:
    """The contexts that tasks of a worker used last, unpacked; safe across threads.

    Parameters
    ----------
    budget : int
        Bytes of pixels to keep; the one in use is kept whatever its size.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[int, Any]] = OrderedDict()

    def get(self, name: str, packed: Any) -> Any:
        """Return a context, unpacking it the first time."""
        with self._lock:
            if name not in self._kept:
                self._kept[name] = (size_of(packed), unpack(packed))
            self._kept.move_to_end(name)
            while len(self._kept) > 1 and sum(n for n, _ in self._kept.values()) > self.budget:
                self._kept.popitem(last=False)
            return self._kept[name][1]


@dataclass
class Bench:
    """What a worker keeps for a run: its steps, folders and memory."""

    steps: Sequence[BaseProcessor]
    roots: Roots
    place: CachePlace | None
    """Where pixels are kept; None to leave it to the process."""
    budget: int
    """Bytes of unpublished pixels that a task may hold."""
    contexts: ContextCache = field(default_factory=lambda: ContextCache(CONTEXT_BYTES))

    def __reduce__(self) -> tuple[Any, ...]:
        return Bench, (self.steps, self.roots, self.place, self.budget)

    def __post_init__(self) -> None:
        for place, step in enumerate(self.steps):
            step.set_preceding_steps(list(self.steps[:place]))


def execute(bench: Bench, task: Task) -> Outcome:
    """Do one task.

    Returns
    -------
    Outcome
        Always: what fails is in its records.
    """
    start = time.perf_counter()
    with use_roots(bench.roots), use_place(bench.place), task_memory(bench.budget):
        try:
            outcome = perform(task.work, bench)
        except (*CONTAINED, KeyboardInterrupt) as exc:
            step = bench.steps[first_step(task.work)]
            outcome = Outcome(failed=True, records=(step.failure(exc, task.names),))
    worker = f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"
    return _stamped(outcome, time.perf_counter() - start, worker)


def first_step(work: Work) -> int:
    """Return the number of the first step that a work concerns."""
    if not isinstance(work, ChainWork):
        return work.step
    if work.links:
        return work.links[0].step
    return next((step for item in work.items for step in item.measures), 0)


def _stamped(outcome: Outcome, seconds: float, worker: str) -> Outcome:
    from dataclasses import replace

    return replace(outcome, seconds=seconds, worker=worker)


@singledispatch
def perform(work: Work, bench: Bench) -> Outcome:
    """Do one kind of work."""
    raise TypeError(f"no such work: {type(work).__name__}")


@perform.register
def _(work: LoadWork, bench: Bench) -> Outcome:
    loader = bench.steps[work.step]
    assert isinstance(loader, BaseImageLoader)
    start = time.perf_counter()
    loaded = [loader.load_file(path) for path in work.paths]
    images = [image for new, _ in loaded for image in new]
    files: list[Path] = []
    handles = tuple(pack_image(image, files) for image in images)
    return Outcome(
        batches=(Bunch(handles),),
        records=tuple(record for _, new in loaded for record in new),
        times=(StepTime(work.step, time.perf_counter() - start, len(images)),),
        files=tuple(files),
    )


@perform.register
def _(work: ChainWork, bench: Bench) -> Outcome:
    contexts = {name: bench.contexts.get(name, packed) for name, packed in work.contexts.items()}
    clock = _Clock()
    images: dict[int, Any] = {}
    scales: dict[tuple[int, int], float] = {}
    records: list[Record] = []
    rows: dict[int, list[Row]] = {}
    files: list[Path] = []
    failed: dict[int, int] = {}
    for item in work.items:
        done, image = _run_links(work, item, bench, contexts, records, rows, clock)
        if image is None:
            failed[item.position] = done
            continue
        last = work.links[-1].step if work.links else item.measures[0] if item.measures else 0
        start = time.perf_counter()
        try:
            for step in item.measures:
                scales[item.position, step] = _scale(bench.steps[step], image, records)
            if item.for_bands and not image.pixels.rows_readable:
                image.set_data(image.get_data())
            images[item.position] = pack_image(image, files)
        except CONTAINED as exc:
            records.append(bench.steps[last].failure(exc, names_of(image)))
            failed[item.position] = done
        clock.add(last, time.perf_counter() - start, 0)
    return Outcome(
        images=images,
        failed_after=failed,
        scales=scales,
        records=tuple(records),
        rows=tuple((step, tuple(found)) for step, found in rows.items()),
        times=clock.times(),
        files=tuple(files),
    )


def _run_links(
    work: ChainWork,
    item: ChainItem,
    bench: Bench,
    contexts: dict[str, Any],
    records: list[Record],
    rows: dict[int, list[Row]],
    clock: _Clock,
) -> tuple[int, Image | None]:
    image: Image | None = item.image.open()
    for done, link in enumerate(work.links):
        step = bench.steps[link.step]
        assert image is not None
        if link.history_only:
            step.write_history(image)
            continue
        assert isinstance(step, BaseImageProcessor)
        start = time.perf_counter()
        image, new = step.process_image(image, contexts.get(link.context or ""))
        clock.add(link.step, time.perf_counter() - start, 1)
        records += new
        if image is None:
            return done, None
        if found := step.collect_rows(ImageBatch([image]), records):
            rows.setdefault(link.step, []).extend(found)
    return len(work.links), image


def _scale(step: BaseProcessor, image: Image, records: list[Record]) -> float:
    """Measure a frame of a master; NaN for one that cannot go into it."""
    assert isinstance(step, ProcessorWithCache)
    try:
        return float(step.frame_scale(image))
    except ProcessorError as exc:
        why = f"left out of the master {step.base_key}: {exc}"
        records.append(Record(names_of(image), Status.CAVEATS, step.step_name, why))
        return math.nan


@perform.register
def _(work: BandWork, bench: Bench) -> Outcome:
    from mirar_dask.processors.combine import combine_frames

    step = bench.steps[work.step]
    assert isinstance(step, ProcessorWithCache)
    start = time.perf_counter()
    data = combine_frames(
        [frame.pixels for frame in work.frames],
        list(work.scales),
        method=step.method,
        sigma=step.sigma,
        max_iterations=step.max_iterations,
        rows=slice(work.start, work.stop),
    )
    files: list[Path] = []
    packed = pack(data, files)
    seconds = time.perf_counter() - start
    return Outcome(context=packed, times=(StepTime(work.step, seconds, 0),), files=tuple(files))


@perform.register
def _(work: MasterWork, bench: Bench) -> Outcome:
    import numpy as np

    from mirar_dask.processors.combine import combine_frames

    step = bench.steps[work.step]
    assert isinstance(step, ProcessorWithCache)

    def make() -> Image:
        if work.bands:
            data = np.concatenate([unpack(band) for band in work.bands])
        else:
            data = combine_frames(
                [frame.pixels for frame in work.frames],
                list(work.scales),
                method=step.method,
                sigma=step.sigma,
                max_iterations=step.max_iterations,
            )
        frames = ImageBatch([frame.open() for frame in work.frames])
        return step.keep_master(step.finish_master(frames, data), work.path)

    return _context(step, work.step, make)


@perform.register
def _(work: PrepareWork, bench: Bench) -> Outcome:
    step = bench.steps[work.step]
    assert isinstance(step, BaseImageProcessor)
    return _context(step, work.step, lambda: step.prepare(_images(work.batch)))


def _images(bunch: Bunch) -> ImageBatch:
    batch = bunch.open()
    assert isinstance(batch, ImageBatch)
    return batch


def _context(step: BaseProcessor, place: int, make: Callable[[], Any]) -> Outcome:
    """Make a context; a failure is one record without names: who is blocked the driver knows."""
    start = time.perf_counter()
    files: list[Path] = []
    records: list[Record] = []
    packed, failed = None, False
    with collect_caveats() as caveats:
        try:
            packed = pack(make(), files)
        except CONTAINED as exc:
            failed = True
            records.append(step.failure(exc, ()))
    records += [Record(n, Status.CAVEATS, step.step_name, why) for n, why in caveats]
    return Outcome(
        context=packed,
        failed=failed,
        records=tuple(records),
        times=(StepTime(place, time.perf_counter() - start, 1),),
        files=tuple(files),
    )


@perform.register
def _(work: BatchWork, bench: Bench) -> Outcome:
    clock = _Clock()
    records: list[Record] = []
    rows: list[tuple[int, tuple[Row, ...]]] = []
    dataset: list[DataBatch] = [work.batch.open()]
    place = work.step
    while place < work.stop and dataset:
        step = bench.steps[place]
        if place > work.step and not _goes_on(step, dataset):
            break
        start = time.perf_counter()
        n = sum(len(batch) for batch in dataset)
        dataset = _one_step(step, place, dataset, records, rows)
        clock.add(place, time.perf_counter() - start, n)
        place += 1
    files: list[Path] = []
    bunches = tuple(_pack_batch(batch, files) for batch in dataset)
    return Outcome(
        batches=bunches,
        next_step=place,
        records=tuple(records),
        rows=tuple(rows),
        times=clock.times(),
        files=tuple(files),
    )


def _goes_on(step: BaseProcessor, dataset: list[DataBatch]) -> bool:
    """Whether a task does this step too, or leaves it to others that can share the work."""
    if is_solo(step):
        return False
    if len(dataset) > 1:
        return False
    return step.form in (Form.BATCH, Form.PASS) or len(dataset[0]) <= FEW_IMAGES


def _one_step(
    step: BaseProcessor,
    place: int,
    dataset: list[DataBatch],
    records: list[Record],
    rows: list[tuple[int, tuple[Row, ...]]],
) -> list[DataBatch]:
    kept = []
    for batch in dataset:
        done = step.process(batch)
        records += done.records
        if done.rows:
            rows.append((place, tuple(done.rows)))
        if done.batch is not None:
            kept.append(done.batch)
    if step.regroup in (Regroup.KEYED, Regroup.FREE):
        return kept  # these see all batches: the driver calls them
    stepped = step.rearrange(Dataset(kept))
    records += stepped.records
    return list(stepped.dataset)


@perform.register
def _(work: RegroupWork, bench: Bench) -> Outcome:
    step = bench.steps[work.step]
    start = time.perf_counter()
    stepped = step.rearrange(Dataset([bunch.open() for bunch in work.batches]))
    files: list[Path] = []
    bunches = tuple(_pack_batch(batch, files) for batch in stepped.dataset)
    return Outcome(
        batches=bunches,
        next_step=work.step + 1,
        records=tuple(stepped.records),
        times=(StepTime(work.step, time.perf_counter() - start, len(bunches)),),
        files=tuple(files),
    )


def _pack_batch(batch: DataBatch, files: list[Path]) -> Bunch:
    for block in batch:
        if isinstance(block, Image):
            pack_image(block, files)
    return Bunch.of(batch)


class _Clock:
    """Adds up the seconds of each step in a task."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._n: dict[int, int] = {}

    def add(self, step: int, seconds: float, n: int) -> None:
        self._seconds[step] = self._seconds.get(step, 0.0) + seconds
        self._n[step] = self._n.get(step, 0) + n

    def times(self) -> tuple[StepTime, ...]:
        return tuple(StepTime(step, s, self._n[step]) for step, s in self._seconds.items())


# -- remote: what Dask calls ------------------------------------------------------------------

_benches: dict[str, Bench] = {}


def lay_out(run_id: str, bench: Bench) -> None:
    """Get ready for the tasks of a run."""
    _benches[run_id] = bench


def clear_away(run_id: str) -> None:
    """Forget a run."""
    _benches.pop(run_id, None)


def execute_remote(run_id: str, task: Task) -> Outcome:
    """Do one task of a run that `lay_out` prepared in this process.

    Raises
    ------
    ProcessorError
        If this process was never prepared: its plugin is missing.
    """
    bench = _benches.get(run_id)
    if bench is None:
        raise ProcessorError(f"worker {os.getpid()} knows no run '{run_id}'")
    return execute(bench, task)


__all__ = [
    "Bench",
    "ContextCache",
    "clear_away",
    "execute",
    "execute_remote",
    "lay_out",
]
