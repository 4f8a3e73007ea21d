"""How much work goes into one task: enough that scheduling does not count, not more than is fair.

Chains of images are packed so that a task lasts about a second, longer where so many workers end
their tasks that one scheduler would have no time for them; how long an image takes is learnt from
the tasks that came back. Towards the end packs get smaller, so that all workers end together; of
many workers each gets its fair share at once, and what it has not begun can be asked back
(`asking`).
"""

from __future__ import annotations

import math

SECONDS_A_TASK = 1.0
LONGEST_SECONDS = 5.0
UNKNOWN_IMAGES = 5
"""So many go into one of many tasks while nobody knows how long one takes."""
SOONER = 8
"""What a whole batch waits for is divided so much finer, so that nothing long is begun last; but
into tasks of a second, where there is so much to do."""
PATIENCE = 2.0
"""A task that lasts so many times longer than it should gives back what it has not begun."""
TASKS_A_SECOND = 50
"""More tasks in a second than this are a burden for driver and scheduler (4 ms each)."""
SECONDS_A_BYTE = 2e-9
"""First guess for one image: a read, three arithmetic steps and a write of 16 MB take 35 ms."""
BYTES_WORTH_A_BAND = 48 << 20
"""Frames of a master are divided among tasks only where each gets so many bytes: less are combined
sooner than bands are written, read again and joined."""

BYTES_OF_A_SECOND = 1 << 30
"""So much is combined in about a second."""


class Packing:
    """Chooses the sizes of tasks.

    Parameters
    ----------
    slots : int
        Number of tasks that can run at once.
    seconds : float
        How long a task should last.
    """

    def __init__(self, slots: int, seconds: float = SECONDS_A_TASK) -> None:
        self.slots = max(1, slots)
        self.seconds = seconds
        self.free = 0
        """Number of slots that have no task yet; 0 if the next task will wait behind another."""
        self._learnt: dict[tuple[int, ...], tuple[float, int]] = {}

    @property
    def crowded(self) -> bool:
        """Whether so many workers end their tasks that each task is a burden."""
        return self.slots > TASKS_A_SECOND * self.seconds

    @property
    def wanted_seconds(self) -> float:
        """How long a task should last."""
        return min(max(self.seconds, self.slots / TASKS_A_SECOND), LONGEST_SECONDS)

    @property
    def patience(self) -> float:
        """Seconds after which a task should begin no other image."""
        return PATIENCE * self.wanted_seconds

    def learn(self, places: tuple[int, ...], n: int, seconds: float) -> None:
        """Note how long a task took with so many images through these steps."""
        total, count = self._learnt.get(places, (0.0, 0))
        # Older measurements fade, so that a first task that imported half a library is forgotten.
        self._learnt[places] = (0.7 * total + seconds, math.ceil(0.7 * count) + n)

    def seconds_of(self, places: tuple[int, ...]) -> float | None:
        """Return how long an image takes through these steps; None if that is not known yet."""
        total, count = self._learnt.get(places, (0.0, 0))
        return total / count if count else None

    def size(
        self, places: tuple[int, ...], waiting: int, nbytes: int, *, awaited: bool = False
    ) -> int:
        """Choose the number of images for the next task.

        Parameters
        ----------
        places : tuple of int
            Steps that the images pass.
        waiting : int
            Number of images that wait, those included that this task cannot take.
        nbytes : int
            Bytes of one image as float.
        awaited : bool
            Whether something is done to their batch, or group, as a whole when all are there.
        """
        each = self.seconds_of(places)
        if each is None:
            each = SECONDS_A_BYTE * nbytes + 1e-3
            if self.crowded:
                each = max(each, self.wanted_seconds / UNKNOWN_IMAGES)
        by_time = max(1, round(self.wanted_seconds / max(each, 1e-6)))
        half = math.ceil(waiting / (2 * self.slots))
        if not self.crowded:
            share = half
        elif awaited:
            a_second = min(half, round(self.seconds / max(each, 1e-6)))
            share = max(a_second, math.ceil(waiting / (SOONER * self.slots)))
        else:
            share = math.ceil(waiting / (self.free or self.slots))
        return max(1, min(by_time, share))

    def bands(self, rows: int, nbytes: int, busy: int = 0) -> list[int]:
        """Choose the edges of the bands of rows in which the frames of a master are combined.

        Parameters
        ----------
        rows : int
            Of the master.
        nbytes : int
            Bytes of all frames as floats.
        busy : int
            Number of other tasks that wait or are under way: small bands pay where slots would be
            idle, bands of a second and more always.
        """
        idle = min(self.slots - busy, nbytes // BYTES_WORTH_A_BAND)
        n = max(1, min(rows, max(idle, min(self.slots, nbytes // BYTES_OF_A_SECOND))))
        return [round(rows * i / n) for i in range(n + 1)]
