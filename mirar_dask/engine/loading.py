"""Loading on the workers: packs of files as tasks, and what came of each.

For loaders that read pixels; the driver sends the tasks, `opening` takes what was loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mirar_dask.engine.flights import Flight, GivenBack, Landed
from mirar_dask.engine.losses import Losses
from mirar_dask.engine.opening import Loaded
from mirar_dask.engine.retries import ATTEMPTS
from mirar_dask.engine.types import LoadWork, Task
from mirar_dask.processors.base.outcome import Record, Status
from mirar_dask.processors.base_processor import BaseProcessor

PACKS = 8
"""Tasks for each that can run at once, so that they end together."""


def packs_of(paths: Sequence[Path], number: int, step: BaseProcessor, threads: int) -> list[Task]:
    """Divide files among tasks; their numbers are below zero, apart from those of the run."""
    size = max(1, math.ceil(len(paths) / (PACKS * threads)))
    packs = [tuple(paths[i : i + size]) for i in range(0, len(paths), size)]
    return [
        Task(step.step_name, -1 - n, LoadWork(number, pack), tuple(p.name for p in pack), 0)
        for n, pack in enumerate(packs)
    ]


def load_packs(
    packs: Sequence[Task],
    step: BaseProcessor,
    send: Callable[[Sequence[Flight]], None],
    land: Callable[[], tuple[Sequence[Landed | GivenBack], Losses]],
) -> Loaded:
    """Have packs loaded; return images and records of each, in their order.

    Parameters
    ----------
    packs : sequence of Task
        From `packs_of`.
    step : BaseProcessor
        The loader.
    send, land : callable
        Hand tasks over, and wait for those that came back.
    """
    loaded: dict[int, tuple[list[Any], list[Record]]] = {}
    send([Flight(task, 0) for task in packs])
    while len(loaded) < len(packs):
        landed, losses = land()
        for one in landed:
            assert isinstance(one, Landed)  # nobody asks for files back
            known = _result_of(one, step, losses)
            if known is None:
                send([Flight(one.flight.task, one.flight.attempt + 1)])
            else:
                loaded[one.flight.task.number] = known
    return [loaded[task.number] for task in packs]


def _result_of(
    landed: Landed, step: BaseProcessor, losses: Losses
) -> tuple[list[Any], list[Record]] | None:
    """Return the images and records of a pack; None if it is to be tried again."""
    flight, outcome = landed.flight, landed.outcome
    if outcome is not None:
        images = [handle.open() for bunch in outcome.batches for handle in bunch.members]
        return images, list(outcome.records)
    if flight.attempt + 1 < ATTEMPTS:
        return None
    why = str(losses.death_of(landed))
    return [], [Record(flight.task.names, Status.LOST, step.step_name, why)]
