"""What the headers of new frames tell: read once each, when the frames arrive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.engine.opening import Opened, fit_night, read_night
from mirar_dask.engine.types import Bunch, Handle, RunSettings
from mirar_dask.errors import ImageNotFoundError
from mirar_dask.paths import (
    DITHER_N_KEY,
    EXPTIME_KEY,
    FILTER_KEY,
    MAX_DITHER_KEY,
    OBSCLASS_KEY,
    TARGET_KEY,
)
from mirar_dask.processors.base.forms import Form, Regroup
from mirar_dask.processors.base.outcome import Record, Row, Status
from mirar_dask.processors.base_processor import BaseImageLoader, BaseProcessor
from mirar_dask.processors.header_words import CALIBRATIONS
from mirar_dask.watching.dithers import Place, place_of
from mirar_dask.watching.sightings import Arrival


@dataclass(frozen=True)
class Frame:
    """A frame that has arrived, and what its header tells."""

    arrival: Arrival
    handles: tuple[Handle, ...] = ()
    """Its images, their pixels not read; none if the loader reads pixels."""
    kind: str = ""
    """``bias``, ``dark``, ``flat``, or what else OBSCLASS says; empty if it has no image."""
    filter: str = ""
    place: Place | None = None
    """In its set of dithers."""
    records: tuple[Record, ...] = ()
    """What the loader, and steps that look at headers, said of it."""
    rows: Mapping[int, tuple[Row, ...]] = field(default_factory=dict)
    """For the tables of steps that look at headers."""

    @property
    def name(self) -> str:
        """Name of its file."""
        return self.arrival.name

    @property
    def is_calibration(self) -> bool:
        """Whether others are calibrated with it."""
        return self.kind in CALIBRATIONS

    @property
    def sort(self) -> tuple[str, str]:
        """What it calibrates: flats count by filter."""
        return self.kind, self.filter if self.kind == "flat" else ""

    @property
    def failure(self) -> Record | None:
        """Why it could not be loaded, if that is so."""
        return next((r for r in self.records if r.status is Status.FAILED), None)


class Headers:
    """Reads frames by the first steps of a configuration, and puts together what a run begins with.

    Parameters
    ----------
    steps : sequence of BaseProcessor
        The configuration.
    settings : RunSettings
        Of the run.
    folder : Path
        Of the frames.
    """

    def __init__(self, steps: Sequence[BaseProcessor], settings: RunSettings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        loader = steps[0] if steps else None
        self.reads_pixels = not isinstance(loader, BaseImageLoader) or not loader.headers_only
        self.alone = 1 + len(list(takewhile(_looks_at_headers, steps[1:])))
        """Number of steps that a frame can pass alone, the loader included."""

    def read(self, steps: Sequence[BaseProcessor], arrivals: Iterable[Arrival]) -> list[Frame]:
        """Read the headers of frames, in the order of their names."""
        loader, rest = steps[0], steps[1 : self.alone]
        paths: dict[str, Path] = {}
        assert isinstance(loader, BaseImageLoader)
        with suppress(ImageNotFoundError):
            paths = {path.name: path for path in loader.list_inputs()}
        found = []
        for arrival in sorted(arrivals, key=lambda arrival: arrival.name):
            path = paths.get(arrival.name)
            if path is None and not (self.folder / arrival.name).exists():
                continue  # it went away meanwhile
            if path is None:
                why = "the loader of the pipeline passes it over"
                passed = Record((arrival.name,), Status.SET_ASIDE, loader.step_name, why)
                found.append(Frame(arrival, records=(passed,)))
                continue
            # One at a time: what is said of it, and its rows, are its own then.
            done = loader.gather_loaded([loader.load_file(path)])
            batch = ImageBatch() if done.batch is None else done.batch
            one = read_night(rest, Dataset([batch] if len(batch) else []), self.settings)
            found.append(self._frame(arrival, one, tuple(done.records)))
        return found

    def _frame(self, arrival: Arrival, opened: Opened, loaded: tuple[Record, ...]) -> Frame:
        handles = tuple(h for batch in opened.dataset for h in Bunch.of(batch).members)
        rows = {1 + step: tuple(rows) for step, rows in opened.rows.items() if rows}
        records = (*loaded, *opened.records)
        first = handles[0] if handles else None
        if first is None:
            return Frame(arrival, records=records, rows=rows)

        def get(key: str) -> Any:
            return first.get(key)

        keys = (TARGET_KEY, FILTER_KEY, EXPTIME_KEY, DITHER_N_KEY, MAX_DITHER_KEY)
        header = {key: get(key) for key in keys if get(key) is not None}
        return Frame(
            arrival,
            () if self.reads_pixels else handles,
            str(get(OBSCLASS_KEY) or "science").lower(),
            str(get(FILTER_KEY) or ""),
            place_of(header),
            records,
            rows,
        )

    def opened(self, steps: Sequence[BaseProcessor], frames: Iterable[Frame]) -> Opened | None:
        """Put frames together to the beginning of a run; None if the run must load them itself."""
        if self.reads_pixels:
            return None
        members = sorted(frames, key=lambda frame: frame.name)
        images: Any = [handle.open() for frame in members for handle in frame.handles]
        batches = [ImageBatch(images)] if images else []
        # Steps that look at the headers of all images together, a search for calibrations say.
        joint = read_night(steps[self.alone :], Dataset(batches), self.settings)
        rows = {self.alone + step: found for step, found in joint.rows.items()}
        for frame in members:
            for step, own in frame.rows.items():
                rows[step] = [*rows.get(step, ()), *own]
        night = Opened(
            tuple(steps),
            self.alone + joint.next_step,
            joint.dataset,
            joint.records,
            rows,
            tuple(frame.name for frame in members),
        )
        return fit_night(night, self.settings)


def _looks_at_headers(step: BaseProcessor) -> bool:
    """Whether a step looks at the header of one image at a time, and does nothing else."""
    return step.headers_only and step.form is Form.IMAGE and step.regroup is Regroup.NONE


def first_joint(steps: Sequence[BaseProcessor]) -> int:
    """Number of the first step that looks at the pixels of a batch as a whole, such as stacking."""
    joint = (n for n, step in enumerate(steps) if step.form is Form.BATCH and not step.headers_only)
    return next(joint, len(steps))
