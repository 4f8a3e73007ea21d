"""Finds what a watched night left that its final reduction did not: provisional products.

Masters of half a series, stacks of single sets of dithers, products of frames that are gone. What
runs have written is in their memos, so that no other file is ever named here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mirar_dask.engine.memo import MEMO
from mirar_dask.engine.types import Mark
from mirar_dask.monitoring.chain import continued_run
from mirar_dask.monitoring.run_folder import PLAN, RUNS, SUMMARY
from mirar_dask.monitoring.runs import run_folders
from mirar_dask.watching.ledger import LEDGER


def superseded(night: Path, final: Path) -> list[Path]:
    """Return the files that watching a night has made, and that are no products of it.

    Parameters
    ----------
    night : Path
        Folder of the night's products.
    final : Path
        Folder of the run that reduced the night as a whole, and came to its end.
    """
    kept = {mark.path for mark in _marks(final / MEMO, night)} | _products(final)
    masters = _masters(final)
    folders = run_folders(night)
    watched = {folder.name for folder in folders if (folder / LEDGER).is_file()}
    ours = [f for f in folders[::-1] if f.name in watched or continued_run(f) in watched]
    found = {mark.path: mark for folder in ours for mark in _marks(folder / MEMO, night)}
    return sorted(
        path
        for path, mark in found.items()
        if path not in kept
        and path.name not in masters
        and path.is_relative_to(night)
        and not path.is_relative_to(night / RUNS)
        and Mark.of(path) == mark  # somebody else's file of that name is none of ours
    )


def remove_superseded(night: Path, final: Path) -> list[Path]:
    """Remove those files, and return them."""
    found = superseded(night, final)
    for path in found:
        path.unlink(missing_ok=True)
    return found


def _marks(memo: Path, night: Path) -> Iterator[Mark]:
    """Give the marks of all files that a memo names."""
    if not memo.is_file():
        return
    with memo.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                values = json.loads(line)
            except ValueError:
                continue
            for path, *mark in [*values.get("marks", ()), *filter(None, [values.get("master")])]:
                yield Mark(night / path, *mark)


def read_summary(run: Path) -> dict[str, Any]:
    """Read the summary that a run has left in its folder; empty if it has left none."""
    return _read(run / SUMMARY)


def _products(run: Path) -> set[Path]:
    return {Path(path) for path in read_summary(run).get("products", ())}


def _masters(run: Path) -> set[str]:
    """Names of the masters of a run: also of those that no product needed."""
    return {str(master["name"]) for master in _read(run / PLAN).get("masters", ())}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found if isinstance(found, dict) else {}
