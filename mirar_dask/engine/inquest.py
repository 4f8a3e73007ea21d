"""An inquest: which image of a task that kills its worker each time is at fault.

Each image of the task is taken by itself, on a worker, to no effect. Those that kill their worker
again are left out, and the work is done with the others; if there is none, or if all do, the task
is lost. `Flow` begins one when the driver gives a task up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mirar_dask.engine.board import Landing, TaskBoard
from mirar_dask.engine.types import (
    BandWork,
    BatchWork,
    Handle,
    MasterWork,
    Outcome,
    PrepareWork,
    Task,
    TrialWork,
)

QUARANTINED = "quarantined"
"""Begins the reason of frames that were left out."""


def members_of(task: Task) -> Sequence[Handle]:
    """Return the images of a task of which one may be at fault; none where that cannot be told."""
    work = task.work
    if isinstance(work, BandWork | MasterWork):
        return work.frames
    if isinstance(work, BatchWork | PrepareWork):
        return work.batch.members
    return ()


def begin_inquest(board: TaskBoard, task: Task, reason: str) -> list[Task]:
    """Take a task off the board and make one of each of its images; none if that is of no use."""
    members = members_of(task)
    if len(members) < 2 or board.stopped:
        return []
    inquest = _Inquest(board.land(task), len(members), reason)
    like = replace(task, label=f"{task.label} trial", limited_by=None)
    return [
        board.begin(
            replace(like, work=TrialWork(task.work, number), names=tuple(member.names)),
            lambda _, number=number: inquest.landing_of(number),  # type: ignore[misc]
        )
        for number, member in enumerate(members)
    ]


class _Inquest:
    """What came of the images so far."""

    def __init__(self, landing: Landing, left: int, reason: str) -> None:
        self._landing, self._left, self._n, self._reason = landing, left, left, reason
        self._died: dict[int, str] = {}
        """Why, by the number of the image."""

    def landing_of(self, number: int) -> Landing:
        """Return what is done when the trial of an image has ended."""

        def absorb(outcome: Outcome) -> None:
            self._count()

        def lose(reason: str) -> None:
            self._died[number] = f"{QUARANTINED}: {reason}"
            self._count()

        return Landing(absorb, lose)

    def _count(self) -> None:
        self._left -= 1
        if self._left:
            return
        if self._landing.without is None or not 0 < len(self._died) < self._n:
            self._landing.lose(self._reason)
        else:
            self._landing.without(self._died)
