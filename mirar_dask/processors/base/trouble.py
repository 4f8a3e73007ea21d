"""Failures that are a volume's and not the frame's: a disk that is full, a folder that is gone.

Every failure of a step passes `notice`; who does a task gathers what it finds. A processor need
not know of it, and who gathers nothing has failures as they always were.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path

from mirar_dask.atomic import TEMPORARY_PREFIX
from mirar_dask.data.cache import CacheError, current_place
from mirar_dask.errors import WriteError
from mirar_dask.paths import current_roots

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a system answers when a volume has no room."""
GONE = frozenset({
    errno.ENOENT, errno.ENOTDIR, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV,
    errno.ENXIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.ETIMEDOUT, errno.EHOSTDOWN,
})  # fmt: skip
"""And when it is not there, or not for us; the folder is looked at then."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A folder in which a task could not write."""

    folder: Path
    reason: str
    """One sentence."""
    full: bool = False
    """It has no room left."""
    cache: bool = False
    """It is that of the run's cache, which nobody makes anew."""
    needed: int = 0
    """Bytes that should be free there."""
    worker: str = ""
    """Address of the worker that found it."""


_found: ContextVar[list[Trouble] | None] = ContextVar("mirar_dask_trouble", default=None)


@contextmanager
def noticing() -> Iterator[list[Trouble]]:
    """Gather the troubles behind the failures of this thread inside the block."""
    found: list[Trouble] = []
    token = _found.set(found)
    try:
        yield found
    finally:
        _found.reset(token)


def notice(exception: BaseException) -> None:
    """Look whether a failure is that of a volume."""
    found = _found.get()
    if found is None or found:
        return
    trouble = _trouble_behind(exception)
    if trouble is not None:
        found.append(trouble)


def _trouble_behind(exception: BaseException) -> Trouble | None:
    errors = [error for error in _chain(exception) if isinstance(error, OSError | CacheError)]
    codes = {error.errno for error in errors if isinstance(error, OSError)}
    place = current_place()
    cache = None if place is None else place.folder
    if cache is not None and errors and not cache.is_dir():
        return Trouble(cache, f"the cache folder {cache} is gone", cache=True)
    if not codes & (FULL | GONE):
        return None
    if any(isinstance(error, CacheError) for error in errors):
        trouble = None if cache is None else _looked_at(cache, codes)
        return None if trouble is None else replace(trouble, cache=True)
    for error in errors:
        path = error.path if isinstance(error, WriteError) else _path_in_output(error)
        if path is not None:
            return _looked_at(path.parent, codes)
    if codes & FULL:  # a tool or a processor's own file: where, nobody says
        folders = [cache, current_roots().output, Path(tempfile.gettempdir())]
        troubles = [trouble_in(folder) for folder in folders if folder is not None]
        return next(filter(None, troubles), None)
    return None


def _path_in_output(error: BaseException) -> Path | None:
    """Return the file, or folder, of the output folder that an error of the system is about."""
    name = getattr(error, "filename", None)
    if not isinstance(name, str):
        return None
    return path if (path := Path(name)).is_relative_to(current_roots().output) else None


def _looked_at(folder: Path, codes: set[int | None]) -> Trouble | None:
    """Believe that a volume is full; that it is gone or closed shows when one looks."""
    if codes & FULL:
        return Trouble(folder, f"no space is left in {folder}", full=True)
    return trouble_in(folder)


def _chain(exception: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while exception is not None and id(exception) not in seen:
        seen.add(id(exception))
        yield exception
        exception = exception.__cause__ or exception.__context__


def trouble_in(folder: Path, needed: int = 0, *, cache: bool = False) -> Trouble | None:
    """Say what keeps this process from writing so many bytes to a folder; None if nothing does."""
    if cache and not folder.is_dir():
        return Trouble(folder, f"the cache folder {folder} is gone", cache=True)
    above = folder
    while not above.exists() and above != above.parent:
        above = above.parent  # the folder of a product is made when the first is written
    try:
        free = os.statvfs(above)
        room = free.f_bavail * free.f_frsize
        if room < needed:
            reason = f"{room / 1e6:.0f} MB are free in {folder}, {needed / 1e6:.0f} MB are needed"
            return Trouble(folder, reason, full=True, needed=needed)
        # By a name that `clean` knows, should this process be killed just now.
        handle, name = tempfile.mkstemp(prefix=f"{TEMPORARY_PREFIX}{0:012x}-", dir=above)
        try:
            os.write(handle, b"0" * 4096)
        finally:
            os.close(handle)
            with suppress(OSError):
                Path(name).unlink()
    except OSError as error:
        why = error.strerror or str(error)
        return Trouble(folder, f"{folder} cannot be written to ({why})", error.errno in FULL)
    return None
