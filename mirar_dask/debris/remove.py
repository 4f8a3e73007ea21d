"""Removes debris: what was shown and nothing else, and only if its run is still dead."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mirar_dask.debris.machine import LOCK, locked
from mirar_dask.debris.night import at_work, dead_run
from mirar_dask.debris.types import Debris
from mirar_dask.life import owner_of
from mirar_dask.monitoring.heartbeat import alone

_WALK = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(debris: Debris, *, holder: str = "") -> str | None:
    """Remove one piece of debris.

    Parameters
    ----------
    debris : Debris
        As it was found.
    holder : str
        Name of the run that holds the night and asks, if one does.

    Returns
    -------
    str or None
        Why it was left, if it was.
    """
    try:
        if debris.run_folder is None:
            return _of_process(debris)
        night = debris.run_folder.parent.parent
        with alone(debris.run_folder.parent):  # no run begins meanwhile
            if dead_run(debris.run_folder) is None:
                return "its run is alive"
            in_cache = debris.path.parent == debris.run_folder or debris.kind == "cache"
            if not in_cache and at_work(night, but=holder):
                return "another run is at work on its night"
            return _remove(debris)
    except FileNotFoundError:
        return None  # somebody else removed it
    except OSError as error:
        return f"it could not be removed ({error.strerror or error})"


def _of_process(debris: Debris) -> str | None:
    if Path(f"{debris.path}{LOCK}").exists():
        with locked(debris.path) as dead:
            if not dead:
                return "its server is alive"
            left = _remove(debris)
            Path(f"{debris.path}{LOCK}").unlink(missing_ok=True)
            return left
    owner = owner_of(debris.path)
    if owner is None or owner.lives() is not False:
        return "its process is alive"
    return _remove(debris)


def _remove(debris: Debris) -> str | None:
    path = debris.path
    with _folder_of(path) as handle:
        found = os.lstat(path.name, dir_fd=handle)
        if (found.st_dev, found.st_ino) != debris.mark or found.st_uid != os.geteuid():
            return "it is no longer what it was"
        if stat.S_ISDIR(found.st_mode):
            shutil.rmtree(path.name, dir_fd=handle)
        else:
            os.unlink(path.name, dir_fd=handle)
    return None


@contextmanager
def _folder_of(path: Path) -> Iterator[int]:
    """Open the folder of a path step by step: none of them may have become a link."""
    handle = os.open("/", _WALK)
    try:
        for part in path.parent.parts[1:]:
            inner = os.open(part, _WALK, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)
