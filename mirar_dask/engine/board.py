"""TaskBoard: the tasks that wait and those under way, with what is done when they land.

It hands out the most urgent first, within the concurrency limits of their steps.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import count

from mirar_dask.engine.questions import is_solo
from mirar_dask.engine.types import Outcome, Task, Work
from mirar_dask.processors.base_processor import BaseProcessor


class Urgency(IntEnum):
    """What goes first among the tasks of one segment: that for which most others wait."""

    REGROUP = 0
    CHAIN = 5
    BATCH = 7
    FRAME_OF_MASTER = 8
    CONTEXT = 9

    def within(self, segment: int) -> int:
        """Return the urgency of a task; later segments go first, so that batches come to an end."""
        return 10 * segment + self


@dataclass(frozen=True, slots=True)
class Landing:
    """What to do with the outcome of a task."""

    absorb: Callable[[Outcome], None]
    lose: Callable[[str], None]
    without: Callable[[Mapping[int, str]], None] | None = None
    """Have the work done without some of its images: why they are left out, by their numbers."""


class TaskBoard:
    """The tasks of a run.

    Parameters
    ----------
    steps : sequence of BaseProcessor
        All steps of the run.
    """

    def __init__(self, steps: Sequence[BaseProcessor]) -> None:
        self.steps = steps
        self.stopped = False
        self._numbers = count()
        self._queue: list[tuple[int, int, int, Task]] = []
        """By urgency, then size: what is begun last should not be what takes longest."""
        self._parked: list[tuple[int, int, int, Task]] = []
        """Tasks that wait for the concurrency limit of their step."""
        self._landings: dict[int, Landing] = {}
        """Of tasks that wait or are under way, by number."""
        self._limited: Counter[int] = Counter()
        """Tasks under way of steps that have a concurrency limit."""

    @property
    def idle(self) -> bool:
        """Whether no task waits or is under way."""
        return not self._landings

    @property
    def load(self) -> int:
        """Number of tasks that wait or are under way."""
        return len(self._landings)

    @property
    def urgency(self) -> int | None:
        """Urgency of the most urgent task that waits."""
        return -self._queue[0][0] if self._queue else None

    def post(
        self,
        work: Work,
        places: Sequence[int],
        names: tuple[str, ...],
        nbytes: int,
        urgency: int,
        landing: Landing,
        suffix: str = "",
        batch: str = "",
    ) -> None:
        """Let a task wait for its turn; after a stop nothing new is taken.

        Parameters
        ----------
        work : Work
            What is to be done.
        places : sequence of int
            The steps that it concerns.
        names : tuple of str
            Raw frames that it concerns.
        nbytes : int
            Estimate of the memory that it needs.
        urgency : int
            Higher goes first.
        landing : Landing
            What to do with its outcome.
        suffix : str
            Ends its label.
        batch : str
            Name of the batch that it belongs to.
        """
        if self.stopped:
            return
        solo = [place for place in places if is_solo(self.steps[place])]
        limited = next((p for p in solo if self.steps[p].concurrency_limit is not None), None)
        task = Task(
            label=self.label(places) + suffix,
            number=next(self._numbers),
            work=work,
            names=names,
            memory=nbytes,
            urgency=urgency,
            limited_by=limited,
            repeatable=all(self.steps[place].repeatable for place in places),
            batch=batch,
        )
        self._landings[task.number] = landing
        heapq.heappush(self._queue, (-task.urgency, -len(names), task.number, task))

    def next_task(self) -> Task | None:
        """Take the most urgent task that the limits of its step allow."""
        while self._queue:
            entry = heapq.heappop(self._queue)
            task = entry[3]
            if task.limited_by is not None:
                limit = self.steps[task.limited_by].concurrency_limit
                if limit is not None and self._limited[task.limited_by] >= limit:
                    self._parked.append(entry)
                    continue
                self._limited[task.limited_by] += 1
            return task
        return None

    def begin(self, task: Task, make_landing: Callable[[Task], Landing]) -> Task:
        """Number a task that need not wait; it is under way from now on."""
        task = replace(task, number=next(self._numbers))
        self._landings[task.number] = make_landing(task)
        return task

    def land(self, task: Task) -> Landing:
        """Take a task, which has ended, off the board."""
        if task.limited_by is not None:
            self._limited[task.limited_by] -= 1
            for entry in self._parked:
                heapq.heappush(self._queue, entry)
            self._parked.clear()
        return self._landings.pop(task.number)

    def stop(self) -> None:
        """Forget the tasks that wait and take no others; those under way can still land."""
        self.stopped = True
        for *_, task in (*self._queue, *self._parked):
            del self._landings[task.number]
        self._queue.clear()
        self._parked.clear()

    def label(self, places: Sequence[int]) -> str:
        """Name a task after its steps."""
        return "+".join(dict.fromkeys(self.steps[place].step_name for place in places)) or "read"
