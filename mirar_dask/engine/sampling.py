"""Samples of what a run takes up: memory of its workers, cache files, free disk.

A thread of the driver looks every few seconds; the driver announces what it found, so that all
events come from one thread. Nothing here may hold a run up or end it.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from mirar_dask.data.cache import CachePlace
from mirar_dask.engine.events import Event, Sampled

logger = logging.getLogger(__name__)

FIRST_SECONDS = 0.5
"""When a run is first looked at."""
SECONDS = 3.0
"""How often it is looked at afterwards; less often where looking takes long."""
SHARE = 0.02
"""Part of the time that may be spent looking."""


class Memory(NamedTuple):
    """Of all workers."""

    used: int = 0
    fullest: float = 0.0
    """Share of its limit that the fullest worker takes."""
    limit: int = 0
    """0 where one of them has none."""

    @classmethod
    def of(cls, workers: Iterable[tuple[int, int]]) -> Memory:
        """Add up what workers use and what they may."""
        used = limit = 0
        fullest, limited = 0.0, True
        for mine, most in workers:
            used, limit = used + mine, limit + most
            limited &= most > 0
            fullest = max(fullest, mine / most if most else 0.0)
        return cls(used, round(fullest, 3), limit if limited else 0)


def memory_here() -> Memory:
    """Tell what this process uses."""
    import psutil

    return Memory(int(psutil.Process().memory_info().rss))


def sample(memory: Memory, cache: CachePlace, products: Path) -> Sampled:
    """Look at the cache and the disks.

    Parameters
    ----------
    memory : Memory
        Of the workers.
    cache : CachePlace
        Of the run.
    products : Path
        Folder below which products are written; it need not be there yet.
    """
    files, nbytes = _cache_files(cache)
    disk = _disk(products)
    free = 0 if cache.folder is None else _disk(cache.folder)[0]
    return Sampled(
        time.time(), memory.used, memory.fullest, memory.limit, files, nbytes, free, *disk
    )


def _cache_files(cache: CachePlace) -> tuple[int, int]:
    files = nbytes = 0
    if cache.folder is None:
        return 0, 0
    with suppress(OSError), os.scandir(cache.folder) as entries:
        for entry in entries:
            if cache.key in entry.name:
                with suppress(OSError):  # released meanwhile
                    nbytes += entry.stat().st_size
                    files += 1
    return files, nbytes


def _disk(folder: Path) -> tuple[int, int]:
    """Return free bytes and size of the disk that a folder is, or will be, on."""
    for place in (folder, *folder.parents):
        with suppress(OSError):
            usage = shutil.disk_usage(place)
            return usage.free, usage.total
    return 0, 0


class Sampler:
    """Looks at a run again and again inside its ``with`` block.

    Parameters
    ----------
    look : callable
        Takes a sample.
    """

    def __init__(self, look: Callable[[], Sampled]) -> None:
        self._look = look
        self._found: Sampled | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go, name="mirar_dask sampler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=5.0)  # a disk that does not answer must not hold the run up

    def announce(self, tell: Callable[[Event], None]) -> None:
        """Announce the newest sample, if it was not announced yet."""
        found, self._found = self._found, None
        if found is not None:
            tell(found)

    def _go(self) -> None:
        pause = FIRST_SECONDS
        while not self._ended.wait(pause):
            began = time.monotonic()
            try:
                self._found = self._look()
            except Exception as exc:  # the scheduler may be gone: the driver says so
                logger.debug("could not look at the run: %s", exc)
            pause = max(SECONDS, (time.monotonic() - began) / SHARE)
