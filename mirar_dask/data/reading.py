"""Reading a region of a file into an array, and turning FITS integers into floats on the way.

Plain reads rather than maps: mapped pages count against a worker's memory limit, and a file
that shrinks under a map ends the process.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mirar_dask.data.late import when_there, where_and_how_long
from mirar_dask.errors import FileChangedError, InvalidFitsError

CHUNK_BYTES = 1 << 20
"""Pixels are converted in pieces of this size, which stay in the processor's cache."""


class Stamp(NamedTuple):
    """What tells that a file is still the one it was."""

    size: int
    """Bytes."""
    mtime_ns: int
    """Time of the last change, ns."""
    inode: int
    """Number of the file in its file system."""

    @classmethod
    def of(cls, path: Path | int) -> Stamp:
        """Return the stamp of a path or of an open file."""
        status = os.stat(path)  # noqa: PTH116  # takes an open file too
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


def check_unchanged(path: Path, stamp: Stamp, *, made: bool = False) -> None:
    """Raise if a file is not the one with this stamp any more.

    One that this run has ``made`` is waited for, as `when_there` does.

    Raises
    ------
    FileChangedError
        If it is gone or another one.
    """
    try:
        found = when_there(path, Stamp.of) if made else Stamp.of(path)
    except FileNotFoundError as error:
        raise _gone(path, made) from error
    _compare(path, stamp, found)


@contextmanager
def unchanged(path: Path, stamp: Stamp, *, made: bool = False) -> Iterator[FileIO]:
    """Open a file for reading if it is still the one with this stamp.

    One that this run has ``made`` is waited for, as `when_there` does.

    Raises
    ------
    FileChangedError
        If it is gone or another one.
    """
    try:
        file = when_there(path, open_file) if made else open_file(path)
    except FileNotFoundError as error:
        raise _gone(path, made) from error
    with file:
        _compare(path, stamp, Stamp.of(file.fileno()))
        yield file


def open_file(path: Path) -> FileIO:
    """Open a file for reading, without a buffer.

    Raises
    ------
    InvalidFitsError
        If it is no regular file: a pipe would be waited for without end, a device has none.
    """
    file = FileIO(path, "rb", opener=_opener)
    kind = stat.S_IFMT(os.fstat(file.fileno()).st_mode)
    if kind != stat.S_IFREG:
        file.close()
        raise InvalidFitsError(f"{path} is {_KINDS.get(kind, 'no file')}, not a FITS file")
    return file


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def _gone(path: Path, made: bool) -> FileChangedError:
    if not made:
        return FileChangedError(f"{path} is gone since its header was read")
    return FileChangedError(
        f"{path}, which this run has made, is not there {where_and_how_long()}: it was removed, "
        "or the output folder is not shared with that host"
    )


def _compare(path: Path, wanted: Stamp, found: Stamp) -> None:
    if found != wanted:
        raise FileChangedError(
            f"{path} changed since its header was read: {_difference(wanted, found)}; "
            "start again from the files as they are now"
        )


def _difference(wanted: Stamp, found: Stamp) -> str:
    if wanted.size != found.size:
        return f"{wanted.size} bytes then, {found.size} now"
    if wanted.mtime_ns != found.mtime_ns:
        return "it was written to"
    return "another file took its place"


def fill(file: FileIO, array: np.ndarray, path: Path) -> None:
    """Read as many bytes as a contiguous array has room for into that array.

    Raises
    ------
    InvalidFitsError
        If the file ends before.
    """
    room = array.reshape(-1).view(np.uint8).data
    while len(room):
        count = file.readinto(room)
        if not count:
            raise InvalidFitsError(f"{path} is truncated: {len(room)} bytes of pixels are missing")
        room = room[count:]


def loaded_dtype(disk_dtype: np.dtype, bscale: float = 1.0, bzero: float = 0.0) -> np.dtype:
    """Return the type in which a FITS image is loaded: the smallest float that holds its range.

    Integers of 32 bits or more and doubles become float64, all else float32; the scaling does
    not change this (32-bit unsigned integers, say, are 32-bit integers with an offset).
    """
    wide = disk_dtype.itemsize >= (4 if disk_dtype.kind in "iu" else 8)
    return np.dtype(np.float64 if wide else np.float32)


def read_scaled(
    file: FileIO,
    out: np.ndarray,
    path: Path,
    *,
    disk_dtype: np.dtype,
    bscale: float,
    bzero: float,
    blank: int | None,
) -> np.ndarray:
    """Read pixels of the file's own type into ``out``, scaled; needs one chunk of memory more.

    Parameters
    ----------
    out : ndarray of floats, C-contiguous
        Where the pixels go: ``raw * bscale + bzero``, and NaN where ``raw`` is ``blank``.
    """
    flat = out.reshape(-1)
    step = CHUNK_BYTES // disk_dtype.itemsize
    raw = np.empty(min(step, flat.size), dtype=disk_dtype)
    for start in range(0, flat.size, step):
        part = flat[start : start + step]
        piece = raw[: part.size]
        fill(file, piece, path)
        with np.errstate(over="ignore", invalid="ignore"):  # of pixels that are no numbers
            np.copyto(part, piece, casting="unsafe")  # swaps bytes and casts in one pass
            if bscale != 1:
                part *= bscale
            if bzero != 0:
                part += bzero
        if blank is not None and disk_dtype.kind in "iu":
            part[piece == blank] = np.nan
    return out
