"""The composition root: a request becomes pipeline, cluster and engine, and ends as a summary.

The command line and notebooks call it; nothing below knows of it.
"""

from __future__ import annotations

import inspect
import logging
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirar_dask.config import (
    NightFolders,
    NightSettings,
    check_output_folder,
    check_raw_folder,
    resolve_folders,
)
from mirar_dask.errors import NothingToDoError, UsageError

if TYPE_CHECKING:
    from mirar_dask.engine.plan import Plan
    from mirar_dask.engine.types import Listener, RunResult
    from mirar_dask.monitoring.report import RunSummary
    from mirar_dask.pipelines.base_pipeline import Pipeline
    from mirar_dask.processors.base_processor import BaseProcessor

logger = logging.getLogger(__name__)

RUNS = "runs"
"""Folder, inside the night's output folder, of the runs' own folders."""


def reduce_night(
    pipeline: str | type[Pipeline] = "imager",
    *,
    raw: str | Path | None = None,
    night: str | None = None,
    out: str | Path | None = None,
    configuration: str | Iterable[str] = "default",
    instrument: str | Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    calibrations: Iterable[str | Path] = (),
    cluster: str = "local",
    workers: int | None = None,
    memory: str | None = None,
    memory_check: bool = True,
    fail_fast: bool = False,
    listeners: Iterable[Listener] = (),
) -> RunSummary:
    """Reduce a night, as ``mirar-dask run`` does.

    Parameters
    ----------
    pipeline : str or subclass of Pipeline
        A registered name, ``file.py:Name``, ``package.module:Name``, or the class itself.
    raw : path, optional
        Folder that holds the night's frames.
    night : str, optional
        Name of the night; with `raw` it defaults to that folder's name.
    out : path, optional
        Output folder; ``OUTPUT_DATA_DIR`` by default.
    configuration : str or list of str
        Configurations of the pipeline, one after the other.
    instrument : path, optional
        TOML file that describes the camera.
    parameters : dict, optional
        Parameters of steps, ``{"flat.missing": "skip"}``.
    calibrations : list of paths
        Folders with calibration frames or masters of other nights.
    cluster : str
        ``serial``, ``threads``, ``local`` or the address of a Dask scheduler.
    workers : int, optional
        Number of workers to start.
    memory : str, optional
        Memory of each worker, such as ``4GB``.
    memory_check : bool
        Refuse a plan whose largest task does not fit.
    fail_fast : bool
        Begin nothing new after the first failure.
    listeners : list of callables
        Each is called with every event of the run.

    Returns
    -------
    RunSummary
        What became of each frame, the products, the failures, the times.

    Raises
    ------
    UsageError
        If the request cannot be carried out as it stands.
    NothingToDoError
        If no frame could be read.
    """
    settings = NightSettings(
        pipeline=pipeline,
        raw=_path(raw),
        night=night,
        out=_path(out),
        configurations=(configuration,) if isinstance(configuration, str) else (*configuration,),
        instrument=_path(instrument),
        parameters=dict(parameters or {}),
        calibrations=tuple(Path(folder) for folder in calibrations),
        cluster=cluster,
        workers=workers,
        memory=memory,
        memory_check=memory_check,
        fail_fast=fail_fast,
    )
    return run_night(prepare(settings), listeners=listeners)


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


@dataclass(frozen=True)
class Request:
    """A request that was found to make sense: it can be planned and run."""

    settings: NightSettings
    pipeline: Pipeline
    folders: NightFolders

    @property
    def title(self) -> str:
        """What is reduced, in two words."""
        return f"{self.pipeline.name} {self.folders.night}"


def prepare(settings: NightSettings) -> Request:
    """Find pipeline and folders of a request, and make sure that there are frames.

    Raises
    ------
    UsageError
        If something that was named is not there.
    NothingToDoError
        If the night has no frames.
    """
    from mirar_dask.paths import use_roots
    from mirar_dask.registry import load_pipeline

    kind = load_pipeline(settings.pipeline)
    folders = resolve_folders(settings, pipeline=kind.name)
    with use_roots(folders.roots):
        pipeline = _create(kind, settings, folders.night)
        for name in settings.configurations:
            steps = pipeline.set_configuration(name)
            if name == settings.configurations[0]:
                _check_frames(steps, folders)
    return Request(settings, pipeline, folders)


def _create(kind: type[Pipeline], settings: NightSettings, night: str) -> Pipeline:
    """Make a pipeline of a class, which need not know of instruments and parameters."""
    known = inspect.signature(kind).parameters
    arguments: dict[str, Any] = {
        "selected_configurations": list(settings.configurations),
        "night": night,
    }
    for option, name, value in (
        ("--instrument", "instrument", settings.instrument),
        ("--set", "settings", dict(settings.parameters)),
        ("--calibrations", "calibrations", settings.calibrations),
    ):
        if not value:
            continue
        if name not in known:
            raise UsageError(
                f"pipeline '{kind.name}' does not know {option}; leave it out, or let the "
                f"pipeline's constructor take '{name}'"
            )
        arguments[name] = value
    return kind(**arguments)


def _check_frames(steps: list[BaseProcessor], folders: NightFolders) -> None:
    """Make sure that the loader, if there is one, finds files."""
    from mirar_dask.processors.base_processor import BaseImageLoader

    if not steps or not isinstance(steps[0], BaseImageLoader):
        return
    try:
        if steps[0].list_inputs():
            return
        reason = f"no frames were found in {folders.raw}"
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        check_raw_folder(folders)  # a better reason, if the folder is the matter
        reason = " ".join(str(error).split())
    raise NothingToDoError(f"{reason}; name the folder that holds the night's FITS files")


def plan_night(request: Request) -> Plan:
    """Find out what a request would do, reading headers only.

    Where it has several configurations, the first is planned: what the others work on is known
    when it has run.

    Raises
    ------
    NothingToDoError
        If there is no frame to reduce.
    """
    from mirar_dask.data import Dataset, ImageBatch
    from mirar_dask.engine.plan import plan
    from mirar_dask.engine.types import RunSettings
    from mirar_dask.paths import use_roots

    roots, pipeline = request.folders.roots, request.pipeline
    with use_roots(roots):
        steps = pipeline.set_configuration(request.settings.configurations[0])
        settings = RunSettings(roots=roots, adapt=pipeline.adapt)
        return plan(steps, Dataset([ImageBatch()]), settings)


@dataclass
class _Progress:
    """What came out of the configurations so far."""

    frames: dict[str, Any] = field(default_factory=dict)
    records: list[Any] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)

    def add(self, result: RunResult) -> None:
        """Take in the result of one more configuration."""
        from mirar_dask.monitoring.state import FAILURES

        for name, status in result.frames.items():
            if self.frames.get(name) not in FAILURES:  # failed once is failed
                self.frames[name] = status
        self.records += result.records
        for name, seconds in result.phases.items():
            self.phases[name] = self.phases.get(name, 0.0) + seconds


def run_night(request: Request, *, listeners: Iterable[Listener] = ()) -> RunSummary:
    """Carry a request out.

    Parameters
    ----------
    request : Request
        From `prepare`.
    listeners : list of callables
        Each is called with every event of the run.

    Raises
    ------
    UsageError
        If the output folder cannot be written, or the cluster cannot be had.
    NothingToDoError
        If no frame could be read.
    """
    from mirar_dask.cluster import ClusterSpec, connect
    from mirar_dask.data import Dataset, ImageBatch
    from mirar_dask.engine.types import RunSettings
    from mirar_dask.errors import ErrorStack
    from mirar_dask.monitoring.report import RunSummary
    from mirar_dask.paths import use_roots

    settings, folders, pipeline = request.settings, request.folders, request.pipeline
    spec = ClusterSpec.parse(settings.cluster, workers=settings.workers, memory=settings.memory)
    check_output_folder(folders)
    started, began = datetime.now(UTC), time.perf_counter()
    run_id = f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    run_folder = folders.output / RUNS / run_id
    run_folder.mkdir(parents=True, mode=0o700)
    before = _files(folders.output)
    progress, errors, workers = _Progress(), ErrorStack(), [1]

    def count_workers(event: Any) -> None:
        workers[0] = max(workers[0], getattr(event, "workers", 0))

    with ExitStack() as stack:
        stack.enter_context(_log_to(run_folder / "log.txt"))
        stack.enter_context(use_roots(folders.roots))
        stack.enter_context(_telling_where(run_folder))
        pipeline.set_up_pipeline()
        engine = stack.enter_context(connect(spec))
        progress.phases["start"] = time.perf_counter() - began
        dataset = Dataset([ImageBatch()])
        for number, name in enumerate(settings.configurations, start=1):
            last = number == len(settings.configurations)
            result = engine.run(
                pipeline.set_configuration(name),
                dataset,
                RunSettings(
                    run_id=run_id,
                    roots=folders.roots,
                    cache_dir=run_folder / "cache",
                    keep_results=not last,
                    fail_fast=settings.fail_fast,
                    listeners=(count_workers, *listeners),
                    adapt=pipeline.adapt,
                    check_memory=settings.memory_check,
                ),
            )
            progress.add(result)
            dataset, errors = result.dataset, errors + result.errors
            if not len(dataset) or (settings.fail_fast and errors.reports):
                break
        ending = time.perf_counter()
    progress.phases["stop"] = time.perf_counter() - ending
    products = tuple(sorted(path for path, mark in _files(folders.output) - before))
    with use_roots(folders.roots):
        path = pipeline.get_error_output_path()
    errors.summarise_error_stack(path)
    errors.summarise_error_stack_tsv(path.with_suffix(".tsv"))
    summary = RunSummary(
        run_id=run_id,
        pipeline=pipeline.name,
        night=folders.night,
        configurations=settings.configurations,
        cluster=settings.cluster,
        workers=workers[0],
        started=started,
        seconds=time.perf_counter() - began,
        raw=folders.raw,
        output=folders.output,
        run_folder=run_folder,
        frames=progress.frames,
        records=tuple(progress.records),
        products=products,
        phases=progress.phases,
    )
    summary.save(run_folder / "summary.json")
    return summary


def _files(folder: Path) -> set[tuple[Path, tuple[int, int, int]]]:
    """Return the files of a night that are nobody's working files, with what tells a rewrite."""
    found = set()
    for place, folders, names in os.walk(folder):
        at = Path(place)
        folders[:] = [name for name in folders if not (at == folder and name == RUNS)]
        for name in names:
            if not name.startswith("."):
                stat = (at / name).stat()
                found.add((at / name, (stat.st_ino, stat.st_mtime_ns, stat.st_size)))
    return found


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Write the package's log messages, and warnings, to a file."""
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    package = logging.getLogger("mirar_dask")
    before = package.level
    if package.getEffectiveLevel() > logging.INFO:
        package.setLevel(logging.INFO)
    package.addHandler(handler)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(before)
        handler.close()


@contextmanager
def _telling_where(run_folder: Path) -> Iterator[None]:
    """Let an interruption say what it leaves, and where."""
    try:
        yield
    except KeyboardInterrupt as error:
        error.add_note(f"What was finished is in {run_folder.parent.parent}, whole")
        raise
