"""What a worker does with whole batches: load them, take one through steps, regroup them all."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from mirar_dask.atomic import noting_written
from mirar_dask.data import DataBatch, Dataset, Image
from mirar_dask.data.pixels import FitsFilePixels, FitsPixels
from mirar_dask.engine.bench import Bench
from mirar_dask.engine.questions import is_solo
from mirar_dask.engine.segments import sees_all_batches
from mirar_dask.engine.stopwatch import Stopwatch
from mirar_dask.engine.travel import marks_of, pack_image
from mirar_dask.engine.types import (
    Aside,
    BatchWork,
    Bunch,
    Checkpoint,
    LoadWork,
    Outcome,
    RegroupWork,
    StepTime,
)
from mirar_dask.processors.base.forms import Form
from mirar_dask.processors.base.outcome import Record, Row, Status
from mirar_dask.processors.base_processor import BaseImageLoader, BaseProcessor

FEW_IMAGES = 4
"""Up to so many images a task goes on by itself where others could share the work."""


def do_load(work: LoadWork, bench: Bench) -> Outcome:
    """Load files into images."""
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


def do_batch(work: BatchWork, bench: Bench) -> Outcome:
    """Take one batch through a step and those behind it that need nothing from elsewhere."""
    watch = Stopwatch()
    records: list[Record] = []
    rows: list[tuple[int, int, tuple[Row, ...]]] = []
    dataset: list[DataBatch] = [work.batch.open()]
    place = work.step
    checkpoints: list[Checkpoint] = []
    with noting_written() as paths:
        while place < work.stop and dataset:
            step = bench.steps[place]
            if place > work.step and not _goes_on(step, dataset):
                break
            with watch.timing(place, 0):
                passed, dataset = _one_step(step, place, dataset, records, rows)
            watch.add(place, 0.0, passed)
            place += 1
            if work.checkpoints and (batches := _lasting(dataset)) is not None:
                aside = Aside(tuple(records), tuple(rows), marks_of(paths))
                checkpoints.append(Checkpoint(place, batches, aside))
        if work.checkpoints and not (checkpoints and checkpoints[-1].next_step == place):
            aside = Aside(tuple(records), tuple(rows), marks_of(paths))
            checkpoints.append(Checkpoint(place, None, aside))
    files: list[Path] = []
    bunches = tuple(_pack_batch(batch, files) for batch in dataset)
    return Outcome(
        checkpoints=tuple(checkpoints),
        batches=bunches,
        next_step=place,
        records=tuple(records),
        rows=tuple(rows),
        times=watch.times(),
        files=tuple(files),
    )


def do_regroup(work: RegroupWork, bench: Bench) -> Outcome:
    """Run the `update_dataset` of a step on all batches."""
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
    rows: list[tuple[int, int, tuple[Row, ...]]],
) -> tuple[int, list[DataBatch]]:
    """Return how many blocks passed, and the batches behind the step."""
    kept, passed = [], 0
    for batch in dataset:
        n = len(batch)
        done = step.process(batch)
        passed += n - _failed(done.records, n)
        records += done.records
        if done.rows:
            rows.append((place, 0, tuple(done.rows)))
        if done.batch is not None:
            kept.append(done.batch)
    if sees_all_batches(step):
        return passed, kept  # the driver has it rearrange them
    stepped = step.rearrange(Dataset(kept))
    records += stepped.records
    return passed, list(stepped.dataset)


def _failed(records: Iterable[Record], n: int) -> int:
    """Count the blocks, of n, that failed in a step: all that a record names, or the batch."""
    return min(n, sum(len(r.names) for r in records if r.status is Status.FAILED))


def _lasting(dataset: list[DataBatch]) -> tuple[Bunch, ...] | None:
    """Return the batches as they are now if their pixels lie in FITS files; None otherwise."""
    images = [block for batch in dataset for block in batch if isinstance(block, Image)]
    if not all(isinstance(image.pixels, FitsPixels | FitsFilePixels) for image in images):
        return None
    return tuple(Bunch.of(batch) for batch in dataset)


def _pack_batch(batch: DataBatch, files: list[Path]) -> Bunch:
    for block in batch:
        if isinstance(block, Image):
            pack_image(block, files)
    return Bunch.of(batch)
