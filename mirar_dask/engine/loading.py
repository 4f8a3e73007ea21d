"""Loading on the workers: packs of files as tasks, and what came of each.

For loaders that read pixels; the driver sends the tasks, `opening` takes what was loaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mirar_dask.engine.flights import Landed
from mirar_dask.engine.losses import Losses
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


def place_of(task: Task) -> int:
    """Return the place of a pack among all."""
    return -1 - task.number


def result_of(
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
