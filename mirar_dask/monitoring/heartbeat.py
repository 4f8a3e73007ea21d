"""The sign of life of a run: who does it, where, since when, and that he is still there.

A run keeps ``alive.json`` in its folder while it lives; `run` claims a night by it, and whoever
watches a run reads it with `read_sign`. What a run has done is in its journal.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from mirar_dask.atomic import replacing
from mirar_dask.errors import UsageError, WriteError
from mirar_dask.json_files import read_object
from mirar_dask.life import Life, process_started, this_kernel
from mirar_dask.monitoring.run_folder import RUNS, make_run_folder

logger = logging.getLogger(__name__)

ALIVE = "alive.json"
"""The file, in a run's folder. It is removed at the end; one that stays tells of a crash."""
BEAT_SECONDS = 5.0
"""How often it is written anew."""
SILENT_SECONDS = 60.0
"""After so long without a beat a run on another host is taken for dead."""


class NightBusyError(UsageError):
    """Raised when another run is at work on the same night in the same output folder."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What a run says of itself."""

    run_id: str
    pid: int
    host: str
    started: str
    """When the run began: ISO 8601, UTC."""
    process_started: float
    """When its process began, in seconds since the epoch: process ids are used again."""
    beat: float
    """Time of the last beat, in seconds since the epoch."""
    kernel: str = ""
    """The running system and its process numbers: see `mirar_dask.life.this_kernel`."""

    def alive(self, now: float | None = None) -> bool:
        """Tell whether the run goes on: its process is there, or, elsewhere, it beat lately."""
        lives = Life(self.host, self.kernel, self.pid, self.process_started).lives()
        if lives is not None:
            return lives
        return (time.time() if now is None else now) - self.beat < SILENT_SECONDS


def read_sign(folder: Path) -> Sign | None:
    """Read the sign of the run with this folder; None if it has ended in good order."""
    try:
        values = read_object(folder / ALIVE, _SignForm)
    except OSError:
        return None
    if values is None:
        return None
    return Sign(**{part.name: values[part.name] for part in fields(Sign) if part.name in values})


class _SignBefore(TypedDict):
    run_id: str
    pid: int
    host: str
    started: str
    process_started: float
    beat: float


class _SignForm(_SignBefore, total=False):
    kernel: str


def running(night: Path) -> Sign | None:
    """Return the sign of a run that is at work on a night (its output folder), if there is one."""
    for path in sorted((night / RUNS).glob(f"*/{ALIVE}")):
        sign = read_sign(path.parent)
        if sign is not None and sign.alive():
            return sign
    return None


@contextmanager
def beating(night: Path, run_id: str, look: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Claim a night, make the folder of a run, and keep its sign of life inside the block.

    Parameters
    ----------
    night : Path
        The night's output folder.
    run_id : str
        Name of the run.
    look : callable, optional
        Called with the run's folder at each beat, in the thread that beats.

    Yields
    ------
    Path
        The run's folder.

    Raises
    ------
    NightBusyError
        If another run is at work there; nothing was made then.
    """
    (night / RUNS).mkdir(parents=True, exist_ok=True)
    pid = os.getpid()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    began = process_started(pid) or 0.0
    sign = Sign(run_id, pid, socket.gethostname(), now, began, time.time(), this_kernel())
    with alone(night / RUNS):
        other = running(night)
        if other is not None:
            raise NightBusyError(
                f"run {other.run_id} (process {other.pid} on {other.host}, since {other.started}) "
                f"is at work on {night}; wait for its end, stop it, or choose another --out"
            )
        folder = make_run_folder(night, run_id)
        _write(folder, sign)
    ended = threading.Event()
    thread = threading.Thread(
        target=_beat, args=(folder, sign, ended, look), name=f"heartbeat {run_id}", daemon=True
    )
    thread.start()
    try:
        yield folder
    finally:
        ended.set()
        thread.join()
        (folder / ALIVE).unlink(missing_ok=True)


def _beat(
    folder: Path, sign: Sign, ended: threading.Event, look: Callable[[Path], None] | None
) -> None:
    told = False
    while not ended.wait(BEAT_SECONDS):
        try:
            _write(folder, sign)
        except WriteError as error:  # a disk that is full for a while must not end the run
            logger.log(logging.DEBUG if told else logging.WARNING, "no sign of life: %s", error)
            told = True
        if look is not None:
            look(folder)


def _write(folder: Path, sign: Sign) -> None:
    with replacing(folder / ALIVE) as temporary:
        text = json.dumps({**asdict(sign), "beat": time.time()}, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time look for others and write its own sign.

    The lock goes with its process, however that ends. Where a file system knows no locks of
    folders, as some network ones, two runs that begin in the same instant could miss each other.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
