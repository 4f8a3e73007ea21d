"""What the runs of a night leave for the next one: their requests, what they did, their debris.

`execution` saves and uses it, the command ``resume`` finds a run by it. What is done again
and what is not is decided by the engine's `Memo`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from mirar_dask.atomic import replacing
from mirar_dask.config import NightSettings
from mirar_dask.errors import UsageError
from mirar_dask.json_files import has_form, read_object
from mirar_dask.monitoring.report import versions
from mirar_dask.monitoring.runs import REQUEST, run_folders
from mirar_dask.redaction import redacted, without_secrets

if TYPE_CHECKING:
    from mirar_dask.request import Request

logger = logging.getLogger(__name__)

_OF_CLUSTER = ("cluster", "workers", "memory", "cluster_settings", "cluster_config")


def save_request(request: Request, folder: Path) -> None:
    """Write down what a run was asked for, resolved, so that it can be asked for again."""
    settings, spec = request.settings, request.cluster
    values = {part.name: getattr(settings, part.name) for part in fields(NightSettings)}
    options = {name: value for name, value in settings.cluster_settings.items() if value}
    on_end = settings.on_end
    if on_end is not None and redacted(on_end) != on_end:
        logger.warning("--on-end holds a secret and is not written down; give it again to resume")
        on_end = None
    values |= {
        "pipeline": _name_of(settings.pipeline),
        "raw": request.folders.raw if settings.raw is not None else None,
        "night": request.folders.night,
        "out": request.folders.roots.output,
        "instrument": settings.instrument and settings.instrument.absolute(),
        "calibrations": [folder.absolute() for folder in settings.calibrations],
        "cluster": spec.name,
        "cluster_settings": without_secrets(options),
        "parameters": without_secrets(settings.parameters),
        "on_end": on_end,
        "cluster_config": settings.cluster_config and settings.cluster_config.absolute(),
        "continues": settings.resumes.name if settings.resumes else None,
        "raw_root": request.folders.roots.raw,
        "software": versions(),
    }
    del values["resumes"]
    with replacing(folder / REQUEST) as temporary:
        text = json.dumps({"format": 1, **values}, indent=1, default=str)
        temporary.write_text(text + "\n", encoding="utf-8")


def _name_of(pipeline: str | type[Any]) -> str | None:
    """Text by which a pipeline is found again; None for a class of a notebook."""
    if isinstance(pipeline, type):
        here = pipeline.__module__ == "__main__" or "<locals>" in pipeline.__qualname__
        return None if here else f"{pipeline.__module__}:{pipeline.__qualname__}"
    file, colon, name = pipeline.rpartition(":")
    if file.endswith(".py") or pipeline.endswith(".py"):
        path = Path(file if colon else pipeline).expanduser().absolute()
        return f"{path}:{name}" if colon else str(path)
    return pipeline


class _RequestForm(TypedDict):
    format: int
    pipeline: str | None
    raw: str | None
    night: str | None
    raw_root: str | None
    out: str | None
    configurations: list[str]
    instrument: str | None
    parameters: dict[str, Any]
    calibrations: list[str]
    cluster: str | None
    workers: int | None
    memory: str | None
    cluster_settings: dict[str, Any]
    cluster_config: str | None
    cache: str
    memory_check: bool
    fail_fast: bool


class _Alarms(TypedDict, total=False):
    on_end: str | None
    email: list[str]


def read_request(folder: Path) -> NightSettings:
    """Read what a run was asked for.

    Raises
    ------
    UsageError
        If the folder does not tell, or names what cannot be found again.
    """
    try:
        values, why = read_object(folder / REQUEST), f"{REQUEST} is not there, or altered"
    except OSError as error:
        values, why = None, error.strerror or str(error)
    if (
        values is None
        or not has_form(values, _RequestForm)
        or not has_form(values, _Alarms)
        or "\\u0000" in json.dumps(values)
    ):
        raise UsageError(
            f"{folder} does not say what its run was asked for ({why}); give its request anew "
            "with 'mirar-dask run ... --skip-existing'"
        )
    if values.get("pipeline") is None:
        raise UsageError(
            f"run {folder.name} was of a pipeline that no file or package defines; run it from "
            "where it is defined, with skip_existing=True"
        )
    for name in ("raw", "raw_root", "out", "instrument", "cluster_config"):
        values[name] = None if values.get(name) is None else Path(values[name])
    values["calibrations"] = tuple(Path(each) for each in values["calibrations"])
    values["configurations"] = tuple(values["configurations"])
    values["email"] = tuple(values.get("email", ()))
    known = {part.name for part in fields(NightSettings)}
    settings = NightSettings(**{name: value for name, value in values.items() if name in known})
    return replace(settings, skip_existing=True, clobber=False, resumes=folder)


def override(settings: NightSettings, given: Mapping[str, Any]) -> NightSettings:
    """Change settings by what was given; another kind of cluster drops what was said of the old.

    Parameters
    ----------
    settings : NightSettings
        Of the run that is continued.
    given : mapping
        Values by the names of settings; None, and what is empty, for what was not given.
    """
    changes = {name: value for name, value in given.items() if value not in (None, (), {})}
    cluster = {n: v for n, v in changes.pop("cluster_settings", {}).items() if v not in (None, ())}
    if changes.get("cluster") not in (None, settings.cluster):
        settings = replace(settings, workers=None, memory=None, cluster_settings={})
    old = dict(settings.cluster_settings)
    if "workers" in changes:
        old.pop("adapt", None)
    if "adapt" in cluster and "workers" not in changes:
        settings = replace(settings, workers=None)
    changes["parameters"] = {**settings.parameters, **changes.get("parameters", {})}
    return replace(settings, **changes, cluster_settings={**old, **cluster})


# -- runs of a night --------------------------------------------------------------------------


def earlier_memos(night: Path, first: Path | None = None) -> list[Path]:
    """Return what earlier runs of a night did, the newest first, but for one that comes first."""
    from mirar_dask.engine.memo import MEMO

    folders = [*([first] if first is not None else []), *run_folders(night)]
    return [path for folder in dict.fromkeys(folders) if (path := folder / MEMO).is_file()]


def clear_debris(night: Path, run_id: str) -> None:
    """Remove what runs that were killed left: their caches, and files half written.

    To be called by the run that holds the night, so that no other is alive.
    """
    from mirar_dask.debris import Debris, night_debris, remove

    for found in night_debris(night.resolve(), holder=run_id):
        why = remove(found, holder=run_id) if isinstance(found, Debris) else found.why
        if why:
            logger.info("%s of a dead run was left: %s", found.path, why)
