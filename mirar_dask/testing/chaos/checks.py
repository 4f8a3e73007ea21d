"""What must be true of a night whatever happened to it; knows nothing of faults.

Each check returns complaints, sentences that name what was found; none if all is well.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from mirar_dask.atomic import TEMPORARY_PREFIX
from mirar_dask.processors.base.outcome import Status
from mirar_dask.testing.chaos.stage import CLOSE_SECONDS, Stage
from mirar_dask.testing.products import contents

ORDERLY = {0, 1, 3, 129, 130, 143}
"""Exit codes of a run that came to an end in good order."""


def ended(code: int | None, *, killed: bool) -> list[str]:
    """The driver ends, and in good order unless it was killed."""
    if code is None:
        return ["the driver did not end"]
    if killed and code == -9:
        return []
    return [] if code in ORDERLY else [f"the driver ended with exit code {code}"]


def speech(stage: Stage) -> list[str]:
    """What a user sees holds no traceback."""
    said = stage.said()
    at = said.find("Traceback (most recent call last)")
    return [] if at < 0 else [f"a traceback on the screen: ...{said[max(0, at - 200) : at + 1500]}"]


def products(stage: Stage, undisturbed: Mapping[str, Any]) -> list[str]:
    """Each product is that of an undisturbed run, or the run names what it lacks."""
    found = contents(stage.night)
    half = [name for name in found if TEMPORARY_PREFIX in name]  # `files` looks for those
    wrong = sorted(n for n in found.keys() - half if found[n] != undisturbed.get(n))
    missing = sorted(undisturbed.keys() - found.keys())
    summary = newest_summary(stage)
    named = bool(summary and (summary["failures"] or summary["caveats"]))
    complaints = []
    if missing and not named and summary is not None:
        complaints.append(f"missing, and nothing is named: {missing}")
    if wrong and not named:
        complaints.append(f"not those of an undisturbed run, and nothing is named: {wrong}")
    if summary is not None and not missing and not wrong and summary["exit_code"] == 3:
        complaints.append("all products are there, and the run says that nothing was done")
    if summary is not None:
        n_frames = sum(summary["counts"][status.value] for status in Status)
        if n_frames != len(list(stage.raw.glob("*.fits"))):
            complaints.append(f"the counts add up to {n_frames} frames")
    return complaints


def whole(stage: Stage, undisturbed: Mapping[str, Any]) -> list[str]:
    """The products are those of an undisturbed run, all of them and no other."""
    found = contents(stage.night)
    wrong = sorted(
        n for n in found.keys() | undisturbed.keys() if found.get(n) != undisturbed.get(n)
    )
    return [f"not as in an undisturbed run: {wrong}"] if wrong else []


def processes(stage: Stage) -> list[str]:
    """No process of the night is left, but for those that do not belong to the driver."""
    ours = _with_children([process.pid for process in stage.others.values()])
    end = time.monotonic() + CLOSE_SECONDS
    while True:
        left = [process for process in stage.processes() if process.pid not in ours]
        if not left or time.monotonic() > end:
            return [f"a process is left: {_describe(process)}" for process in left]
        time.sleep(0.1)
        ours |= _with_children([process.pid for process in stage.others.values()])


def _with_children(pids: list[int]) -> set[int]:
    found = set(pids)
    for pid in pids:
        try:
            found |= {child.pid for child in psutil.Process(pid).children(recursive=True)}
        except psutil.Error:
            continue
    return found


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {process.status()} {' '.join(process.cmdline())[:120]}"
    except psutil.Error:
        return str(process.pid)


def files(stage: Stage) -> list[str]:
    """No half-written file, no file of a cache, no temporary file is left, nor a sign of life."""
    complaints = []
    for path in stage.out.rglob("*"):
        name = path.name
        # That of a run that was killed before stays, and tells of it.
        sign = name == "alive.json" and path.parent == stage.runs[-1]
        if sign or name.startswith((TEMPORARY_PREFIX, ".probe-", ".scheduler-")):
            complaints.append(f"left: {path.relative_to(stage.folder)}")
    caches = [*stage.night.glob("runs/*/cache"), *stage.cache.glob("*")]
    left = [path for path in caches if path.name != "filler"]
    complaints += [f"a cache is left: {path.relative_to(stage.folder)}" for path in left]
    if not stage.others:
        # Dask keeps two empty files there, which its next workers lock.
        temporary = [p for p in stage.tmp.rglob("*") if not p.is_dir() and p.suffix != ".lock"]
        complaints += [f"left: {path.relative_to(stage.folder)}" for path in temporary]
    return complaints


def newest_summary(stage: Stage) -> dict[str, Any] | None:
    """Return the summary of the newest run; None if it left none."""
    runs = stage.runs
    path = runs[-1] / "summary.json" if runs else Path("none")
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found
