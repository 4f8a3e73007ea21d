"""Which lines the board has, by the plan: one for each master that is made, one for each batch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mirar_dask.monitoring.night.parts import Row


def planned_rows(plan: Mapping[str, Any], steps: Mapping[str, int]) -> list[tuple[Row, list[str]]]:
    """Return the rows that a plan foresees, each with the names of its frames.

    Masters come first, as in the night. A frame is in one row: that of its last batch, else that of
    the master that it goes into.

    Parameters
    ----------
    plan : mapping
        As `Plan.to_json` gives it.
    steps : mapping
        Place of each step, by name.
    """
    every = (1 << len(steps)) - 1
    batches = [
        (Row(str(batch.get("name") or common_name(members)), "batch", every), members)
        for batch in _dicts(plan.get("batches"))
        if (members := _names(batch.get("members")))
    ]
    masters = []
    for master in _dicts(plan.get("masters")):
        place = steps.get(str(master.get("step")))
        members = _names(master.get("frames"))
        if place is None or not members or not master.get("made"):
            continue
        file = str(master.get("name"))
        row = Row(_master_name(str(master["step"]), file), "master", (2 << place) - 1)
        row.master, row.master_step = file, place
        masters.append((row, members))
    taken: set[str] = set()
    found = []
    for row, members in [*batches, *masters]:
        mine = [name for name in members if name not in taken]
        taken.update(mine)
        if mine:
            found.append((row, mine))
    _tell_apart([row for row, _ in found])
    return sorted(found, key=lambda one: (one[0].kind == "batch", one[0].master_step or 0))


def common_name(names: Sequence[str]) -> str:
    """Name frames after what their names have in common.

    Examples
    --------
    >>> common_name(["M13_r_0001.fits", "M13_r_0002.fits"]), common_name(["a.fits", "b.fits"])
    ('M13_r', 'a.fits …')
    """
    first, last = min(names), max(names)
    same = next(
        (n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first)
    )
    start = first[:same]
    short = re.sub(r"[^A-Za-z0-9]*[0-9]*$", "", start)
    if len(names) == 1:
        return names[0]
    return short if len(short) > 1 else f"{names[0]} …"


def _master_name(step: str, file: str) -> str:
    """Name a master after its file, without the hash: 'flat_1x1_r_6cee12…fits' is 'flat 1x1 r'."""
    stem = re.sub(r"(_[0-9a-f]{16,})?(\.fits?)?$", "", file)
    return stem.replace("_", " ") or step


def _tell_apart(rows: Sequence[Row]) -> None:
    seen: dict[str, int] = {}
    for row in rows:
        seen[row.name] = n = seen.get(row.name, 0) + 1
        if n > 1:
            row.name = f"{row.name} ({n})"


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _names(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else []
