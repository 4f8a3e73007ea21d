"""Files that another host has just made, and that are not seen here yet.

A host goes on saying that a file of an NFS folder is absent after it was asked too early, for as
long as it remembers the folder: 30 to 60 s. So a run looks for nothing before it is there, and
waits for what must be there. Frames that were there before the run are never waited for.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from mirar_dask.data.cache import current_place

LATE_SECONDS = 65.0
"""How long a file of a run that spans hosts may be late."""
_FIRST_PAUSE, _LAST_PAUSE = 0.05, 1.0

_Found = TypeVar("_Found")


def when_there(path: Path, find: Callable[[Path], _Found]) -> _Found:
    """Do something to a file that this run has made; wait for it where files can be late.

    Parameters
    ----------
    path : Path
        The file.
    find : callable
        Opens it, or asks for its status.

    Raises
    ------
    FileNotFoundError
        If it is not there, at once or, in a task of a run that spans hosts, in the end.
    """
    try:
        return find(path)
    except FileNotFoundError:
        if not patience():
            raise
    end, pause = time.monotonic() + patience(), _FIRST_PAUSE
    while True:
        time.sleep(pause)
        pause = min(2 * pause, _LAST_PAUSE)
        with suppress(OSError):  # the folder may be late too
            is_listed(path)
        try:
            return find(path)
        except FileNotFoundError:
            if time.monotonic() >= end:
                raise


def patience() -> float:
    """Return the seconds for which the run whose task this thread does waits for its files."""
    place = current_place()
    return 0.0 if place is None else place.patience


def where_and_how_long() -> str:
    """Say on which host a file is missing, and for how long it was waited for."""
    waited = f" after {patience():.0f} s" if patience() else ""
    return f"on {socket.gethostname()}{waited}"


def is_listed(path: Path) -> bool:
    """Tell whether a file is in its folder without asking for it by name.

    Otherwise this host would remember that it was absent when another host has made it.
    """
    try:
        with os.scandir(path.parent) as entries:
            return any(entry.name == path.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return False
