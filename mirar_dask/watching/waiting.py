"""The frames of a watched night by what they wait for: their turn, a calibration, their set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mirar_dask.watching.frames import Frame


@dataclass
class Waiting:
    """Frames by name; each is in one place.

    Parameters
    ----------
    series_end : float
        Seconds without a further calibration frame after which those that came are taken up.
    """

    series_end: float
    taken: dict[str, Frame] = field(default_factory=dict)
    """Calibration frames that are in use."""
    pending: dict[str, Frame] = field(default_factory=dict)
    """Calibration frames that came and are not yet in use."""
    due: dict[str, Frame] = field(default_factory=dict)
    """Other frames whose turn comes."""
    lacking: dict[str, Frame] = field(default_factory=dict)
    """Frames that wait for a calibration that is not there."""
    held: dict[str, Frame] = field(default_factory=dict)
    """Frames of sets that are not stacked yet."""

    def drop(self, name: str) -> None:
        """Forget a frame."""
        for place in (self.taken, self.pending, self.due, self.lacking, self.held):
            place.pop(name, None)

    def take_up(self, clock: float) -> list[Frame]:
        """Take calibration frames into use once their series is over, or is needed now.

        A master is made for each state of a series that is used, so that a series is not taken up
        frame by frame: only the first of their sort do not wait, where a frame waits for them.

        Parameters
        ----------
        clock : float
            Seconds since the epoch.

        Returns
        -------
        list of Frame
            Those that were taken up. Frames that lacked a calibration are due again then.
        """
        if not self.pending:
            return []
        last = max(frame.arrival.arrived for frame in self.pending.values())
        have = {frame.sort for frame in self.taken.values()}
        found = list(self.pending.values())
        if 0 <= clock - last < self.series_end:
            found = [frame for frame in found if frame.sort not in have] if self.due else []
        for frame in found:
            self.taken[frame.name] = self.pending.pop(frame.name)
        if found:
            self.due = {**self.lacking, **self.due}
            self.lacking = {}
        return found

    def next_group(self, size: int) -> list[Frame]:
        """Give the next frames whose turn it is, and forget them."""
        return [self.due.pop(name) for name in list(self.due)[:size]]

    def release(self, names: Iterable[str]) -> list[Frame]:
        """Give the frames of a set, and forget them."""
        return [self.held.pop(name) for name in names if name in self.held]


def names_text(names: list[str]) -> str:
    """Name one frame, and say how many others there are."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def sorts_text(frames: Iterable[Frame]) -> str:
    """Count calibration frames by what they calibrate: ``4 bias, 3 flat g``."""
    sorts = [" ".join(filter(None, frame.sort)) for frame in frames]
    return ", ".join(f"{sorts.count(sort)} {sort}" for sort in dict.fromkeys(sorts))
