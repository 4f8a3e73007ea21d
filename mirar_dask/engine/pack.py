"""Pack: the images of a task that were not begun, for its worker or, if asked back, for another.

The thread that does the task takes one after the other; meanwhile another thread of the worker may
give some back to the driver. Every image is handed out once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence

from mirar_dask.engine.types import ChainItem


class Pack:
    """The images of one task that were not begun; safe across threads.

    Parameters
    ----------
    items : sequence of ChainItem
        The images, in the order in which they are begun.
    seconds : float
        After so many seconds no other image is begun.
    """

    def __init__(self, items: Sequence[ChainItem], seconds: float) -> None:
        self._waiting = deque(items)
        self._lock = threading.Lock()
        self._end = time.monotonic() + seconds
        self._begun = False

    def __iter__(self) -> Iterator[ChainItem]:
        """Hand out the images to whoever does them, at least one, until the time is over."""
        while True:
            with self._lock:
                late = self._begun and time.monotonic() > self._end
                if late or not self._waiting:
                    return
                self._begun = True
                item = self._waiting.popleft()
            yield item

    def give_back(self, part: float = 1.0) -> tuple[int, ...]:
        """Let go of images at the end of the pack; return their positions.

        Parameters
        ----------
        part : float
            How many of those that wait, rounded up.
        """
        with self._lock:
            n = -int(-len(self._waiting) * part // 1)
            return tuple(self._waiting.pop().position for _ in range(n))[::-1]
