"""Losses: which of the tasks that went down with a worker it was doing, and how it ended.

The driver makes one of all tasks that landed at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mirar_dask.engine.deaths import Death, Deaths
from mirar_dask.engine.flights import GivenBack, Landed


@dataclass(frozen=True)
class Losses:
    """What is known of the workers that died together with some tasks."""

    deaths: dict[str, Death]
    """By the address of the worker."""
    had: Counter[str]
    """Number of tasks that each worker had in hand."""
    doing: Counter[str]
    """Number of those that it was doing, as far as it had told."""

    @classmethod
    def of(cls, landed: Sequence[Landed | GivenBack], deaths: Deaths) -> Losses:
        """Ask how the workers ended of the tasks that have no outcome."""
        lost = [one for one in landed if isinstance(one, Landed) and one.worker]
        return cls(
            deaths.of({one.worker for one in lost}),
            Counter(one.worker for one in lost),
            Counter(one.worker for one in lost if one.executing),
        )

    def death_of(self, landed: Landed) -> Death:
        """Say how the worker of a task ended, or what else became of the task."""
        return self.deaths.get(landed.worker) or Death(landed.worker, said=landed.reason)

    def only_waited(self, landed: Landed) -> bool:
        """Whether a task waited for another one that its worker was doing when it ended.

        A worker tells what it does with each beat: a task that it was doing then, and has not
        ended, it was still doing.
        """
        return bool(landed.worker) and not landed.executing and self.doing[landed.worker] > 0

    def was_alone(self, landed: Landed) -> bool:
        """Whether the worker was doing this task, and no other, when it ended."""
        if self.had[landed.worker] == 1:
            return True
        return landed.executing and self.doing[landed.worker] == 1
