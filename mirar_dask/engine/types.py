"""The contract of the engine: what travels to a worker, what comes back, what a run is given.

What it announces meanwhile is in `events`.

Everything here is a small frozen value that pickles. Processors never travel in it: a step is an
index into the run's list of steps, which every worker gets once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mirar_dask.data import (
    DataBatch,
    Dataset,
    ImageBatch,
    ImageHandle,
    SourceBatch,
    SourceHandle,
)
from mirar_dask.data.metering import Meter
from mirar_dask.engine.events import Event, Listener
from mirar_dask.errors import ErrorStack
from mirar_dask.paths import Roots
from mirar_dask.processors.base.outcome import Record, Row, Status
from mirar_dask.processors.base.trouble import Trouble
from mirar_dask.processors.base_processor import BaseProcessor

if TYPE_CHECKING:
    from mirar_dask.engine.memo import Memo

Handle = ImageHandle | SourceHandle
"""A block without its pixels: what travels."""


# -- what a task is ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bunch:
    """A batch on its way: handles of its blocks."""

    members: tuple[Handle, ...]
    is_sources: bool = False

    @classmethod
    def of(cls, batch: DataBatch) -> Bunch:
        """Take the handles of the blocks of a batch."""
        return cls(tuple(block.handle() for block in batch), isinstance(batch, SourceBatch))

    def open(self) -> DataBatch:
        """Make a batch, with blocks of its own, of the handles."""
        kind: type[DataBatch] = SourceBatch if self.is_sources else ImageBatch
        return kind([handle.open() for handle in self.members])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the raw frames behind the blocks."""
        return tuple(dict.fromkeys(name for member in self.members for name in member.names))


@dataclass(frozen=True, slots=True)
class Link:
    """One step in the chain of an image."""

    step: int
    context: str | None = None
    """Name of the context that the step is given."""
    history_only: bool = False
    """The step leaves the image as it is; only its history says that it passed."""


@dataclass(frozen=True, slots=True)
class ChainItem:
    """An image and what shall be measured on it at the end of its links."""

    position: int
    """Place of the image in its batch."""
    image: ImageHandle
    measures: tuple[int, ...] = ()
    """Steps whose `frame_scale` is measured at the end."""
    for_bands: bool = False
    """Bands of rows will be read of it afterwards."""


@dataclass(frozen=True, slots=True)
class LoadWork:
    """Load files into images."""

    step: int
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class ChainWork:
    """Take images, one after the other, through the same links."""

    links: tuple[Link, ...]
    items: tuple[ChainItem, ...]
    contexts: dict[str, Any]
    """Packed contexts by name."""
    keys: dict[str, str] = field(default_factory=dict)
    """What they stand for in the history of the images, by name."""
    stages: bool = False
    """Tell what each image was on its way."""
    seconds: float = math.inf
    """No image is begun after so many seconds: the task gives those that are left back."""

    @property
    def places(self) -> tuple[int, ...]:
        """Steps that do something to the images."""
        return tuple(link.step for link in self.links if not link.history_only)


@dataclass(frozen=True, slots=True)
class BandWork:
    """Combine some rows of the frames of a master."""

    step: int
    frames: tuple[ImageHandle, ...]
    scales: tuple[float, ...]
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class MasterWork:
    """Finish a master: from combined bands, or combining its frames here."""

    step: int
    frames: tuple[ImageHandle, ...]
    scales: tuple[float, ...]
    bands: tuple[Any, ...]
    """Packed arrays, in the order of their rows; none to combine here."""
    path: Path
    context: str = ""
    """Name under which it will be used."""


@dataclass(frozen=True, slots=True)
class PrepareWork:
    """Run `prepare` on a batch."""

    step: int
    batch: Bunch


@dataclass(frozen=True, slots=True)
class BatchWork:
    """Take one batch through a step and those behind it that need nothing from elsewhere."""

    step: int
    stop: int
    """First step that is not to be run."""
    batch: Bunch
    checkpoints: bool = False
    """Tell what the batch is after each step."""


@dataclass(frozen=True, slots=True)
class RegroupWork:
    """Run the `update_dataset` of a step on all batches."""

    step: int
    batches: tuple[Bunch, ...]


@dataclass(frozen=True, slots=True)
class TrialWork:
    """Try one image of work that was lost, to no effect."""

    work: Work
    member: int
    """Number of the image."""

    @property
    def step(self) -> int:
        """Step that the work concerns."""
        return 0 if isinstance(self.work, ChainWork | TrialWork) else self.work.step


Work = (
    LoadWork | ChainWork | BandWork | MasterWork | PrepareWork | BatchWork | RegroupWork | TrialWork
)


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work with what the driver needs to place it."""

    label: str
    """Names of its steps: Dask's dashboard groups and colours by it."""
    number: int
    """Counts the tasks of a run."""
    work: Work
    names: tuple[str, ...]
    """Raw frames that it concerns."""
    memory: int
    """Estimate of the memory that it needs beside an idle worker's, in bytes."""
    urgency: int = 0
    """Higher goes first."""
    limited_by: int | None = None
    """Step whose concurrency limit holds for this task."""
    repeatable: bool = True
    batch: str = ""
    """Name of the batch that it belongs to; empty where it concerns several."""


Rows = tuple[tuple[int, int, tuple[Row, ...]], ...]
"""Rows for the tables of steps: (step, place of their first image in its batch, rows)."""


# -- what comes back --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds that a step took in one task, for so many blocks."""

    step: int
    seconds: float
    n: int


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells that a file is still the one that it was."""

    path: Path
    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Mark | None:
        """Return the mark of a file; None if it is not there."""
        try:
            stat = path.stat()
        except OSError:
            return None
        return cls(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


@dataclass(frozen=True, slots=True)
class Aside:
    """What came of some steps beside the blocks themselves."""

    records: tuple[Record, ...] = ()
    rows: Rows = ()
    written: tuple[Mark, ...] = ()
    """Products."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What an image was at a place of its way through a task."""

    passed: int
    """Number of links passed."""
    image: ImageHandle | None
    """The image, where its pixels lie in a product; None at the end, which is told elsewhere."""
    aside: Aside
    """Of all links passed."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a batch was at its way's end in a task, and before where all of it lay in products."""

    next_step: int
    batches: tuple[Bunch, ...] | None
    """The batches; None at the end of the task, whose outcome has them."""
    aside: Aside


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task: handles, text and numbers only."""

    images: dict[int, ImageHandle] = field(default_factory=dict)
    """Images of a chain that arrived, by their position."""
    failed_after: dict[int, int] = field(default_factory=dict)
    """Number of links that an image passed before it failed, by its position."""
    left: tuple[int, ...] = ()
    """Positions of the images of a chain that were not begun, or were given back meanwhile."""
    scales: dict[tuple[int, int], float] = field(default_factory=dict)
    """What was measured, by (position, step)."""
    batches: tuple[Bunch, ...] = ()
    next_step: int = 0
    """First step that the batches have not seen yet."""
    context: Any = None
    """Packed context, or packed band of a master."""
    failed: bool = False
    """The work as a whole failed: no context, no batches."""
    records: tuple[Record, ...] = ()
    rows: Rows = ()
    times: tuple[StepTime, ...] = ()
    seconds: float = 0.0
    worker: str = ""
    meter: Meter = field(default_factory=Meter)
    """What it read and wrote."""
    files: tuple[Path, ...] = ()
    """Cache files that this outcome brought into being."""
    stages: dict[int, tuple[Stage, ...]] = field(default_factory=dict)
    """Of the images of a chain that arrived, by their position, where they were asked for."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """Of a batch, in the order of the steps, where they were asked for."""
    written: tuple[Mark, ...] = ()
    """A master that was saved."""
    log: tuple[str, ...] = ()
    """Lines that were logged meanwhile."""
    trouble: Trouble | None = None
    """What was wrong with a volume, if something was: then failures may not be the frames'."""


# -- what an engine is ------------------------------------------------------------------------


class Adapter(Protocol):
    """Changes steps and inputs to what the night holds, once its headers are known."""

    def __call__(self, steps: list[BaseProcessor], images: list[Any]) -> Any:
        """Return an `Adaptation`."""


@dataclass(frozen=True)
class RunSettings:
    """What a run is given beside steps and data."""

    run_id: str = "run"
    roots: Roots | None = None
    """Roots of raw and output folders; None for those of the environment."""
    cache_dir: Path | None = None
    """Folder for the run's cache files; None for one below the cache folder of this process."""
    keep_results: bool = True
    """Leave the files behind the returned dataset to the caller."""
    fail_fast: bool = False
    """Begin nothing new after the first failure."""
    stopping: Callable[[], str | None] | None = None
    """Asked again and again; once it gives a reason nothing new is begun, and what is under way
    comes to its end."""
    listeners: tuple[Listener, ...] = ()
    adapt: Adapter | None = None
    frames: Container[str] | None = None
    """Names of the files that are loaded; None for all that the loader finds."""
    opened: Any = None
    """The `Opened` night of a plan of the same steps, so that headers are read once."""
    memo: Memo | None = None
    """What earlier runs of the night have done, and where this one is kept for later ones."""
    check_memory: bool = True
    group_by_group: bool = True
    """Let a merged group go on as soon as it is complete; else when all batches have arrived."""

    def announce(self, event: Event) -> None:
        """Tell every listener."""
        for listener in self.listeners:
            listener(event)


@dataclass(frozen=True)
class RunResult:
    """What a run leaves."""

    dataset: Dataset
    records: tuple[Record, ...]
    frames: dict[str, Status]
    """Status of each raw frame."""
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds by phase."""
    errors: ErrorStack = field(default_factory=ErrorStack)

    def counts(self) -> dict[str, int]:
        """Count the frames by status; the counts add up to the number of frames."""
        found = Counter(self.frames.values())
        return {status.value: found.get(status, 0) for status in Status}


class Engine(Protocol):
    """Takes a dataset through steps."""

    def run(
        self, steps: Sequence[BaseProcessor], dataset: Dataset, settings: RunSettings
    ) -> RunResult:
        """Run the steps; what fails in them is in the result, never raised."""

    def apply(
        self, processors: Sequence[BaseProcessor], dataset: Dataset
    ) -> tuple[Dataset, ErrorStack]:
        """Run the steps and return mirar's pair."""
