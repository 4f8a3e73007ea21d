"""Finding the folders of runs: all of an output folder, or the one that a user names."""

from __future__ import annotations

from pathlib import Path

from mirar_dask.errors import UsageError
from mirar_dask.monitoring.run_folder import RUNS

LAST = "last"
"""Names the newest run."""
_PLACES = (f"{RUNS}/*/", f"*/{RUNS}/*/", f"*/*/{RUNS}/*/")
"""Where runs are, below a night's folder, a pipeline's, or the output folder."""


def run_folders(out: Path) -> list[Path]:
    """Return the folders of all runs in an output folder, or in one night of it, newest first."""
    found = {path for place in _PLACES for path in out.glob(place) if not _hidden(path)}
    # A run is named after the time at which it began, or was submitted.
    return sorted(found, key=lambda path: (path.name, str(path)), reverse=True)


def find_run(name: str | None, out: Path) -> Path:
    """Return the folder of the run that a user names.

    Parameters
    ----------
    name : str or None
        The path of a run's folder, a run's name, the beginning of one, or ``last``; None is the
        last one.
    out : Path
        Output folder, or the folder of one night in it.

    Raises
    ------
    UsageError
        If there is no such run, or there are several.
    """
    if name and "/" in name.rstrip("/"):
        path = Path(name).expanduser().absolute()
        if path.is_dir() and path.parent.name == RUNS:
            return path
        raise UsageError(
            f"{name} is not the folder of a run; expected OUT/PIPELINE/NIGHT/{RUNS}/RUN"
        )
    folders = run_folders(out)
    if not folders:
        raise UsageError(f"there is no run in {out}; name the output folder of one with --out DIR")
    name = (name or LAST).rstrip("/")
    if name == LAST:
        return folders[0]
    found = [path for path in folders if path.name == name]
    found = found or [path for path in folders if path.name.startswith(name)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            f"there is no run {name} in {out}; 'mirar-dask runs --out {out}' lists those that are"
        )
    names = ", ".join(path.name for path in found[:4]) + (", ..." if len(found) > 4 else "")
    if len({path.name for path in found}) == 1:
        names = ", ".join(str(path) for path in found[:4])
    raise UsageError(
        f"{len(found)} runs begin with {name} ({names}); write more of it, or its path"
    )


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")
