"""The batches of a plan: their names, members and steps, as the run's events will name them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mirar_dask.engine.batch_names import shown
from mirar_dask.engine.expansion import Expansion
from mirar_dask.engine.segments import Segment, regroup_behind
from mirar_dask.engine.types import Bunch
from mirar_dask.processors.base.forms import Form
from mirar_dask.processors.base_processor import BaseProcessor

END = "end"
"""What a batch sees next that has come to the end of all steps."""


@dataclass(frozen=True)
class PlannedBatch:
    """A batch in a segment, with what will be done to it."""

    name: str
    """What the events of the run call it."""
    segment: int
    members: tuple[str, ...]
    """Its raw frames."""
    steps: tuple[str, ...]
    """Steps that will do something to it, those included in which it ends as a master."""
    before: str
    """Step that it meets after them: the one that sets it aside, a regroup, or 'end'."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**vars(self), "members": list(self.members), "steps": list(self.steps)}


def whole_batch(
    steps: Sequence[BaseProcessor],
    segments: Sequence[Segment],
    number: int,
    start: int,
    bunch: Bunch,
    name: str,
) -> PlannedBatch:
    """Describe a batch that steps see whole, from a step on to the end of its segment."""
    places = _with_work(steps, range(start, segments[number].stop))
    before = _behind(steps, segments[number])
    return PlannedBatch(shown(name), number, bunch.names, _names(steps, places), before)


def expanded(
    steps: Sequence[BaseProcessor],
    segments: Sequence[Segment],
    number: int,
    bunch: Bunch,
    expansion: Expansion,
) -> Iterator[PlannedBatch]:
    """Describe the batches into which one is divided on its way through a segment."""
    stop = segments[number].stop
    parts: dict[tuple[str, str], list[int]] = {}
    onward: dict[tuple[str, str], list[int]] = {}
    for chain in expansion.chains:
        if chain.exit is not None:
            where = chain.exit.step, expansion.names[chain.position]
            parts.setdefault(where, []).append(chain.position)
    behind = _behind(steps, segments[number])
    for leaf in expansion.leaves:
        parts.setdefault((behind, leaf.batch), []).extend(leaf.positions)
        onward[behind, leaf.batch] = _with_work(steps, range(leaf.next_step, stop))
    for chain in expansion.chains:
        if chain.blocked_by is not None:
            step = steps[expansion.contexts[chain.blocked_by].step].step_name
            parts.setdefault((step, expansion.names[chain.position]), []).append(chain.position)
    made = [c for c in expansion.contexts.values() if c.kind in ("frames", "prepare")]
    for (before, name), positions in parts.items():
        members = tuple(dict.fromkeys(n for p in positions for n in bunch.members[p].names))
        places = {place for p in positions for place in expansion.chains[p].work(steps)}
        places |= {context.step for context in made if context.batch == name}
        ordered = [*sorted(places), *onward.get((before, name), ())]
        yield PlannedBatch(shown(name), number, members, _names(steps, ordered), before)


def _with_work(steps: Sequence[BaseProcessor], places: Sequence[int]) -> list[int]:
    return [place for place in places if steps[place].form is not Form.PASS]


def _names(steps: Sequence[BaseProcessor], places: Sequence[int]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(steps[place].step_name for place in places))


def _behind(steps: Sequence[BaseProcessor], segment: Segment) -> str:
    regroup = regroup_behind(steps, segment)
    return END if regroup is None else regroup.step_name
