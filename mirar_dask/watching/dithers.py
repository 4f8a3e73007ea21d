"""Sets of dithered exposures: which frames belong together, and when a set is complete.

A frame belongs to a set by NUMDITHS, the number of exposures in it, and has DITHNUM, its own number
there. Pure; `Follower` tells it what arrived.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame stands in its set."""

    key: tuple[Hashable, ...]
    """What the frames of a set share: target, filter, exposure time, number of exposures."""
    number: int
    of: int


@dataclass
class DitherSet:
    """Exposures that are stacked together."""

    place: Place
    """Of the first that came."""
    frames: dict[int, str] = field(default_factory=dict)
    """Name of the frame, by its number; those that failed are left out."""
    numbers: set[int] = field(default_factory=set)
    """Numbers that arrived, those of frames that failed included."""
    last: float = 0.0
    """When the last frame came, seconds."""

    @property
    def complete(self) -> bool:
        """Whether all have arrived."""
        return len(self.numbers) >= self.place.of

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the frames, in the order of their numbers."""
        return tuple(self.frames[number] for number in sorted(self.frames))


class Dithers:
    """The sets that are under way.

    Parameters
    ----------
    patience : float
        Seconds after its last frame when a set that is not complete is stacked as it is.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._open: dict[tuple[Hashable, ...], DitherSet] = {}
        self._closed: list[DitherSet] = []

    def add(self, name: str, place: Place, now: float, *, good: bool = True) -> None:
        """Take in a frame that has arrived, and was calibrated or has failed."""
        found = self._open.get(place.key)
        taken = found is not None and place.number in found.numbers
        if taken and found is not None and found.frames.get(place.number) == name:
            taken = False  # the same frame, written anew
        if found is None or taken:
            if found is not None:
                self._closed.append(found)  # the next set has begun
            found = self._open[place.key] = DitherSet(place)
        found.numbers.add(place.number)
        found.last = now
        if good:
            found.frames[place.number] = name
        if found.complete:
            self._closed.append(self._open.pop(place.key))

    def due(self, now: float) -> list[DitherSet]:
        """Give, and forget, the sets that are complete or have waited long enough."""
        self._closed += [self._open.pop(key) for key in self._late(now)]
        found, self._closed = self._closed, []
        return [one for one in found if one.frames]

    def is_due(self, now: float) -> bool:
        """Whether there are such sets."""
        return bool(self._closed or self._late(now))

    def _late(self, now: float) -> list[tuple[Hashable, ...]]:
        return [key for key, one in self._open.items() if now - one.last >= self.patience]

    @property
    def waiting(self) -> int:
        """Number of sets that are not complete."""
        return len(self._open)


def place_of(header: dict[str, object]) -> Place | None:
    """Return the place of a frame in its set; None if its header tells of no set.

    Parameters
    ----------
    header : dict
        TARGET, FILTER, EXPTIME, DITHNUM and NUMDITHS, as far as the frame has them.
    """
    try:
        number, of = int(float(str(header["DITHNUM"]))), int(float(str(header["NUMDITHS"])))
    except (KeyError, ValueError, OverflowError):
        return None
    if of < 2:
        return None
    shared = (header.get("TARGET"), header.get("FILTER"), header.get("EXPTIME"), of)
    return Place(tuple(str(value) for value in shared), number, of)
