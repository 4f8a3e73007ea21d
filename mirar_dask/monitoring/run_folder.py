"""The run's own folder: its name, its log, and what the run wrote outside it."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from mirar_dask.atomic import HALF_WRITTEN, TEMPORARY_PREFIX
from mirar_dask.monitoring.job_file import JOB

RUNS = "runs"
"""Folder, inside the night's output folder, of the runs' own folders."""
PLAN, JOURNAL, LOG, SUMMARY, REPORT, CACHE = (
    "plan.json",
    "journal.jsonl",
    "log.txt",
    "summary.json",
    "report.html",
    "cache",
)
"""What a run's folder holds; the cache is gone when the run ends."""
ENDING = "ending.json"
"""What is known of a run that did not come to its end, though it was no sudden one."""

FileMark = tuple[int, int, int]
"""Inode, time of change and size: what tells that a file was written anew."""


def new_run_id(started: datetime) -> str:
    """Return a name for a run: the time, and a few letters so that two at a time differ."""
    return f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"


def folder_of(night: Path, run_id: str) -> Path:
    """Return where the folder of a run is, in the night's output folder."""
    return night / RUNS / run_id


def make_run_folder(night: Path, run_id: str) -> Path:
    """Make the folder of a run, which only its owner can read: it holds logs and pixels.

    A run that was submitted has one since then, with the job that it is in.
    """
    folder = folder_of(night, run_id)
    submitted = (folder / JOB).exists() and not (folder / JOURNAL).exists()
    folder.mkdir(parents=True, mode=0o700, exist_ok=submitted)
    return folder


def product_files(night: Path) -> dict[Path, FileMark]:
    """Return the files of a night that are for its user, with what tells a rewrite.

    Files of runs, and those still being written (their names begin with a dot), are left out.
    """
    found = {}
    for place, folders, names in os.walk(night):
        at = Path(place)
        if at == night:
            folders[:] = [name for name in folders if name != RUNS]
        for name in names:
            if not name.startswith("."):
                stat = (at / name).stat()
                found[at / name] = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
    return found


def written_since(night: Path, before: dict[Path, FileMark]) -> tuple[Path, ...]:
    """Return the files of a night that are new or were written anew, sorted."""
    after = product_files(night)
    return tuple(sorted(path for path, mark in after.items() if before.get(path) != mark))


def remove_half_written(night: Path) -> None:
    """Remove the products in a night's folder that somebody began to write and never finished.

    To be called by the run that holds the night while none of its workers writes: they are of
    workers that were killed, or lie where nothing could be removed for a while.
    """
    for path in night.rglob(f"{TEMPORARY_PREFIX}*"):
        if path.relative_to(night).parts[0] == RUNS or not HALF_WRITTEN.fullmatch(path.name):
            continue  # a run writes its own signs all the time; others may have such files too
        with suppress(OSError):  # a worker that was thought dead was at its end
            path.unlink()
