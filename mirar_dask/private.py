"""Folders that only we can use, made without races where other users can write too."""

from __future__ import annotations

import os
import stat
import uuid
from pathlib import Path

from mirar_dask.errors.exceptions import WriteError

OURS_ALONE = 0o700


def make_private(path: Path) -> bool:
    """Make a folder that only we can use; one that is there must be ours already.

    Whoever can guess the name could have put a folder or a link there before, and would then
    read, or exchange, what we write.

    Returns
    -------
    bool
        Whether the folder is new.

    Raises
    ------
    WriteError
        If what is there is no folder, or belongs to somebody else.
    OSError
        If the system does not make it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=OURS_ALONE)
        return True
    except FileExistsError:
        pass
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        what = "a link" if stat.S_ISLNK(found.st_mode) else "no folder"
        raise WriteError(f"{path} is there already and is {what}; remove it, or name another place")
    if found.st_uid != os.geteuid() and found.st_uid != _owner_of_our_files(path):
        raise WriteError(
            f"{path} is there already and belongs to user {found.st_uid}, who could read or change "
            "what is written there; name another place"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        path.chmod(OURS_ALONE)
    return False


def _owner_of_our_files(folder: Path) -> int | None:
    """Return who owns what we write: on network storage that may be another number."""
    probe = folder / f".owner-{uuid.uuid4().hex}"
    try:
        handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
    try:
        return os.fstat(handle).st_uid
    finally:
        os.close(handle)
        probe.unlink(missing_ok=True)
