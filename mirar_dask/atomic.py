"""Writing a file whole or not at all: under a temporary name beside it, then renamed.

A reader never sees half a file, and a failed write leaves what was there before.
"""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from mirar_dask.errors.exceptions import WriteError

TEMPORARY_PREFIX = ".tmp-"
HALF_WRITTEN = re.compile(re.escape(TEMPORARY_PREFIX) + r"[0-9a-f]{12}-.*", re.DOTALL)
"""Names of files that are being written, or were when their writer was killed."""
_MAX_NAME_BYTES = 200
_REASONS = {
    errno.ENOSPC: "no space is left on the disk; free some or choose another output folder",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another output folder",
    errno.EFBIG: "the file would be larger than is allowed here",
    errno.EACCES: "the folder may not be written to; change its permissions or choose another",
    errno.EPERM: "the folder may not be written to; change its permissions or choose another",
    errno.EROFS: "the file system is read-only; choose another output folder",
    errno.ENOENT: "its folder does not exist; create it first",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.EISDIR: "there is a folder of that name",
    errno.EEXIST: "it exists already and may not be overwritten",
    errno.ENAMETOOLONG: "its name is too long",
}


_written: ContextVar[list[Path] | None] = ContextVar("mirar_dask_written", default=None)


@contextmanager
def noting_written() -> Iterator[list[Path]]:
    """Gather the paths of the files that this thread writes inside the block."""
    found: list[Path] = []
    token = _written.set(found)
    try:
        yield found
    finally:
        _written.reset(token)


def note_written(path: Path | str) -> None:
    """Say that a file was written, where that was not done by `replacing`.

    A processor that lets another program write a product says so here: then the file is made
    again if it is gone when the night is resumed.
    """
    found = _written.get()
    if found is not None:
        found.append(Path(path).absolute())


@contextmanager
def replacing(path: Path | str, *, overwrite: bool = True) -> Iterator[Path]:
    """Give a temporary path to write to; at the end of the block the file takes its place.

    If the block raises, the temporary file is removed and `path` is as it was.

    Parameters
    ----------
    path : Path
        Where the file shall be. The temporary name has the same suffixes.
    overwrite : bool
        Whether a file that is there already may be replaced.

    Raises
    ------
    WriteError
        If the system refuses to write (also when the block raised an `OSError` of the system).
    """
    path = Path(path)
    name = path.name.encode()[-_MAX_NAME_BYTES:].decode(errors="ignore")
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex[:12]}-{name}")
    try:
        if not overwrite and path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        yield temporary
        if overwrite:
            temporary.replace(path)
        else:
            _place_new(temporary, path)
        note_written(path)
    except OSError as error:
        if isinstance(error, WriteError) or error.errno is None:
            raise
        raise write_error(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_error(path: Path, error: OSError) -> WriteError:
    """Say in one sentence why `path` could not be written."""
    code = error.errno if error.errno is not None else 0
    reason = _REASONS.get(code) or error.strerror or str(error)
    wanted = WriteError(f"cannot write {path}: {reason}")
    wanted.errno, wanted.path = error.errno, path
    return wanted


def _place_new(temporary: Path, path: Path) -> None:
    """Rename unless `path` exists; the file system decides, so two writers cannot both win."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        temporary.replace(path)
