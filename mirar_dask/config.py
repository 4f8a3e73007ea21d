"""What a user asks for, turned from text into values: folders, night, parameters of steps.

Used by the command line and by `mirar_dask.run`. Nothing here reads a frame or makes a folder;
the two `check_` functions alone look at the disk.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirar_dask.errors import NothingToDoError, UsageError
from mirar_dask.paths import (
    OUTPUT_DATA_DIR_VARIABLE,
    RAW_DATA_DIR_VARIABLE,
    RAW_IMG_SUB_DIR,
    Roots,
    safe_component,
)

if TYPE_CHECKING:
    from mirar_dask.alarms import AlarmSettings
    from mirar_dask.cluster.settings import Resolved


@dataclass(frozen=True, kw_only=True)
class NightSettings:
    """One request: which night, by which pipeline, from where to where."""

    pipeline: str | type[Any] = "imager"
    """A registered name, ``file.py:Name``, ``package.module:Name``, or the class itself."""
    raw: Path | None = None
    """Folder that holds the night's frames themselves."""
    night: str | None = None
    """Name of the night; with `raw` it defaults to the folder's name."""
    raw_root: Path | None = None
    """Root of the frames of all nights; defaults to ``RAW_DATA_DIR``, else the home folder."""
    out: Path | None = None
    """Output folder; defaults to ``OUTPUT_DATA_DIR``, else the home folder."""
    configurations: tuple[str, ...] = ("default",)
    """Configurations of the pipeline, carried out one after the other."""
    instrument: Path | None = None
    """TOML file that describes the camera."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of steps, ``{"flat.missing": "skip"}``."""
    calibrations: tuple[Path, ...] = ()
    """Folders with frames or masters of other nights."""
    cluster: str | None = None
    """Where the work is done; None for what environment or file say, else ``local``."""
    workers: int | None = None
    """Number of workers; defaults to ``MAX_N_CPU``, else to what fits the machine."""
    memory: str | None = None
    """Memory of each worker, such as ``4GB``; defaults to what fits the machine."""
    cluster_settings: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else is said of the cluster: fields of `mirar_dask.cluster.ClusterSpec`."""
    cluster_config: Path | None = None
    """TOML file with a table ``[cluster]``."""
    cache: str = "on"
    """Where pixels are kept between tasks: ``on`` (the run's folder), ``off``, or a folder."""
    memory_check: bool = True
    """Whether a plan whose largest task does not fit is refused."""
    fail_fast: bool = False
    """Whether the first failure ends the run."""
    skip_existing: bool = False
    """Whether what earlier runs of the night did is not done again."""
    clobber: bool = False
    """Whether masters of earlier runs are made again too."""
    resumes: Path | None = None
    """Folder of the run that is continued."""
    on_end: str | None = None
    """Command that is called at the end; None for what environment or file say."""
    email: tuple[str, ...] = ()
    """Addresses that are told of the end; none for what environment or file say."""

    def __post_init__(self) -> None:
        if self.skip_existing and self.clobber:
            raise UsageError(
                "--skip-existing and --clobber contradict each other; keep one of them"
            )

    def resolve_cluster(self, environment: Mapping[str, str] = os.environ) -> Resolved:
        """Decide where the work is done, from what was asked for, environment and file."""
        from mirar_dask.cluster.settings import resolve

        said = {"kind": self.cluster, "workers": self.workers, "memory": self.memory}
        return resolve(
            {**said, **self.cluster_settings},
            environment=environment,
            config=self.cluster_config,
            instrument=self.instrument,
        )

    def resolve_alarms(self, environment: Mapping[str, str] = os.environ) -> AlarmSettings:
        """Decide who is told of the end, from what was asked for, environment and files."""
        from mirar_dask.alarms import resolve_alarms

        config = self.cluster_config or environment.get("MIRAR_DASK_CLUSTER_CONFIG")
        return resolve_alarms(
            on_end=self.on_end,
            email=self.email,
            environment=environment,
            files=(Path(config) if config else None, self.instrument),
        )


@dataclass(frozen=True)
class NightFolders:
    """Where one night is read and written."""

    night: str
    """Name of the night, fit for one path component."""
    roots: Roots
    """What the path functions are told."""
    pipeline: str
    """Name of the pipeline's folder."""

    @property
    def raw(self) -> Path:
        """Folder that holds the raw frames."""
        if self.roots.night_raw is not None:
            return self.roots.night_raw
        return self.roots.raw / self.pipeline / self.night / RAW_IMG_SUB_DIR

    @property
    def output(self) -> Path:
        """Folder that receives the night's products."""
        return self.roots.output / self.pipeline / self.night


def resolve_folders(
    settings: NightSettings,
    *,
    pipeline: str,
    environment: Mapping[str, str] = os.environ,
    home: Path | None = None,
) -> NightFolders:
    """Decide the night's name and its folders; what the settings say wins over the environment.

    Parameters
    ----------
    settings : NightSettings
        What was asked for.
    pipeline : str
        Name of the pipeline, which names its folders.
    environment : mapping
        Where ``RAW_DATA_DIR`` and ``OUTPUT_DATA_DIR`` are looked up.
    home : Path, optional
        What the two default to; the user's home.

    Raises
    ------
    UsageError
        If neither a folder of frames nor a night is named.
    """
    home = home or Path.home()
    raw_root = Path(settings.raw_root or environment.get(RAW_DATA_DIR_VARIABLE) or home)
    output = settings.out or Path(environment.get(OUTPUT_DATA_DIR_VARIABLE) or home)
    if settings.raw is None and not settings.night:
        raise UsageError(
            "no night was named; give the folder that holds its frames (--raw DIR), or its name "
            f"(--night NIGHT) with its frames in {raw_root / pipeline / 'NIGHT' / RAW_IMG_SUB_DIR}"
        )
    night_raw = None if settings.raw is None else Path(settings.raw).expanduser().absolute()
    night = settings.night or _night_of(night_raw)
    roots = Roots(
        raw=raw_root.expanduser().absolute(),
        output=Path(output).expanduser().absolute(),
        night_raw=night_raw,
    )
    return NightFolders(night=safe_component(night), roots=roots, pipeline=pipeline)


def _night_of(folder: Path | None) -> str:
    if folder is None:
        return ""
    folder = Path(os.path.normpath(folder))  # "night/." is "night"; links keep the name they have
    # ``20240101/raw`` is the night 20240101: every night of mirar's layout would be called "raw".
    if folder.name == RAW_IMG_SUB_DIR and folder.parent.name:
        return folder.parent.name
    return folder.name or "night"


def parse_parameters(assignments: Iterable[str]) -> dict[str, str]:
    """Turn ``step.parameter=value`` texts into a dictionary; values stay text.

    The pipeline knows the type of each parameter and makes the value of it.

    Raises
    ------
    UsageError
        If a text has another form or names a parameter twice.

    Examples
    --------
    >>> parse_parameters(["flat.missing=skip", "stack.sigma = 2.5"])
    {'flat.missing': 'skip', 'stack.sigma': '2.5'}
    """
    parameters: dict[str, str] = {}
    for text in assignments:
        name, equals, value = (part.strip() for part in text.partition("="))
        step, dot, parameter = name.partition(".")
        if not (equals and step and dot and parameter):
            raise UsageError(
                f"--set {text!r} has not the form step.parameter=value (such as flat.missing=skip)"
            )
        if name in parameters:
            raise UsageError(f"--set names {name} twice; keep one of them")
        parameters[name] = value
    return parameters


def cache_folder(cache: str, run_id: str, default: Path) -> Path | None:
    """Return the folder of a run's cache; None if there is to be none.

    Parameters
    ----------
    cache : str
        ``on``, ``off``, or a folder that all workers see.
    run_id : str
        Name of the run, which gets a folder of its own there.
    default : Path
        The folder if the cache is just on.

    Examples
    --------
    >>> cache_folder("off", "r1", Path("run/cache")) is None
    True
    """
    word = cache.strip().lower()
    if word in ("on", "off"):
        return default if word == "on" else None
    folder = Path(cache).expanduser().absolute()
    if not folder.is_dir():
        raise UsageError(f"--cache {cache}: expected on, off, or a folder that is there")
    return folder / run_id


def check_raw_folder(folders: NightFolders) -> None:
    """Make sure that the night's raw folder is a folder, can be read and holds something.

    Raises
    ------
    UsageError
        If it is not there, is no folder or cannot be read.
    NothingToDoError
        If it is empty.
    """
    raw = folders.raw
    remedy = (
        "check --raw"
        if folders.roots.night_raw is not None
        else f"check --night, and {RAW_DATA_DIR_VARIABLE} ({folders.roots.raw}), or give --raw DIR"
    )
    if not raw.exists():
        raise UsageError(f"there is no folder {raw}; {remedy}")
    if not raw.is_dir():
        raise UsageError(f"{raw} is a file, not a folder of frames; {remedy}")
    try:
        empty = not any(raw.iterdir())
    except OSError as error:
        raise UsageError(f"{raw} cannot be read ({error.strerror}); {remedy}") from error
    if empty:
        raise NothingToDoError(f"{raw} is empty; put the night's FITS files there, or {remedy}")


def check_output_folder(folders: NightFolders) -> None:
    """Make the night's output folder and prove that a file can be written there.

    Raises
    ------
    UsageError
        If that is not so.
    """
    folder = folders.output
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Asking for permissions says little: the disk may be full, or mounted read-only.
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written ({error.strerror or error}); name another folder with "
            f"--out, or with {OUTPUT_DATA_DIR_VARIABLE}"
        ) from error
