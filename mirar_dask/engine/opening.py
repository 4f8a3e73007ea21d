"""The opening of a night: load its images, run what needs headers only, fit the steps to it.

Both engines begin here. Where the loader reads headers only this takes a fraction of a
millisecond a frame and no pixel is read; the plan is made of what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from mirar_dask.data import Dataset, Image, ImageBatch
from mirar_dask.engine.expansion import Foreseen
from mirar_dask.engine.types import Bunch, RunSettings
from mirar_dask.io.names import header_text
from mirar_dask.processors.base.blocks import names_of
from mirar_dask.processors.base.core import CONTAINED
from mirar_dask.processors.base.forms import Form, Regroup
from mirar_dask.processors.base.outcome import Record, Row, Status
from mirar_dask.processors.base_processor import BaseImageLoader, BaseProcessor

Loaded = list[tuple[list[Image], list[Record]]]
Load = Callable[[int, Sequence[Path]], Loaded]
"""Loads files by a step (its number) in some other place than here."""


@dataclass(frozen=True)
class Opened:
    """A night whose images are known."""

    steps: tuple[BaseProcessor, ...]
    """All steps, fitted to the night."""
    next_step: int
    """First step that the images have not seen."""
    dataset: Dataset
    records: tuple[Record, ...]
    rows: dict[int, list[Row]]
    """Rows for the tables of steps that have run."""
    frames: tuple[str, ...]
    """Names of all raw frames, those that could not be loaded included."""
    late: bool = False
    """The loader reads pixels, so nothing is known before it has run."""
    foreseen: Foreseen = field(default_factory=Foreseen, repr=False)
    """What a plan has found out already."""

    @cached_property
    def bunches(self) -> tuple[Bunch, ...]:
        """Handles of the images."""
        return tuple(Bunch.of(batch) for batch in self.dataset)


def open_night(
    steps: Sequence[BaseProcessor],
    dataset: Dataset,
    settings: RunSettings,
    load: Load | None = None,
    *,
    headers_only: bool = False,
) -> Opened:
    """Run the loader and the steps behind it that concern headers only.

    Parameters
    ----------
    steps : sequence of BaseProcessor
        All steps of the run.
    dataset : Dataset
        What is reduced, where the first step is no loader.
    settings : RunSettings
        Gives the adapter that fits the steps to the night.
    load : callable, optional
        Used in place of the loader where that reads pixels.
    headers_only : bool
        Stop before a loader that reads pixels (for a plan).
    """
    opened = read_night(steps, dataset, settings, load, headers_only=headers_only)
    return opened if opened.late else fit_night(opened, settings)


def read_night(
    steps: Sequence[BaseProcessor],
    dataset: Dataset,
    settings: RunSettings,
    load: Load | None = None,
    *,
    headers_only: bool = False,
) -> Opened:
    """Run the loader and what concerns headers only, and leave the steps as they are.

    The parameters are those of `open_night`.
    """
    steps = list(steps)
    records: list[Record] = []
    frames = [name for batch in dataset for name in names_of(batch)]
    place = 0
    if steps and isinstance(steps[0], BaseImageLoader) and steps[0].form is Form.SOURCE:
        loader = steps[0]
        if headers_only and not loader.headers_only:
            return Opened(tuple(steps), 0, dataset, (), {}, tuple(frames), late=True)
        try:
            paths = _wanted(loader.list_inputs(), settings)
        except CONTAINED as exc:
            failed = (loader.failure(exc, ()),)
            return Opened(tuple(steps), 1, Dataset(), failed, {}, ())
        here = loader.headers_only or load is None
        loaded = [loader.load_file(path) for path in paths] if here else load(0, paths)  # type: ignore[misc]
        done = loader.gather_loaded(loaded)
        dataset = Dataset([done.batch] if done.batch is not None and len(done.batch) else [])
        records += done.records
        frames = list(dict.fromkeys([*(header_text(p.name) for p in paths), *_names(dataset)]))
        place = 1
    rows: dict[int, list[Row]] = {}
    while place < len(steps) and _concerns_headers(steps[place]):
        stepped = _step_in_place(steps[place], place, dataset, rows)
        records += stepped[1]
        dataset = stepped[0]
        place += 1
    return Opened(tuple(steps), place, dataset, tuple(records), rows, tuple(frames))


def fit_night(opened: Opened, settings: RunSettings) -> Opened:
    """Fit the steps to the images that are there, and bring in what other nights have.

    Parameters
    ----------
    opened : Opened
        From `read_night`; its images may be those of several of its answers.
    settings : RunSettings
        Gives the adapter.
    """
    steps, place, dataset = list(opened.steps), opened.next_step, opened.dataset
    records, frames = list(opened.records), list(opened.frames)
    if settings.adapt is not None and len(dataset):
        images = [block for batch in dataset for block in batch if isinstance(block, Image)]
        adaptation = settings.adapt(steps[place:], images)
        steps[place:] = adaptation.steps
        if adaptation.extra_images:
            extra = list(adaptation.extra_images)
            dataset = Dataset([ImageBatch([*dataset[0], *extra]), *dataset[1:]])
            frames += [name for image in extra for name in names_of(image)]
        records += [Record((), Status.CAVEATS, "plan", text) for text in adaptation.caveats]
    for number, step in enumerate(steps):
        step.set_preceding_steps(steps[:number])
    for image in (block for batch in dataset for block in batch if isinstance(block, Image)):
        image.own_header()  # parsed, it takes fifty times the memory
    return replace(
        opened,
        steps=tuple(steps),
        dataset=dataset,
        records=tuple(records),
        frames=tuple(frames),
    )


def _wanted(paths: Sequence[Path], settings: RunSettings) -> list[Path]:
    return [p for p in paths if settings.frames is None or p.name in settings.frames]


def _names(dataset: Dataset) -> list[str]:
    return [name for batch in dataset for name in names_of(batch)]


def _concerns_headers(step: BaseProcessor) -> bool:
    return (
        step.headers_only
        and step.form in (Form.IMAGE, Form.BATCH)
        and step.regroup in (Regroup.NONE, Regroup.DROP_EMPTY)
        and step.repeatable
    )


def _step_in_place(
    step: BaseProcessor, place: int, dataset: Dataset, rows: dict[int, list[Row]]
) -> tuple[Dataset, list[Record]]:
    records: list[Record] = []
    batches = []
    for batch in dataset:
        done = step.process(batch)
        records += done.records
        rows.setdefault(place, []).extend(done.rows)
        if done.batch is not None:
            batches.append(done.batch)
    stepped = step.rearrange(Dataset(batches))
    return stepped.dataset, records + stepped.records
