"""Debris of killed processes in the temporary space of this machine and in the home folder."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mirar_dask.cluster.check import CHECK
from mirar_dask.cluster.connection import SHARED
from mirar_dask.data.cache import TEMPORARY
from mirar_dask.debris.night import Found, belongs_in_cache
from mirar_dask.debris.types import ForeignError, Left, weigh
from mirar_dask.life import Life, owner_of

SCRATCH = "dask-scratch-space"
"""Folder in temporary space in which Dask's servers have theirs."""
LOCK = ".dirlock"
"""What Dask adds to a server's folder for the name of the file that it holds locked."""
SOCKETS = "pymp-"
"""How Python names the folder of the socket by which processes are forked."""


def machine_debris(out: Path | None = None, caches: Iterable[Path] = ()) -> Found:
    """Find what processes that were killed left outside the folders of runs.

    Parameters
    ----------
    out : Path, optional
        Output folder, in which ``cluster check`` may have left its folder.
    caches : list of Path
        Folders that were given to ``--cache``.
    """
    temporary = Path(tempfile.gettempdir()).resolve()
    yield from _owned(temporary, TEMPORARY, "cache")
    yield from _owned(temporary, SOCKETS, "sockets")
    yield from _owned((Path.home() / SHARED).resolve(), "", "certificates")
    if out is not None:
        yield from _owned(out.resolve(), CHECK, "folder of a cluster check")
    for folder in caches:
        yield from _owned(folder.resolve(), "", "cache", only_cache=True)
    for space in (temporary / SCRATCH, temporary / f"{SCRATCH}-{os.getuid()}"):
        yield from _of_workers(space)


def _owned(above: Path, beginning: str, kind: str, *, only_cache: bool = False) -> Found:
    """Find the folders that say whose they are, and whose owner is dead."""
    for path in _folders(above, beginning):
        owner = owner_of(path)
        if owner is None:
            continue
        lives = owner.lives()
        if lives is None:
            yield Left(path, f"its process is on {owner.host}, or was before a restart of it")
        elif not lives:
            if only_cache and not all(belongs_in_cache(one.name) for one in path.iterdir()):
                yield Left(path, "it holds what is not of a cache")
                continue
            yield from _weighed(path, kind, _text(owner))


def _text(owner: Life) -> str:
    of = f"run {owner.run}, " if owner.run else ""
    return f"{of}process {owner.pid} on {owner.host}, killed"


def _folders(above: Path, beginning: str) -> list[Path]:
    found = []
    with suppress(OSError), os.scandir(above) as entries:
        for entry in entries:
            with suppress(OSError):  # it went while we looked
                ours = entry.stat(follow_symlinks=False).st_uid == os.geteuid()
                if ours and entry.is_dir(follow_symlinks=False):
                    found.append(Path(entry.path))
    return sorted(path for path in found if path.name.startswith(beginning))


def _weighed(path: Path, kind: str, of: str) -> Found:
    with suppress(FileNotFoundError):
        try:
            yield weigh(path, kind, of)
        except ForeignError as error:
            yield Left(path, str(error))


def _of_workers(space: Path) -> Found:
    """Find the folders of Dask's servers that are dead: nobody holds their lock."""
    for path in _folders(space, ""):
        with locked(path) as dead:
            if dead:
                yield from _weighed(path, "scratch of Dask", "a worker or scheduler that is gone")


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Take the lock of a server's folder, if the server is dead."""
    try:
        handle = os.open(f"{path}{LOCK}", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # it has none (any more): nothing tells whether it lives
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(handle)
