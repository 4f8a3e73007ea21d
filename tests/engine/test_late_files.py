"""A night on a cluster whose folders show files some time after they were written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.engine import DaskEngine, RunResult, SerialEngine
from mirar_dask.engine.events import Event, TaskFinished
from mirar_dask.testing.engine_contract import (
    assert_same,
    configured,
    reduction,
    settings_for,
)


class LateFolder:
    """A listener that hides what a task has just written, for a moment."""

    def __init__(self, folders: Callable[[], list[Path]]) -> None:
        self.folders = folders
        self.timers: list[threading.Timer] = []
        self.hidden: set[Path] = set()

    def __call__(self, event: Event) -> None:
        """Hide all files that were not hidden before."""
        if not isinstance(event, TaskFinished):
            return
        for folder in self.folders():
            for path in folder.glob("*.[nf][pi][yt]*"):
                if path in self.hidden or path.name.startswith("."):
                    continue
                self.hidden.add(path)
                aside = path.with_name(f".{path.name}.aside")
                path.rename(aside)
                self.timers.append(threading.Timer(0.4, aside.rename, [path]))
                self.timers[-1].start()


def reduce_late(engine: DaskEngine, raw: Path, out: Path) -> RunResult:
    """Reduce a night in which every file of the cache and every master is late."""
    settings = settings_for(raw, out)
    cache = out / "cache"
    late = LateFolder(lambda: [cache, *out.rglob("calibration")])
    settings = replace(settings, cache_dir=cache, listeners=(late,))
    try:
        return engine.run(configured(reduction()), Dataset([ImageBatch()]), settings)
    finally:
        for timer in late.timers:
            timer.join()
        assert late.timers


def test_files_that_are_late_change_nothing(local: Any, raw: Path, tmp_path: Path) -> None:
    """They are waited for, and the products are the serial engine's."""
    result = reduce_late(DaskEngine(local.client, patience=5.0), raw, tmp_path / "a")
    oracle = SerialEngine().run(
        configured(reduction()), Dataset([ImageBatch()]), settings_for(raw, tmp_path / "b")
    )
    assert_same(result, oracle)


def test_without_patience_a_late_file_is_an_error(local: Any, raw: Path, tmp_path: Path) -> None:
    """With the path, so that the files of the test above were late indeed."""
    result = reduce_late(DaskEngine(local.client, patience=0.0), raw, tmp_path / "a")
    assert any("is not there on" in record.reason for record in result.records)
