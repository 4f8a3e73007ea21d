"""What will be done to a night, as a value: steps, masters, batches, what is missing.

`plan` makes it. It prints as a table, JSON, Mermaid, DOT and SVG.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mirar_dask.engine.opening import Opened
from mirar_dask.engine.planned_batches import PlannedBatch
from mirar_dask.processors.base.outcome import Record


@dataclass
class PlannedStep:
    """One step of the plan."""

    name: str
    processor: str
    """Class of the processor."""
    description: str
    form: str
    """How it looks at its blocks: image by image, gather, batch, source, pass."""
    segment: int
    """Number of the segment, from 0; the loader and what concerns headers come before it."""
    regroup: str
    batches: int | None = 0
    """Number of batches; None where only the run will tell."""
    images: int | None = 0
    """Number of images; None where only the run will tell."""
    set_aside: int = 0
    """Number of images that it sets aside."""
    work: int | None = 0
    """Number of images to which it does something: of those that end in a master, or are set
    aside, no step is asked for more than the master needs."""
    works_on: str = "images"
    """``images``, ``sources``, or ``images to sources`` for a step that makes tables of images."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """As it was configured, for people to read."""


@dataclass(frozen=True)
class PlannedMaster:
    """A context that images are given: a master, mostly."""

    step: str
    name: str
    """Name of the master's file, or of the context."""
    frames: tuple[str, ...]
    """Raw frames that go into it; none if it is there already."""
    used_by: int
    """Number of images that are given it."""
    made: bool
    """Whether it will be made in this run."""


@dataclass
class Plan:
    """What will be done to a night."""

    steps: list[PlannedStep]
    masters: list[PlannedMaster]
    batches: list[PlannedBatch]
    frames: int
    """Number of raw frames."""
    missing: list[Record]
    """What is missing or cannot be read, and which frames are blocked by it."""
    caveats: list[str]
    late: list[str]
    """Where only the run will tell how it goes on, and why."""
    memory: int
    """Bytes that the largest task needs, estimated."""
    largest: str
    """Label of that task."""
    not_resumable: list[str] = field(default_factory=list)
    """From which step on what is done cannot be known by a later run, and why."""
    opened: Opened | None = field(default=None, repr=False)
    least_worker: int = 0
    """Bytes of the smallest worker in which all tasks fit."""

    def rows(self) -> list[tuple[str, ...]]:
        """Return a row of text a step: segment, step, processor, form, batches, images, aside."""
        return [
            (
                str(step.segment) if step.segment >= 0 else "-",
                step.name,
                step.processor,
                step.form,
                "?" if step.batches is None else str(step.batches),
                "?" if step.images is None else str(step.images),
                str(step.set_aside) if step.set_aside else "",
            )
            for step in self.steps
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return {
            "frames": self.frames,
            "steps": [dict(vars(step)) for step in self.steps],
            "masters": [{**vars(master), "frames": list(master.frames)} for master in self.masters],
            "batches": [batch.to_json() for batch in self.batches],
            "missing": [
                {"step": r.step, "status": r.status.value, "reason": r.reason, "files": r.names}
                for r in self.missing
            ],
            "caveats": self.caveats,
            "late": self.late,
            "not_resumable": self.not_resumable,
            "largest_task": {"label": self.largest, "bytes": self.memory},
        }

    def to_mermaid(self) -> str:
        """Return the plan as a Mermaid flowchart."""
        from mirar_dask.engine.plan_views import to_mermaid

        return to_mermaid(self)

    def to_dot(self) -> str:
        """Return the plan in the DOT language of Graphviz."""
        from mirar_dask.engine.plan_views import to_dot

        return to_dot(self)

    def to_svg(self) -> str:
        """Return the plan as a picture."""
        from mirar_dask.engine.plan_views import to_svg

        return to_svg(self)

    _repr_svg_ = to_svg  # what a notebook shows

    def __str__(self) -> str:
        from mirar_dask.engine.plan_views import to_text

        return to_text(self)
