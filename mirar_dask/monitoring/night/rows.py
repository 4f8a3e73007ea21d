"""Which lines the board has, by the plan: one for each batch, in the order of the night."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mirar_dask.monitoring.night.parts import Row


def planned_rows(plan: Mapping[str, Any], steps: Mapping[str, int]) -> list[tuple[Row, list[str]]]:
    """Return the rows that a plan foresees, each with the names of its frames.

    A batch that goes through several segments by one name is one row.

    Parameters
    ----------
    plan : mapping
        As `Plan.to_json` gives it.
    steps : mapping
        Place of each step, by name.
    """
    found: dict[str, tuple[Row, dict[str, None]]] = {}
    for batch in _dicts(plan.get("batches")):
        name, members = str(batch.get("name") or ""), _names(batch.get("members"))
        if not members:
            continue
        row, frames = found.setdefault(name, (Row(name, "batch"), {}))
        frames.update(dict.fromkeys(members))
        row.ends = batch.get("before") == "end"
        for step in _names(batch.get("steps")):
            row.steps |= 1 << steps[step] if step in steps else 0
    for master in _dicts(plan.get("masters")):
        place, members = steps.get(str(master.get("step"))), _names(master.get("frames"))
        if place is not None and members and master.get("made"):
            for row, frames in found.values():
                if row.steps >> place & 1 and members[0] in frames:
                    row.master, row.master_step = str(master.get("name")), place
                    row.kind = "batch" if row.steps >> place + 1 else "master"
    rows = [(row, list(frames)) for row, frames in found.values()]
    # Those that end in a master come first, as in the night.
    return sorted(rows, key=lambda one: (one[0].kind == "batch", one[0].master_step or 0))


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _names(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else []
