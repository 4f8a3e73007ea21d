"""Legs and contexts of one batch: what can be worked on, and how far it has come."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mirar_dask.data.image_data import ImageBatch, ImageHandle
from mirar_dask.engine.expansion import Context
from mirar_dask.engine.types import Bunch, Link
from mirar_dask.processors.base_processor import BaseImageProcessor

if TYPE_CHECKING:
    from mirar_dask.engine.batch_graph import BatchGraph


@dataclass(slots=True)
class Leg:
    """A stretch of an image's chain that one task does without a stop."""

    graph: BatchGraph
    position: int
    links: tuple[Link, ...]
    measures: tuple[int, ...]
    for_bands: bool


@dataclass(slots=True)
class ContextState:
    """How far a context has come."""

    name: str
    plan: Context
    waits_for: set[int]
    inputs: dict[int, ImageHandle] = field(default_factory=dict)
    scales: dict[int, float] = field(default_factory=dict)
    bands: dict[int, Any] = field(default_factory=dict)
    n_bands: int = 0
    """Number of tasks among which the rows are divided; 0 for one that does it all."""
    tries: int = 0
    """Number of times that it was begun anew, without images that killed their workers."""
    asked: bool = False
    done: bool = False
    put_off: bool = False
    """It is made only once somebody needs it: its key is known, and perhaps what it went into."""
    failed: bool = False
    value: Any = None
    key: str = ""
    """What it stands for in the history of the images that are given it."""
    reason: str = ""
    users_left: set[int] = field(default_factory=set)

    def key_of(self, step: BaseImageProcessor, value: Any) -> str:
        """Return what the context stands for in histories, told from its value or its inputs."""
        context = value.open() if isinstance(value, ImageHandle) else value
        inputs = self.plan.ahead or Bunch(tuple(self.ordered_inputs()))
        batch = inputs.open()
        assert isinstance(batch, ImageBatch)
        return step.context_key(context, batch)

    def ordered_inputs(self) -> list[ImageHandle]:
        """Images that were handed over, in the order of the batch."""
        return [self.inputs[position] for position in sorted(self.inputs)]

    def usable(self) -> list[int]:
        """Positions of the inputs that go into the master, in order; NaN marks the others."""
        return [p for p in sorted(self.inputs) if not math.isnan(self.scales.get(p, 1.0))]
