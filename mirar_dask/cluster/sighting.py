"""What a worker sees of the folders, clock and packages of a run; what that means is pure.

`probe` sends the order and collects the sightings. This module imports no Dask: it is what runs
on the workers.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

EXACT = ("mirar_dask", "dask", "distributed")
"""Packages whose versions must be the same everywhere."""
ALIKE = ("python", "numpy", "astropy")
"""Those that must agree in the first two numbers, or products would differ in their last bits."""
SKEW_SECONDS = 60.0
"""Difference of clocks above which a worker is refused."""
MIN_FREE = 256 << 20
"""Bytes that must be free where files are written."""
TOKEN_PREFIX = ".probe-"
"""Begins the names of files that are written for others to read."""
PATIENCE_SECONDS = 5.0
"""How long a file that must be there is waited for; shared folders can be late."""


@dataclass(frozen=True)
class Token:
    """A small file that one host writes and others read."""

    path: Path
    size: int
    digest: str


@dataclass(frozen=True)
class Order:
    """What a worker is asked to look at."""

    read: tuple[tuple[str, Token], ...]
    """Files to read, each with the name of its place: raw, output, cache."""
    write: tuple[tuple[str, Path], ...]
    """Folders to write a file to, each with the name of its place."""
    versions: tuple[tuple[str, str], ...]
    """What runs where the driver is."""
    time: float
    """What its clock said; compared with what the worker's says when the order arrives."""


@dataclass(frozen=True)
class Sighting:
    """What a worker saw."""

    host: str
    troubles: tuple[tuple[str, str], ...] = ()
    """(place, what was wrong there)."""
    written: tuple[tuple[str, Token], ...] = ()
    """What it wrote, by place."""
    versions: tuple[tuple[str, str], ...] = ()
    free: tuple[tuple[str, int], ...] = ()
    """Bytes free, by place."""
    skew: float = 0.0
    """Seconds by which its clock is ahead."""


@dataclass(frozen=True, order=True)
class Finding:
    """Something that keeps a worker from doing the run's tasks."""

    place: str
    """raw, output, cache, versions, clock or worker."""
    what: str
    hosts: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return f"{', '.join(self.hosts)}: {self.what}"


def own_versions() -> tuple[tuple[str, str], ...]:
    """Return the versions of this process."""
    found = [("python", platform.python_version())]
    for name in (*EXACT, *(n for n in ALIKE if n != "python")):
        try:
            found.append((name, version(name.replace("_", "-"))))
        except PackageNotFoundError:
            found.append((name, "none"))
    return tuple(found)


def remove_tokens(folder: Path) -> None:
    """Remove what is left of workers that were ended while they looked."""
    for path in folder.rglob(f"{TOKEN_PREFIX}*"):
        if path.is_file():
            path.unlink(missing_ok=True)


def write_token(folder: Path, name: str) -> Token:
    """Write a file that others are to read.

    Raises
    ------
    OSError
        If that cannot be done.
    """
    path = folder / f"{TOKEN_PREFIX}{name}-{os.urandom(6).hex()}"
    text = os.urandom(4096)
    with path.open("xb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Token(path, len(text), hashlib.sha256(text).hexdigest())


def first_block(path: Path) -> Token:
    """Describe a file by its size and its first block, the beginning of a FITS header."""
    with path.open("rb") as file:
        return Token(path, path.stat().st_size, hashlib.sha256(file.read(2880)).hexdigest())


def trouble_with(token: Token, *, patience: float | None = None) -> str | None:
    """Say what is wrong with a file that another host wrote; None if it is as it should be."""
    end = time.monotonic() + (PATIENCE_SECONDS if patience is None else patience)
    while True:
        trouble = _trouble_now(token)
        if trouble is None or time.monotonic() > end:
            return trouble
        time.sleep(0.1)


def _trouble_now(token: Token) -> str | None:
    folder = token.path.parent
    try:
        seen = first_block(token.path)
        if seen.size == token.size and (
            seen.digest == token.digest or _digest(token.path) == token.digest
        ):
            return None
        return f"{token.path} is another file there"
    except FileNotFoundError:
        if folder.is_dir():
            return f"the folder {folder} is another one there"
        return f"the folder {folder} is not there"
    except OSError as error:
        return f"{token.path} cannot be read there ({error.strerror or error})"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.stat().st_size < 1 << 16 else ""


def look(order: Order, *, patience: float | None = None) -> Sighting:
    """Do what is ordered, on a worker."""
    skew = time.time() - order.time
    troubles: list[tuple[str, str]] = []
    written: list[tuple[str, Token]] = []
    free: list[tuple[str, int]] = []
    for place, token in order.read:
        trouble = trouble_with(token, patience=patience)
        if trouble:
            troubles.append((place, trouble))
    lacking = {place for place, _ in troubles}
    for place, folder in order.write:
        if place in lacking:
            continue  # it would be written into a folder that nobody else sees
        try:
            written.append((place, write_token(folder, f"w{os.getpid()}")))
            free.append((place, shutil.disk_usage(folder).free))
        except OSError as error:
            why = error.strerror or error
            troubles.append((place, f"{folder} cannot be written there ({why})"))
    return Sighting(
        socket.gethostname(), tuple(troubles), tuple(written), own_versions(), tuple(free), skew
    )


def judge(order: Order, sighting: Sighting) -> list[Finding]:
    """Return what a sighting means for the run; nothing if all is well."""
    host = (sighting.host,)
    found = [Finding(place, what, host) for place, what in sighting.troubles]
    theirs = dict(sighting.versions)
    for name, ours in order.versions:
        other = theirs.get(name, "none")
        if not compatible(name, ours, other):
            found.append(Finding("versions", f"it has {name} {other}, the driver {ours}", host))
    for place, size in sighting.free:
        if size < MIN_FREE:
            found.append(Finding(place, f"only {size / 1e6:.0f} MB are free for the {place}", host))
    if abs(sighting.skew) > SKEW_SECONDS:
        way = "ahead of" if sighting.skew > 0 else "behind"
        off = f"its clock is {abs(sighting.skew):.0f} s {way} the driver's"
        found.append(Finding("clock", off, host))
    return found


def compatible(name: str, ours: str, theirs: str) -> bool:
    """Tell whether a package of two versions gives the same products."""
    if name in EXACT:
        return ours == theirs
    return ours.split(".")[:2] == theirs.split(".")[:2]


def merged(findings: Sequence[Finding]) -> list[Finding]:
    """Put together what was found on several hosts."""
    hosts: dict[tuple[str, str], dict[str, None]] = {}
    for finding in findings:
        hosts.setdefault((finding.place, finding.what), {}).update(dict.fromkeys(finding.hosts))
    return [Finding(place, what, tuple(names)) for (place, what), names in hosts.items()]


REMEDIES = {
    "raw": "put the raw frames on storage that all hosts see under one path",
    "output": "name an output folder (--out) that all hosts see under one path",
    "cache": "name a cache folder that all hosts share (--cache DIR), or go without (--cache off)",
    "versions": "install the same packages there, or name the right Python (--python)",
    "clock": "set its clock (chronyd, ntpd)",
    "worker": "see the log of that worker",
}


def refusal(findings: Sequence[Finding]) -> str:
    """Say in one sentence what was found, and what to do about each kind of it."""
    found = merged(findings)
    places = dict.fromkeys(finding.place for finding in found)
    remedies = "; ".join(REMEDIES[place] for place in places)
    if "cache" in places and {"raw", "output"} & places.keys():
        remedies = "; ".join(REMEDIES[place] for place in places if place != "cache")
    return f"workers cannot do this run: {'; '.join(map(str, found))}. To do: {remedies}"
