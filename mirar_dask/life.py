"""Owners: which process a folder or a run belongs to, and whether that process is still there.

The sign of life of a run, the private folders of the cache and `mirar-dask clean` use it.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypedDict

from mirar_dask.json_files import read_object

OWNER = ".owner.json"
"""File that says to whom the folder in which it lies belongs."""
SAME_START = 10.0
"""Seconds by which the start of one process may seem to move when its host's clock is set."""


@dataclass(frozen=True, slots=True)
class Life:
    """A process, so that it is known again."""

    host: str
    kernel: str
    """The running system and its process numbers: see `this_kernel`; empty if not known."""
    pid: int
    started: float
    """When the process began, in seconds since the epoch: process ids are used again."""
    run: str = ""
    """Name of the run that it does, if it does one."""

    def lives(self) -> bool | None:
        """Tell whether the process is there; None where that cannot be known from here."""
        if self.host != socket.gethostname():
            return None
        if self.kernel and self.kernel != this_kernel():
            return None  # a host of the same name, another container, or it was started anew
        began = process_started(self.pid)
        return began is not None and abs(began - self.started) < SAME_START


def this_life(run: str = "") -> Life:
    """Return this process."""
    pid = os.getpid()
    return Life(socket.gethostname(), this_kernel(), pid, process_started(pid) or 0.0, run)


def this_kernel() -> str:
    """Return a text that only processes have that see the same process numbers.

    Hosts and containers may share a name, and containers of one host share its kernel.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no Linux
        return ""


def process_started(pid: int) -> float | None:
    """Return when a process of this host began; None if there is none of that number."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(process.create_time())
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return None


def sign_folder(folder: Path, run: str = "") -> None:
    """Write into a folder that it belongs to this process."""
    text = json.dumps(asdict(this_life(run)))
    (folder / OWNER).write_text(text + "\n", encoding="utf-8")


def owner_of(folder: Path) -> Life | None:
    """Return the process that a folder belongs to; None if the folder does not say."""
    try:
        said = read_object(folder / OWNER, _Owner)
    except OSError:
        return None
    return Life(**{part.name: said[part.name] for part in fields(Life)}) if said else None


class _Owner(TypedDict):
    host: str
    kernel: str
    pid: int
    started: float
    run: str
