"""Debris of the runs of a night: their caches, certificates, and what they had half written."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mirar_dask.atomic import HALF_WRITTEN
from mirar_dask.cluster.certificates import TLS
from mirar_dask.cluster.sighting import TOKEN_PREFIX
from mirar_dask.data.cache import is_cache_file
from mirar_dask.debris.types import Debris, ForeignError, Left, weigh
from mirar_dask.json_files import read_object
from mirar_dask.life import OWNER, owner_of
from mirar_dask.monitoring.heartbeat import ALIVE, SILENT_SECONDS, read_sign, running
from mirar_dask.monitoring.run_folder import CACHE
from mirar_dask.monitoring.runs import REQUEST, run_folders

PROBE = re.compile(re.escape(TOKEN_PREFIX) + r"[a-z0-9]+-[0-9a-f]{12}")
SCHEDULER = re.compile(r"\.scheduler-[^/]+\.json")
_KINDS = ((HALF_WRITTEN, "half-written file"), (PROBE, "probe file"), (SCHEDULER, "scheduler file"))
LINGER_SECONDS = 600.0
"""So long after its last sign of life the workers of a dead run may have gone on writing."""

Found = Iterator[Debris | Left]


@dataclass(frozen=True)
class Dead:
    """A run that is over."""

    folder: Path
    text: str
    """Its name and what is known of its end."""
    began: float
    """In seconds since the epoch."""
    last: float
    """Its last sign of life, in seconds since the epoch; 0 if it ended in good order."""


def dead_run(folder: Path) -> Dead | None:
    """Return what is known of a run that is dead; None if it lives, waits, or ended well."""
    sign = read_sign(folder)
    if sign is not None:
        if sign.alive():
            return None
        last = datetime.fromtimestamp(sign.beat, UTC).isoformat(timespec="seconds")
        text = f"run {folder.name}, killed on {sign.host} (last sign of life {last})"
        return Dead(folder, text, min(sign.beat, _began(folder)), sign.beat)
    try:
        written = (folder / ALIVE).stat().st_mtime
    except OSError:
        written = 0.0
    if written:  # a sign that cannot be read
        if time.time() - written < SILENT_SECONDS:
            return None
        return Dead(folder, f"run {folder.name}, dead", min(written, _began(folder)), written)
    with suppress(OSError):
        # An orderly end leaves no cache, unless storage refused to remove it.
        if time.time() - (folder / CACHE).lstat().st_mtime > SILENT_SECONDS:
            return Dead(folder, f"run {folder.name}, ended", _began(folder), 0.0)
    return None


def _began(folder: Path) -> float:
    try:
        return (folder / REQUEST).stat().st_mtime - SILENT_SECONDS
    except OSError:
        return folder.stat().st_mtime - SILENT_SECONDS


def run_debris(out: Path) -> Found:
    """Find what dead runs left, in all nights of an output folder or in one of them."""
    nights = {folder.parent.parent.resolve() for folder in run_folders(out)}
    for night in sorted(nights):
        yield from night_debris(night)


def night_debris(night: Path, *, holder: str = "") -> Found:
    """Find what the dead runs of a night left.

    Parameters
    ----------
    night : Path
        The night's output folder, without symbolic links.
    holder : str
        Name of the run that holds the night and asks, if one does.
    """
    dead = []
    for folder in run_folders(night):
        run = dead_run(folder)
        if run is None:
            continue
        if folder.is_symlink() or folder.lstat().st_uid != os.geteuid():
            yield Left(folder, "the run is another user's")
            continue
        dead.append(run)
        for path, kind in ((folder / CACHE, "cache"), (folder / TLS, "certificates")):
            yield from _weighed(path, kind, run)
        elsewhere = _cache_elsewhere(folder)
        if elsewhere is not None:
            yield from _foreign_cache(elsewhere, run)
    killed = [run for run in dead if run.last]
    if killed and not at_work(night, but=holder):
        yield from _half_written(night, killed, holder)


def at_work(night: Path, *, but: str = "") -> bool:
    """Tell whether a run is at work on a night: what it writes looks like debris."""
    sign = running(night)
    return sign is not None and sign.run_id != but


def _weighed(path: Path, kind: str, run: Dead) -> Found:
    with suppress(FileNotFoundError):
        try:
            yield weigh(path, kind, run.text, run_folder=run.folder)
        except ForeignError as error:
            yield Left(path, str(error))


def _cache_elsewhere(folder: Path) -> Path | None:
    """Return where the cache of a run was put, if the run said so (``--cache DIR``)."""
    try:
        said = (read_object(folder / REQUEST) or {}).get("cache")
    except OSError:
        return None
    if not isinstance(said, str) or "\0" in said or said.strip().lower() in ("on", "off"):
        return None
    return (Path(said).expanduser().absolute() / folder.name).resolve()


def _foreign_cache(path: Path, run: Dead) -> Found:
    """Weigh a cache outside the run's folder: it must say itself that it is this run's.

    The request could have come here with a copy of another user's output.
    """
    try:
        if not stat.S_ISDIR(path.lstat().st_mode):
            return
    except OSError:
        return
    owner = owner_of(path)
    if owner is None or owner.run != run.folder.name:
        yield Left(path, f"it does not say that it is the cache of run {run.folder.name}")
        return
    strange = [one.name for one in path.iterdir() if not belongs_in_cache(one.name)]
    if strange:
        yield Left(path, f"it holds what is not of a cache ({strange[0]!r})")
        return
    yield from _weighed(path, "cache", run)


def belongs_in_cache(name: str) -> bool:
    """Tell by its name whether a file is one that runs put into their caches."""
    return name == OWNER or is_cache_file(name) or bool(PROBE.fullmatch(name))


def _half_written(night: Path, killed: list[Dead], holder: str) -> Found:
    """Find what dead runs were writing: by its name, and because they lived at that time."""
    for place, folders, names, handle in os.fwalk(night, follow_symlinks=False):
        folders[:] = [name for name in folders if name not in (CACHE, holder)]
        for name in names:
            kind = next((kind for form, kind in _KINDS if form.fullmatch(name)), None)
            if kind is None:
                continue
            with suppress(FileNotFoundError):
                entry = os.lstat(name, dir_fd=handle)
                run = next((run for run in killed if _wrote(run, entry)), None)
                if run is not None and stat.S_ISREG(entry.st_mode):
                    yield from _weighed(Path(place, name), kind, run)


def _wrote(run: Dead, entry: os.stat_result) -> bool:
    """Tell whether a file is of the time of a run; its workers live on for a while."""
    return run.began <= entry.st_mtime <= run.last + LINGER_SECONDS
