"""What a worker does to make a context: bands of a master, a master, what `prepare` returns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mirar_dask.atomic import noting_written
from mirar_dask.data import Image, ImageBatch, ImageHandle, MemoryPixels
from mirar_dask.data.pixels import keep
from mirar_dask.engine.bench import Bench
from mirar_dask.engine.travel import PackedArray, marks_of, pack, unpack
from mirar_dask.engine.types import BandWork, MasterWork, Outcome, PrepareWork, StepTime
from mirar_dask.processors.base.core import CONTAINED
from mirar_dask.processors.base.outcome import Record, Status, collect_caveats
from mirar_dask.processors.base_processor import (
    BaseImageProcessor,
    BaseProcessor,
    ProcessorWithCache,
)
from mirar_dask.processors.utils.image_saver import back_by_product


def do_band(work: BandWork, bench: Bench) -> Outcome:
    """Combine some rows of the frames of a master."""
    start = time.perf_counter()
    files: list[Path] = []
    band = _combine(work, bench, slice(work.start, work.stop))
    packed = pack(band, files)
    if isinstance(packed, PackedArray):
        bench.last_band = packed.pixels.path, band
    seconds = time.perf_counter() - start
    return Outcome(context=packed, times=(StepTime(work.step, seconds, 0),), files=tuple(files))


def do_master(work: MasterWork, bench: Bench) -> Outcome:
    """Finish a master and save it."""
    step = bench.steps[work.step]
    assert isinstance(step, ProcessorWithCache)

    def make() -> Image:
        data = _join(work.bands, bench) if work.bands else _combine(work, bench)
        frames = ImageBatch([frame.open() for frame in work.frames])
        master = step.keep_master(step.finish_master(frames, data), work.path)
        if step.write_to_cache and step.overwrite:
            back_by_product(master, work.path)  # no second copy in the cache
        return master

    def keep_here(master: Image, handle: ImageHandle) -> None:
        if work.context and not isinstance(handle.pixels, MemoryPixels):
            kept = Image(keep(handle.pixels, master.view_data()), master.get_header())
            bench.contexts.put(work.context, handle, kept)

    with noting_written() as paths:
        outcome = _context(step, work.step, make, keep_here)
    return replace(outcome, written=marks_of(paths))


def _join(bands: Sequence[Any], bench: Bench) -> np.ndarray:
    """Read the bands of a master, one after the other, to where they belong."""
    if not all(isinstance(band, PackedArray) for band in bands):
        return np.concatenate([unpack(band) for band in bands])
    pixels = [band.pixels for band in bands]
    rows = sum(each.shape[0] for each in pixels)
    data = np.empty((rows, *pixels[0].shape[1:]), pixels[0].dtype)
    known, bench.last_band = bench.last_band, None
    start = 0
    for each in pixels:
        stop = start + each.shape[0]
        if known is not None and known[0] == each.path:
            data[start:stop] = known[1]
        else:
            each.read_into(data[start:stop])
        start = stop
    return data


def do_prepare(work: PrepareWork, bench: Bench) -> Outcome:
    """Run `prepare` on a batch."""
    step = bench.steps[work.step]
    assert isinstance(step, BaseImageProcessor)

    def make() -> Any:
        batch = work.batch.open()
        assert isinstance(batch, ImageBatch)
        return step.prepare(batch)

    with noting_written() as paths:
        outcome = _context(step, work.step, make)
    return replace(outcome, written=marks_of(paths))


def _combine(work: BandWork | MasterWork, bench: Bench, rows: slice | None = None) -> np.ndarray:
    from mirar_dask.processors.combine import combine_frames

    step = bench.steps[work.step]
    assert isinstance(step, ProcessorWithCache)
    return combine_frames(
        [frame.pixels for frame in work.frames],
        list(work.scales),
        method=step.method,
        sigma=step.sigma,
        max_iterations=step.max_iterations,
        rows=rows,
    )


def _context(
    step: BaseProcessor,
    place: int,
    make: Callable[[], Any],
    then: Callable[[Any, Any], None] = lambda made, packed: None,
) -> Outcome:
    """Make a context; a failure is one record without names: who is blocked the driver knows."""
    start = time.perf_counter()
    files: list[Path] = []
    records: list[Record] = []
    packed, failed = None, False
    with collect_caveats() as caveats:
        try:
            made = make()
            packed = pack(made, files)
            then(made, packed)
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
