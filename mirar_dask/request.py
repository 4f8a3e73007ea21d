"""From settings to a request that makes sense: its pipeline is there, its night has frames."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from mirar_dask.config import NightFolders, NightSettings, check_raw_folder, resolve_folders
from mirar_dask.errors import NothingToDoError, UsageError

if TYPE_CHECKING:
    from mirar_dask.cluster.spec import ClusterSpec
    from mirar_dask.pipelines.base_pipeline import Pipeline
    from mirar_dask.processors.base_processor import BaseProcessor


class NightOptions(TypedDict, total=False):
    """What can be asked for beside the pipeline; each has a default."""

    raw: str | Path | None
    """Folder that holds the night's frames."""
    night: str | None
    """Name of the night; with `raw` it defaults to that folder's name."""
    out: str | Path | None
    """Output folder; ``OUTPUT_DATA_DIR`` by default."""
    configuration: str | Iterable[str]
    """Configurations of the pipeline, one after the other; ``default`` by default."""
    instrument: str | Path | None
    """TOML file that describes the camera."""
    parameters: Mapping[str, Any]
    """Parameters of steps, ``{"flat.missing": "skip"}``."""
    calibrations: Iterable[str | Path]
    """Folders with calibration frames or masters of other nights."""
    cluster: str | None
    """``local`` (default), ``serial``, ``threads``, the address of a Dask scheduler, a scheduler
    file, ``slurm`` or another queue system, ``ssh:HOST,HOST``."""
    workers: int | None
    """Number of workers to start; by default what suits the machine."""
    memory: str | None
    """Memory of each worker, such as ``4GB``; by default what suits the machine."""
    cluster_settings: Mapping[str, Any]
    """The other options of a cluster, ``{"queue": "short", "walltime": "2h"}``: fields of
    `mirar_dask.cluster.ClusterSpec`."""
    cluster_config: str | Path | None
    """TOML file with a table ``[cluster]``."""
    cache: str
    """Where pixels are kept between tasks: ``on`` (default), ``off``, or a shared folder."""
    memory_check: bool
    """Whether a plan whose largest task does not fit is refused (default)."""
    fail_fast: bool
    """Whether nothing new is begun after the first failure; by default the rest goes on."""
    skip_existing: bool
    """Whether what earlier runs of the night did, and nothing changed, is not done again."""
    clobber: bool
    """Whether masters that earlier runs left are made again; by default they are used."""
    on_end: str | None
    """Command that is called at the end, with the summary: see ``docs/alarms.md``."""
    email: str | Iterable[str]
    """Addresses that are told of the end."""


def request_night(
    pipeline: str | type[Pipeline] = "imager", **options: Unpack[NightOptions]
) -> Request:
    """Make a request from what a notebook or a script asks for.

    Parameters
    ----------
    pipeline : str or subclass of Pipeline
        A registered name, ``file.py:Name``, ``package.module:Name``, or the class itself.
    **options
        See `NightOptions`.

    Raises
    ------
    UsageError
        If something that was named is not there.
    NothingToDoError
        If the night has no frames.
    """
    return prepare(night_settings(pipeline, **options))


def night_settings(
    pipeline: str | type[Pipeline] = "imager", **options: Unpack[NightOptions]
) -> NightSettings:
    """Turn the options of a notebook or a script into settings.

    Raises
    ------
    UsageError
        If there is no such option.
    """
    values: dict[str, Any] = dict(options)
    for name in ("raw", "out", "instrument", "cluster_config"):
        if values.get(name) is not None:
            values[name] = Path(values[name])
    chosen = values.pop("configuration", "default")
    values["configurations"] = (chosen,) if isinstance(chosen, str) else tuple(chosen)
    values["calibrations"] = tuple(Path(folder) for folder in values.get("calibrations", ()))
    told = values.get("email", ())
    values["email"] = (told,) if isinstance(told, str) else tuple(told)
    unknown = sorted(values.keys() - NightSettings.__dataclass_fields__.keys())
    if unknown:
        known = ", ".join(sorted(NightOptions.__annotations__))
        raise UsageError(f"there is no option {unknown[0]!r}; there are {known}")
    return NightSettings(pipeline=pipeline, **values)


@dataclass(frozen=True)
class Request:
    """A request that was found to make sense: it can be planned and run."""

    settings: NightSettings
    pipeline: Pipeline
    folders: NightFolders
    cluster: ClusterSpec

    @property
    def title(self) -> str:
        """What is reduced, in two words."""
        return f"{self.pipeline.name} {self.folders.night}"


def prepare(settings: NightSettings, *, to_come: bool = False) -> Request:
    """Find pipeline and folders of a request, and make sure that there are frames.

    Parameters
    ----------
    settings : NightSettings
        What was asked for.
    to_come : bool
        Whether the frames are still to come, so that none need be there.

    Raises
    ------
    UsageError
        If something that was named is not there.
    NothingToDoError
        If the night has no frames.
    """
    from mirar_dask.paths import use_roots
    from mirar_dask.registry import load_pipeline

    cluster = settings.resolve_cluster().spec
    kind = load_pipeline(settings.pipeline)
    folders = resolve_folders(settings, pipeline=kind.name)
    with use_roots(folders.roots):
        pipeline = _create(kind, settings, folders.night)
        for name in settings.configurations:
            steps = pipeline.set_configuration(name)
            if name == settings.configurations[0] and not to_come:
                _check_frames(steps, folders)
    return Request(settings, pipeline, folders, cluster)


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
