"""Looks at a growing folder in a thread of its own, and queues what is new there.

The folder is listed again and again; where the file system tells of changes, that only makes the
next look come sooner, so that an event that is lost, or never sent, loses no frame.
"""

from __future__ import annotations

import logging
import os
import queue
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from mirar_dask.errors import UsageError
from mirar_dask.io import is_frame_name, why_incomplete
from mirar_dask.watching.sightings import FileMark, News, Sightings

logger = logging.getLogger(__name__)

Means = Literal["auto", "events", "polling"]
"""How it is known that a folder has changed."""

MUTE = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs"),
        *("beegfs", "glusterfs", "vboxsf", "ncpfs", "orangefs", "pvfs2"),
    }
)
"""File systems that do not tell of what another host writes."""
SWEEP = 10.0
"""Seconds between two looks where events are told."""
PAUSE = 0.1
"""Least seconds between two looks."""
THOROUGH = 30.0
"""Seconds after which files that were told of are looked at again where nothing hints at them."""


class Observer:
    """Watches one folder while its ``with`` block goes on.

    Parameters
    ----------
    folder : Path
        The folder, which need not be there yet.
    sightings : Sightings
        Decides what is complete.
    means : {'auto', 'events', 'polling'}
        How it is known that something changed.
    interval : float
        Seconds between two looks where nothing tells of changes.

    Raises
    ------
    UsageError
        If events are asked for and cannot be had.
    """

    def __init__(
        self, folder: Path, sightings: Sightings, means: Means = "auto", interval: float = 2.0
    ) -> None:
        self.folder, self.sightings, self.interval = folder, sightings, interval
        self.news: queue.SimpleQueue[list[News]] = queue.SimpleQueue()
        """What each look has brought: who sees a frame sees the calibrations beside it."""
        self.means: Means
        self.means, self.why = choose_means(folder, means)
        self.looked = threading.Event()
        """Set once the folder was looked at for the first time."""
        self._ended = threading.Event()
        self._hints = _Hints()
        self._thorough = 0.0
        self._failed: BaseException | None = None

    def __enter__(self) -> Observer:
        self._thread = threading.Thread(target=self._run, name="watching", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._hints.wake.set()
        self._thread.join()

    @property
    def quiet(self) -> bool:
        """Whether all that is there has been told of."""
        return self.news.empty() and not self.sightings.growing

    def gather(self, patience: float) -> list[News]:
        """Give all news that there are; where there are none, those that come next, if any do.

        Parameters
        ----------
        patience : float
            Seconds to wait for the first.
        """
        found: list[News] = []
        if self._failed is not None:
            raise self._failed
        try:
            found += self.news.get(timeout=patience) if patience else self.news.get_nowait()
            while True:
                found += self.news.get_nowait()
        except queue.Empty:
            return found

    def _run(self) -> None:
        try:
            with _events(self.means == "events", self._hints) as follow:
                while not self._ended.is_set():
                    if not follow(self.folder):
                        self.means = "polling"
                    self._look()
                    self.looked.set()
                    self._hints.wake.wait(self._patience())
                    self._ended.wait(PAUSE)
        except BaseException as error:  # raised in the thread that asks for news
            self._failed = error
            self.looked.set()

    def _patience(self) -> float:
        if self.sightings.growing:
            return max(PAUSE, min(self.interval, self.sightings.stable) / 2)
        return SWEEP if self.means == "events" else self.interval

    def _look(self) -> None:
        touched, closed = self._hints.take()
        now = time.monotonic()
        thorough = now >= self._thorough
        if thorough:
            self._thorough = now + THOROUGH
        try:
            files = self._list(touched, thorough)
        except FileNotFoundError:
            files = {}
        except OSError as error:  # a server that is away for a while must not end the night
            logger.warning("%s cannot be read now: %s", self.folder, error.strerror or error)
            return
        news = list(self.sightings.look(files, time.monotonic(), time.time(), closed))
        if news:
            self.news.put(news)

    def _list(self, touched: set[str], thorough: bool) -> dict[str, FileMark]:
        files = {}
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if not is_frame_name(entry.name):
                    continue
                known = None if thorough else self.sightings.mark_of(entry.name)
                if known is not None and entry.name not in touched:
                    files[entry.name] = known
                    continue
                try:
                    found = entry.stat()
                except OSError:  # it went away meanwhile, or is a link to nothing
                    continue
                if stat.S_ISREG(found.st_mode):
                    files[entry.name] = FileMark(found.st_size, found.st_mtime_ns, found.st_ino)
        return dict(sorted(files.items()))


def examine(folder: Path) -> Any:
    """Return the function that examines the files of a folder for `Sightings`."""
    return lambda name: why_incomplete(folder / name)


# -- events -----------------------------------------------------------------------------------


class _Hints:
    """What events tell: names of files that changed, and that were closed or moved here."""

    def __init__(self) -> None:
        self.wake = threading.Event()
        self._lock = threading.Lock()
        self._touched: set[str] = set()
        self._closed: set[str] = set()

    def add(self, path: str, *, closed: bool) -> None:
        name = path.rpartition(os.sep)[2]
        with self._lock:
            self._touched.add(name)
            if closed:
                self._closed.add(name)
        self.wake.set()

    def take(self) -> tuple[set[str], set[str]]:
        with self._lock:
            self.wake.clear()
            found = self._touched, self._closed
            self._touched, self._closed = set(), set()
        return found


def choose_means(folder: Path, means: Means) -> tuple[Literal["events", "polling"], str]:
    """Decide how changes of a folder are noticed, and say why.

    Raises
    ------
    UsageError
        If events are asked for and watchdog is not installed.
    """
    if means == "polling":
        return "polling", "as asked for"
    try:
        import watchdog.observers  # noqa: F401
    except ImportError:
        if means == "events":
            raise UsageError(
                "--observe events needs watchdog; install it with 'pip install "
                "mirar-dask[watch]', or leave the option out"
            ) from None
        return "polling", "watchdog is not installed"
    if means == "events":
        return "events", "as asked for"
    kind = file_system(folder)
    if kind in MUTE or kind.startswith("fuse"):
        return "polling", f"{kind} does not tell of what other hosts write"
    return "events", f"{kind} tells of changes" if kind else "the system tells of changes"


def file_system(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the kind of the file system in which a folder lies; empty if that is not known."""
    path = folder.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    path = path.resolve()
    kind, longest = "", -1
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = Path(fields[4].replace("\\040", " "))
        if path.is_relative_to(point) and len(point.parts) >= longest:
            kind, longest = after.split()[0], len(point.parts)
    return kind


@contextmanager
def _events(wanted: bool, hints: _Hints) -> Iterator[Any]:
    """Give a function that lets a folder tell of its changes, once it is there, if that can be."""
    if not wanted:
        yield lambda folder: True
        return
    from watchdog.events import (
        FileClosedEvent,
        FileCreatedEvent,
        FileDeletedEvent,
        FileModifiedEvent,
        FileMovedEvent,
        FileSystemEventHandler,
    )
    from watchdog.observers import Observer as Watchdog

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: Any) -> None:
            moved = isinstance(event, FileMovedEvent)
            hints.add(str(event.src_path), closed=isinstance(event, FileClosedEvent))
            if moved:
                hints.add(str(event.dest_path), closed=True)

    # That our own workers open the frames to read them is no news.
    kinds = [
        *(FileCreatedEvent, FileModifiedEvent, FileClosedEvent, FileMovedEvent),
        FileDeletedEvent,
    ]
    watchdog, handler = Watchdog(), Handler()
    followed: int | None = None
    watch: Any = None

    def follow(folder: Path) -> bool:
        nonlocal followed, watch
        try:
            here = folder.stat().st_ino
        except OSError:
            return True  # it may still come
        if here == followed:
            return True
        try:
            if watch is not None:  # the folder was made anew
                watchdog.unschedule(watch)
            watch = watchdog.schedule(handler, str(folder), event_filter=kinds)
        except OSError as error:  # no more watches are allowed to this user
            logger.warning("no events of %s (%s); it is looked at instead", folder, error)
            return False
        followed = here
        return True

    watchdog.start()
    try:
        yield follow
    finally:
        watchdog.stop()
        watchdog.join()
