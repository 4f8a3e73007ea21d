"""The folder of the pixel cache: where it is, whether it is used, and who empties it.

Images keep their pixels as npy files in the folder of the one object :data:`cache`. The process
that set the folder empties it when it ends; processes started by it use the same folder and
never empty it. The files themselves are made by ``generations``.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, Final

from mirar_dask.data.memory import current_task_memory, task_memory
from mirar_dask.errors import MirarDaskError
from mirar_dask.life import owner_of, sign_folder

__all__ = [
    "CACHE_DIR_VARIABLE",
    "CACHE_KEY_VARIABLE",
    "SWITCHES",
    "USE_CACHE",
    "Cache",
    "CacheError",
    "cache",
    "current_task_memory",
    "task_memory",
    "use_cache",
]

logger = logging.getLogger(__name__)

CACHE_DIR_VARIABLE: Final = "MIRAR_DASK_CACHE_DIR"
"""Environment variable that tells processes started afterwards which folder to use."""
CACHE_KEY_VARIABLE: Final = "MIRAR_DASK_CACHE_KEY"
"""Environment variable with the mark that the folder's owner puts into the names of its files."""
SWITCHES: Final = ("USE_MIRAR_CACHE", "USE_WINTER_CACHE")
"""Environment variables that switch the cache off; either is enough."""

TEMPORARY: Final = "mirar_dask-"
"""How the names of private temporary folders begin."""

_WORDS = {"1": True, "true": True, "yes": True, "on": True}
_WORDS |= {"0": False, "false": False, "no": False, "off": False}
_FILE_NAME = re.compile(r"(\.tmp-[0-9a-f]+-)?(?P<key>[0-9a-f]{12})-[0-9a-f]{32}\.npy")

USE_CACHE: bool
"""Whether the cache is used, as the environment says when the name is looked up."""


class CacheError(MirarDaskError):
    """Raised when the cache has no folder, is switched off, or cannot be written."""


@dataclass(frozen=True, slots=True)
class CachePlace:
    """Where the images of a run keep their pixels, whatever the process that handles them."""

    folder: Path | None
    """Folder of the run; None if the cache is off."""
    key: str
    """Mark in the names of the run's files."""
    patience: float = 0.0
    """Seconds for which a file that another host has made is waited for."""


_place: ContextVar[CachePlace | None] = ContextVar("mirar_dask_cache_place", default=None)


@contextmanager
def use_place(place: CachePlace | None) -> Iterator[None]:
    """Let images of the calling thread keep their pixels in the folder of a run."""
    token = _place.set(place)
    try:
        yield
    finally:
        _place.reset(token)


def current_place() -> CachePlace | None:
    """Return the folder of the run whose task this thread does, if it does one."""
    return _place.get()


def use_cache() -> bool:
    """Tell whether pixels are kept in files, as the environment says now (default: yes).

    In a task of a run, what the driver's environment said.

    Raises
    ------
    CacheError
        If one of the variables holds another word, or if the two differ.
    """
    place = _place.get()
    if place is not None:
        return place.folder is not None
    found = {name: value for name in SWITCHES if (value := os.environ.get(name)) is not None}
    said = {name: _WORDS.get(value.strip().lower()) for name, value in found.items()}
    for name, answer in said.items():
        if answer is None:
            raise CacheError(
                f"the environment variable {name} is {found[name]!r}; it must be one of "
                f"{', '.join(_WORDS)}"
            )
    if len(set(said.values())) > 1:
        given = " and ".join(f"{name}={value}" for name, value in found.items())
        raise CacheError(f"the environment says {given}; unset one of them or make them agree")
    return next(iter(said.values()), True) is not False


def __getattr__(name: str) -> bool:
    if name == "USE_CACHE":
        return use_cache()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Cache:
    """A folder for the pixels of images.

    ``cache`` of this module is the one that images use; another object of this class holds a
    folder of its own and changes nothing for them.
    """

    cache_dir: Path | None = None

    def __init__(self) -> None:
        self.key = new_key()
        """Mark in the names of the files that this process and its children make here."""
        self.ends_early = False
        """Whether the folder goes with this child process, while its parent lives on."""
        self._endings: list[Finalize] = []
        self._lock = threading.Lock()

    def get_cache_dir(self) -> Path:
        """Return the folder that was set; in a task of a run, the run's folder.

        Raises
        ------
        CacheError
            If none was set, or if the environment switches the cache off.
        """
        if not use_cache():
            raise CacheError(
                f"the cache is switched off by the environment ({' or '.join(SWITCHES)}), "
                "but a part of the program asks for its folder"
            )
        place = current_place() if self is cache else None
        folder = place.folder if place is not None else self.cache_dir
        if folder is None:
            raise CacheError("the cache has no folder yet; call set_cache_dir(path) first")
        return folder

    def set_cache_dir(self, cache_dir: Path | str, *, owned: bool = True) -> None:
        """Use this folder from now on, and make it if it is not there (readable by us only).

        Parameters
        ----------
        cache_dir : Path
            The folder. It should be on fast storage that all workers share.
        owned : bool
            Whether this process removes its cache files, and those of the processes that it
            starts, from the folder when it ends. A worker that uses the folder of a run passes
            ``False``.
        """
        path = Path(cache_dir).absolute()
        made = not path.exists()
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise CacheError(f"the cache folder {path} cannot be made: {error.strerror}") from error
        self._use(path, new_key())
        if owned:
            self._empty_at_end(empty_folder, made)

    def ensure_cache_dir(self) -> Path:
        """Return the folder, and choose one if none was set.

        The folder that a parent process named in the environment comes first, then a private
        temporary folder, which this process removes when it ends; if it is killed, the next one
        that needs such a folder does.
        """
        if self.cache_dir is None and use_cache() and current_place() is None:
            with self._lock:
                if self.cache_dir is None:
                    self._choose()
        return self.get_cache_dir()

    def _choose(self) -> None:
        named = os.environ.get(CACHE_DIR_VARIABLE)
        key = os.environ.get(CACHE_KEY_VARIABLE)
        if named and key and Path(named).is_dir():
            self._use(Path(named), key)
        elif named and not key:  # a wish of the user, not the folder of a parent process
            self.set_cache_dir(named)
        else:
            above = Path(tempfile.mkdtemp(prefix=TEMPORARY))
            (above / "cache").mkdir(mode=0o700)
            self._use(above / "cache", new_key())
            self._empty_at_end(remove_temporary)
            sign_folder(above)
            clear_dead_folders()

    def _use(self, path: Path, key: str) -> None:
        self.cache_dir, self.key, self.ends_early = path, key, False
        if self is cache:
            os.environ[CACHE_DIR_VARIABLE] = str(path)
            os.environ[CACHE_KEY_VARIABLE] = key

    def _empty_at_end(self, function: Callable[..., None], *args: object) -> None:
        self.ends_early = parent_process() is not None
        # Runs at the end of the program and of children made by multiprocessing (after their
        # own children have ended), and never in a process that was forked from this one.
        arguments = (self.cache_dir, self.key, *args)
        self._endings.append(Finalize(None, function, arguments, exitpriority=-10))

    def close(self) -> None:
        """Do now what is done when the process ends: remove our files, and forget the folder.

        Images that still have their pixels there lose them.
        """
        for ending in self._endings:
            ending()
        self._endings.clear()
        self.cache_dir, self.key, self.ends_early = None, new_key(), False
        if self is cache:
            os.environ.pop(CACHE_DIR_VARIABLE, None)
            os.environ.pop(CACHE_KEY_VARIABLE, None)

    def __reduce__(self) -> str | tuple[Any, ...]:
        # Code that travels by value takes the cache of the process where it arrives.
        return "cache" if self is cache else (_unowned, (self.cache_dir,))

    def __str__(self) -> str:
        return f"A cache, with path {self.cache_dir}"


def _unowned(folder: Path | None) -> Cache:
    made = Cache()
    made.cache_dir = folder
    return made


def clear_dead_folders() -> None:
    """Remove the private temporary folders of this user's processes that were killed."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if not entry.name.startswith(TEMPORARY):
                continue
            with suppress(OSError):  # it went while we looked
                ours = entry.stat(follow_symlinks=False).st_uid == os.geteuid()
                owner = owner_of(Path(entry.path)) if ours and not entry.is_symlink() else None
                if owner is not None and owner.lives() is False:
                    shutil.rmtree(entry.path, ignore_errors=True)


def new_key() -> str:
    """Return a fresh mark for the files of one owner."""
    return uuid.uuid4().hex[:12]


def new_name(key: str) -> str:
    """Return a file name that no process has used or will use."""
    return f"{key}-{uuid.uuid4().hex}.npy"


def is_cache_file(name: str) -> bool:
    """Tell by its name whether a file is one of a cache, whole or half written."""
    return _FILE_NAME.fullmatch(name) is not None


def empty_folder(path: Path, key: str, made: bool) -> None:
    """Remove the cache files of one owner; of a folder that he made, all, and the folder too."""
    with suppress(OSError):
        for entry in list(os.scandir(path)):
            found = _FILE_NAME.fullmatch(entry.name)
            if found and (made or found["key"] == key):
                with suppress(OSError):
                    Path(entry.path).unlink()
        if made:
            path.rmdir()


def remove_temporary(path: Path, key: str) -> None:
    """Remove a private temporary folder, in which the cache's folder lies."""
    shutil.rmtree(path.parent, ignore_errors=True)


cache = Cache()
"""The cache of all images of this process."""
