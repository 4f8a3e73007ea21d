"""A piece of debris, its weight, and whether it is ours: shared by those who find and remove."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Debris:
    """A file or folder that a dead run or process left."""

    path: Path
    """Where; no part of it is a symbolic link."""
    kind: str
    """What it was."""
    of: str
    """Whose it was, and what is known of its end."""
    files: int
    size: int
    """Bytes of all its files."""
    mark: tuple[int, int]
    """Device and inode: what is removed is what was shown."""
    run_folder: Path | None = None
    """Folder of the run that left it, if that was a run."""


@dataclass(frozen=True)
class Left:
    """What looks like debris and is not touched."""

    path: Path
    why: str


class ForeignError(Exception):
    """Raised for what is not ours, or is a link."""


def weigh(path: Path, kind: str, of: str, *, run_folder: Path | None = None) -> Debris:
    """Look at a file or folder as a whole.

    Raises
    ------
    ForeignError
        If it, or something in it, belongs to another user.
    FileNotFoundError
        If it is not there (any more).
    """
    found = path.lstat()
    files, size = 0, 0
    for one, entry in _all_of(path, found):
        if entry.st_uid != os.geteuid():
            raise ForeignError(f"{one} belongs to user {entry.st_uid}")
        if not stat.S_ISDIR(entry.st_mode):
            files += 1
            size += entry.st_size
    return Debris(path, kind, of, files, size, (found.st_dev, found.st_ino), run_folder)


def _all_of(path: Path, found: os.stat_result) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield a file or folder and all that is in it; links are not followed."""
    yield path, found
    if not stat.S_ISDIR(found.st_mode):
        return
    for place, folders, names, handle in os.fwalk(path, follow_symlinks=False):
        for name in [*folders, *names]:
            try:
                yield Path(place, name), os.lstat(name, dir_fd=handle)
            except FileNotFoundError:
                continue
