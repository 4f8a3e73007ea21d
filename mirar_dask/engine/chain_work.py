"""What a worker does with images that go through the same links, one after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirar_dask.atomic import noting_written
from mirar_dask.data import Image, ImageBatch
from mirar_dask.engine.bench import Bench
from mirar_dask.engine.pack import Pack
from mirar_dask.engine.stage_log import StageLog
from mirar_dask.engine.stopwatch import Stopwatch
from mirar_dask.engine.travel import pack_image
from mirar_dask.engine.types import ChainItem, ChainWork, Outcome, Stage
from mirar_dask.errors import ProcessorError
from mirar_dask.processors.base.blocks import names_of
from mirar_dask.processors.base.core import CONTAINED
from mirar_dask.processors.base.outcome import Record, Row, Status
from mirar_dask.processors.base_processor import (
    BaseImageProcessor,
    BaseProcessor,
    ProcessorWithCache,
)


def do_chain(work: ChainWork, bench: Bench, number: int) -> Outcome:
    """Take images through their links; each fails alone.

    Images that are not begun in time are left; the driver may ask for others back meanwhile.

    Parameters
    ----------
    work : ChainWork
        Images and links.
    bench : Bench
        Where it is done.
    number : int
        Number of the task, by which the driver asks.
    """
    pack = bench.packs[number] = Pack(work.items, work.seconds)
    contexts = {name: bench.contexts.get(name, packed) for name, packed in work.contexts.items()}
    chain = _Chain(work, bench, contexts)
    try:
        for item in pack:
            if work.stages:
                chain.do_and_note(item)
            else:
                chain.do(item)
    finally:
        bench.packs.pop(number, None)
    done = {*chain.images, *chain.failed_after}
    chain.left = tuple(p for item in work.items if (p := item.position) not in done)
    return chain.outcome()


@dataclass
class _Chain:
    """The work, and what has come of it so far."""

    work: ChainWork
    bench: Bench
    contexts: dict[str, Any]
    watch: Stopwatch = field(default_factory=Stopwatch)
    images: dict[int, Any] = field(default_factory=dict)
    scales: dict[tuple[int, int], float] = field(default_factory=dict)
    failed_after: dict[int, int] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    rows: dict[tuple[int, int], list[Row]] = field(default_factory=dict)
    """By (step, position)."""
    files: list[Path] = field(default_factory=list)
    left: tuple[int, ...] = ()
    stages: dict[int, tuple[Stage, ...]] = field(default_factory=dict)
    log: StageLog | None = None
    """Of the image that is on its way."""

    def do_and_note(self, item: ChainItem) -> None:
        """Do one image, and tell what it was on its way."""
        with noting_written() as paths:
            self.log = StageLog(item.position, self.records, self.rows, paths)
            self.do(item)
        if item.position in self.images:
            self.log.note(len(self.work.links), None)
            self.stages[item.position] = tuple(self.log.stages)

    def do(self, item: ChainItem) -> None:
        """Take one image through the links, measure it and pack it."""
        done, image = self._pass_links(item)
        if image is None:
            self.failed_after[item.position] = done
            return
        links = self.work.links
        last = links[-1].step if links else item.measures[0] if item.measures else 0
        with self.watch.timing(last, 0):
            try:
                for step in item.measures:
                    self.scales[item.position, step] = self._measure(self.bench.steps[step], image)
                if item.for_bands and not image.pixels.rows_readable:
                    image.set_data(image.get_data())
                handle = pack_image(image, self.files, computed=item.for_bands)
                self.images[item.position] = handle
            except CONTAINED as exc:
                self.records.append(self.bench.steps[last].failure(exc, names_of(image)))
                self.failed_after[item.position] = done

    def _pass_links(self, item: ChainItem) -> tuple[int, Image | None]:
        """Return the number of links passed, and the image; None if it failed at the next."""
        image: Image | None = item.image.open()
        for done, link in enumerate(self.work.links):
            step = self.bench.steps[link.step]
            assert image is not None
            if link.history_only:
                step.write_history(image)
                continue
            assert isinstance(step, BaseImageProcessor)
            with self.watch.timing(link.step, 1):
                name = link.context or ""
                used = self.work.keys.get(name, "")
                image, new = step.process_image(image, self.contexts.get(name), used)
            self.records += new
            if image is None:
                self.watch.add(link.step, 0.0, -1)  # it did not pass
                return done, None
            if found := step.collect_rows(ImageBatch([image]), self.records):
                self.rows.setdefault((link.step, item.position), []).extend(found)
            if self.log is not None and step.writes_products and done + 1 < len(self.work.links):
                self.log.note_product(done + 1, image)
        return len(self.work.links), image

    def _measure(self, step: BaseProcessor, image: Image) -> float:
        """Measure a frame of a master; NaN for one that cannot go into it."""
        assert isinstance(step, ProcessorWithCache)
        try:
            return float(step.frame_scale(image))
        except ProcessorError as exc:
            why = f"left out of the master {step.base_key}: {exc}"
            self.records.append(Record(names_of(image), Status.CAVEATS, step.step_name, why))
            return math.nan

    def outcome(self) -> Outcome:
        """Return what came of all images."""
        return Outcome(
            images=self.images,
            failed_after=self.failed_after,
            left=self.left,
            scales=self.scales,
            records=tuple(self.records),
            rows=tuple((*place, tuple(found)) for place, found in self.rows.items()),
            times=self.watch.times(),
            files=tuple(self.files),
            stages=self.stages,
        )
