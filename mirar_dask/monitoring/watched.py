"""What a run that watches a night says of it, read from its folder: for `status`, anywhere.

`mirar_dask.watching` writes the file with each frame; `docs/watching.md` describes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

GLANCE = "watch.json"
"""The file, in the run's folder."""


def read_glance(folder: Path) -> dict[str, Any] | None:
    """Read how a watched night stands; None if the run with this folder watches none."""
    try:
        found = json.loads((folder / GLANCE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def latency_text(latency: dict[str, Any]) -> str:
    """Say how long after their files the products were there."""
    if not latency.get("number"):
        return "no frame yet"
    return (
        f"median {latency['median']:.1f} s, worst {latency['worst']:.1f} s "
        f"({latency['worst_frame']})"
    )


def watch_facts(glance: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Say in a few lines how a watched night stands."""
    fates = ", ".join(f"{n} {fate}" for fate, n in glance["frames"].items()) or "none yet"
    sets = [f"{glance['stacks']} stacked"] if glance["stacks"] else []
    sets += [f"{glance['sets_waiting']} not complete"] if glance.get("sets_waiting") else []
    yield "night", fates + (f"; sets of dithers: {', '.join(sets)}" if sets else "")
    yield "latency", latency_text(glance["latency"])
    if glance["last_arrival"]:
        came = datetime.fromtimestamp(glance["last_arrival"], UTC)
        yield "last frame", f"{came:%Y-%m-%d %H:%M:%S} UTC"
    if glance.get("over"):
        yield "over", glance["over"]
