"""Which files of a growing folder are complete frames: decided from what was seen of them.

`Observer` looks at the folder and tells `Sightings`, which has no clock and lists no folder.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class FileMark(NamedTuple):
    """What tells that a file was written to, or is another one."""

    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame is there, whole."""

    name: str
    mark: FileMark
    arrived: float
    """When it was last written to: seconds since the epoch, by the clock of this host."""


@dataclass(frozen=True, slots=True)
class Incomplete:
    """A file is not expected to become a frame any more; it is taken up again if it changes."""

    name: str
    mark: FileMark
    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """A file is not there any more."""

    name: str


News = Arrival | Incomplete | Gone
"""What is told of a file."""


@dataclass(slots=True)
class _File:
    mark: FileMark
    first: float
    """When it was first seen, or written to again after it had been told of; seconds."""
    changed: float
    """When it was last seen to have changed; seconds."""
    arrived: float
    told: bool = False
    """Whether it needs no more looking at until it changes."""
    doubt: str | None = None
    """Why it is no frame, if it was examined since it changed."""


class Sightings:
    """Tells what became of each file, from one look at the folder to the next.

    Parameters
    ----------
    why_incomplete : callable
        Given a name, says why that file is no complete frame; None if it is one.
    stable : float
        Seconds without a change after which a file is examined.
    give_up : float
        Seconds without a change after which a file that is not complete is given up.
    endless : float
        Seconds after which a file that goes on changing is given up.
    """

    def __init__(
        self,
        why_incomplete: Callable[[str], str | None],
        *,
        stable: float = 1.0,
        give_up: float = 60.0,
        endless: float = 600.0,
    ) -> None:
        self.why_incomplete = why_incomplete
        self.stable, self.give_up, self.endless = stable, give_up, endless
        self._files: dict[str, _File] = {}
        self._looked = 0.0
        """Time of day of the last look; before the first one everything is possible."""

    @property
    def growing(self) -> bool:
        """Whether a file is there of which nobody knows yet what becomes of it."""
        return any(not file.told for file in self._files.values())

    def mark_of(self, name: str) -> FileMark | None:
        """Return what a file was last like, if it needs no more looking at; else None."""
        file = self._files.get(name)
        return file.mark if file is not None and file.told else None

    def look(
        self,
        files: Mapping[str, FileMark],
        now: float,
        clock: float,
        closed: Container[str] = (),
    ) -> Iterator[News]:
        """Take in one look at the folder, and give what is new.

        Parameters
        ----------
        files : mapping
            All files that may be frames, by name.
        now : float
            Seconds on a clock that nobody sets.
        clock : float
            Seconds since the epoch.
        closed : container of str
            Files that whoever wrote them has just closed, or that were moved here.
        """
        for name in [name for name in self._files if name not in files]:
            del self._files[name]
            yield Gone(name)
        for name, mark in files.items():
            file = self._files.get(name)
            if file is None or file.mark != mark:
                file = self._changed(name, mark, now, clock)
            if file.told:
                continue
            still = now - file.changed
            if still >= self.stable or name in closed:
                yield from self._examined(name, file, still)
            elif now - file.first >= self.endless:
                file.told = True
                seconds = f"{now - file.first:.0f} s"
                yield Incomplete(
                    name, mark, f"is still being written after {seconds} ({mark.size} bytes)"
                )
        self._looked = clock

    def _changed(self, name: str, mark: FileMark, now: float, clock: float) -> _File:
        before = self._files.get(name)
        first = now if before is None or before.told else before.first
        # The clock of the host that writes may be wrong: it was written after the last look.
        arrived = min(clock, max(mark.mtime_ns / 1e9, self._looked))
        file = self._files[name] = _File(mark, first, now, arrived)
        return file

    def _examined(self, name: str, file: _File, still: float) -> Iterator[News]:
        if file.doubt is None:
            file.doubt = self.why_incomplete(name)
            if file.doubt is None:
                file.told = True
                yield Arrival(name, file.mark, file.arrived)
                return
        if still >= self.give_up:
            file.told = True
            yield Incomplete(name, file.mark, f"{file.doubt}; it has not grown for {still:.0f} s")
