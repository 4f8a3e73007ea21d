"""Segments: stretches of steps that a batch passes without meeting other batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mirar_dask.processors.base.forms import Regroup
from mirar_dask.processors.base_processor import BaseProcessor


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps that a batch passes without meeting others."""

    start: int
    stop: int
    """First step that is not part of it; the last one may end in a regroup."""


def cut(steps: Sequence[BaseProcessor], start: int = 0) -> list[Segment]:
    """Divide steps into segments, each ending with a step that sees all batches, or the last."""
    segments = []
    for place in range(start, len(steps)):
        if sees_all_batches(steps[place]):
            segments.append(Segment(start, place + 1))
            start = place + 1
    if start < len(steps) or not segments:
        segments.append(Segment(start, len(steps)))
    return segments


def sees_all_batches(step: BaseProcessor) -> bool:
    """Whether a step rearranges the blocks of all batches together."""
    return step.regroup in (Regroup.KEYED, Regroup.FREE)


def regroup_behind(steps: Sequence[BaseProcessor], segment: Segment) -> BaseProcessor | None:
    """Return the step that ends a segment with a regroup of all batches; None if none does."""
    last = steps[segment.stop - 1] if segment.stop > segment.start else None
    return last if last is not None and sees_all_batches(last) else None
