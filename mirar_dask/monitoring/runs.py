"""Finding the folders of runs: all of an output folder, or the one that a user names.

All commands that take a run find it here; `mirar_dask.resuming` looks through those of a night.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mirar_dask.errors import UsageError
from mirar_dask.monitoring.run_folder import RUNS

LAST = "last"
"""Names the newest run."""
REQUEST = "request.json"
"""The file in a run's folder that says what was asked for."""


def run_folders(out: Path, *, pipeline: str | None = None, night: str | None = None) -> list[Path]:
    """Return the folders of all runs in an output folder, or in one night of it, newest first.

    Parameters
    ----------
    out : Path
        The output folder, a pipeline's folder in it, or a night's.
    pipeline, night : str, optional
        Where to look in an output folder; everywhere by default.
    """
    return sorted(set(_folders(out, pipeline or "*", night or "*")), key=begun, reverse=True)


def _folders(out: Path, pipeline: str, night: str) -> Iterator[Path]:
    if (out / RUNS).is_dir():
        places = [f"{RUNS}/*"]  # a night, whose other folders hold thousands of products
    else:
        places = [f"{pipeline}/{night}/{RUNS}/*"]
        if pipeline == "*":
            places.append(f"{night}/{RUNS}/*")
    for place in places:
        yield from (path for path in out.glob(place) if path.is_dir())


def begun(folder: Path) -> tuple[str, int, str]:
    """Return when a run began, to sort by: the second is in its name."""
    try:
        exactly = (folder / REQUEST).stat().st_mtime_ns
    except OSError:
        exactly = 0
    return folder.name[:15], exactly, folder.name


def find_run(
    name: str,
    out: Path,
    *,
    pipeline: str | None = None,
    night: str | None = None,
    holding: str = "",
) -> Path:
    """Return the folder of the run that a user names.

    Parameters
    ----------
    name : str
        The path of a run's folder, a run's name, the beginning of one, or ``last``.
    out : Path
        Where to look: an output folder, or that of one night in it.
    pipeline, night : str, optional
        Where to look in an output folder; everywhere by default.
    holding : str
        File that the folder of the last run must hold.

    Raises
    ------
    UsageError
        If there is no such run, or there are several.
    """
    path = Path(name).expanduser().absolute()
    if path.is_dir() and path.parent.name == RUNS:
        return path
    if "/" in name.rstrip("/"):
        raise UsageError(
            f"{name} is not the folder of a run; expected OUT/PIPELINE/NIGHT/{RUNS}/RUN"
        )
    name = name.rstrip("/")
    folders = run_folders(out, pipeline=pipeline, night=night)
    if name == LAST:
        found = [folder for folder in folders if (folder / holding).exists()][:1]
    else:
        found = [folder for folder in folders if folder.name == name]
        found = found or [folder for folder in folders if folder.name.startswith(name)]
    if len(found) == 1:
        return found[0]
    if not found:
        what = "no run" if name == LAST else f"no run {name!r}"
        raise UsageError(
            f"there is {what} in {out}; name its output folder with --out ('mirar-dask runs' "
            "lists the runs of one)"
        )
    same_name = len({folder.name for folder in found}) == 1
    names = [str(folder) if same_name else folder.name for folder in found[:4]]
    more = ", ..." if len(found) > 4 else ""
    raise UsageError(
        f"{len(found)} runs in {out} begin with {name!r} ({', '.join(names)}{more}); say more, or "
        "give its path"
    )
