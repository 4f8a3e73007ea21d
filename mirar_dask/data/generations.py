"""Immutable npy files of the cache: written whole, removed by the one that owns them.

A generation is written under a temporary name, checked for size and renamed; it never changes
afterwards, so every reader and every copy of an image may share it.
"""

from __future__ import annotations

import io
import os
import shutil
import weakref
from contextlib import suppress
from io import FileIO
from multiprocessing.util import Finalize
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format

from mirar_dask.atomic import replacing
from mirar_dask.data.cache import CacheError, cache, current_place, new_name

PIECE_BYTES = 1 << 20
"""Files are written in pieces of this size: in one call, a system that keeps its page cache in
large pieces takes up to ten times as long for a file of 16 MB (seen on ext4)."""
_live: dict[Path, int] = {}
"""Files in the order in which they were made, and the process that owns each."""


class Owner:
    """Removes a file as soon as nothing refers to this object, unless it was released.

    Only the process that made it removes the file: not one that was forked from it, and not one
    that received the file's name in a pickle.
    """

    __slots__ = ("__weakref__", "_adopted", "_finalizer", "_pid")

    def __init__(self, path: Path, *, adopted: bool = False) -> None:
        self._adopted = adopted
        self._pid = os.getpid()
        self._finalizer = weakref.finalize(self, _remove, path, self._pid)
        _live[path] = self._pid

    @property
    def is_another_process(self) -> bool:
        """Whether this object came here by a fork: its file may go at any time."""
        return self._pid != os.getpid()

    def release(self) -> None:
        """Leave the file to the cache folder."""
        detached = self._finalizer.detach()
        if detached is None:
            return
        path, pid = detached[2]
        _live.pop(path, None)
        if self._adopted:  # its folder is not one that somebody empties
            Finalize(None, _remove, (path, pid), exitpriority=-10)


class LiveFiles:
    """Class attribute that lists the cache files that this process owns now."""

    def __get__(self, instance: object, owner: type | None = None) -> list[Path]:
        """Return the files as a new list."""
        here = os.getpid()
        return [path for path, pid in list(_live.items()) if pid == here]


def fresh_path() -> Path:
    """Return a path in the cache folder that nobody has used."""
    place = current_place()
    if place is not None and place.folder is not None:
        return place.folder / new_name(place.key)
    return cache.ensure_cache_dir() / new_name(cache.key)


def write_generation(array: np.ndarray) -> tuple[Path, int, int]:
    """Write an array to a fresh npy file.

    Returns
    -------
    path, offset, size
        The file, the bytes before its first pixel, and all its bytes.

    Raises
    ------
    CacheError
        If it cannot be written (a full disk, say); nothing is left behind then.
    ValueError
        If the array holds Python objects.
    """
    if array.dtype.hasobject:
        raise ValueError("pixels cannot be Python objects: the cache holds numbers only")
    head = _npy_head(array)
    path = fresh_path()
    size = len(head) + array.nbytes
    try:
        with replacing(path) as temporary:
            with temporary.open("wb", buffering=0) as file:
                _write_all(file, memoryview(head))
                content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
                for start in range(0, len(content), PIECE_BYTES):
                    _write_all(file, content[start : start + PIECE_BYTES])
            written = temporary.stat().st_size
            if written != size:
                raise CacheError(f"{path} has {written} bytes instead of {size}")
    except OSError as error:
        raise CacheError(
            f"the pixels of an image cannot be kept in the cache ({error}); free some space, or "
            "set the cache to another folder"
        ) from error
    return path, len(head), size


def link_generation(path: Path) -> Path:
    """Give a file a second name in our folder, so that it outlives the first name."""
    fresh = fresh_path()
    try:
        os.link(path, fresh)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without hard links
        with replacing(fresh) as temporary:
            shutil.copyfile(path, temporary)
    return fresh


def _write_all(file: FileIO, room: memoryview) -> None:
    while len(room):
        room = room[file.write(room) :]


def _npy_head(array: np.ndarray) -> bytes:
    head = io.BytesIO()
    fields = {
        "descr": npy_format.dtype_to_descr(array.dtype),
        "fortran_order": False,
        "shape": array.shape,
    }
    npy_format.write_array_header_1_0(head, fields)
    return head.getvalue()


def _remove(path: Path, pid: int) -> None:
    if pid == os.getpid():
        _live.pop(path, None)
        with suppress(OSError):  # also when its folder is gone already
            path.unlink()
