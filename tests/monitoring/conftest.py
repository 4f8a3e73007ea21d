"""Events of a small run, as an engine announces them, and a small night that was reduced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mirar_dask.engine.events import (
    Event,
    RecordAdded,
    RunEnded,
    RunStarted,
    TaskFinished,
    TaskLost,
    TaskSubmitted,
)
from mirar_dask.monitoring import run_folder
from mirar_dask.monitoring.quality.measurements import Row, measure, table_folders
from mirar_dask.processors.base.outcome import Record, Status
from mirar_dask.run import reduce_night
from mirar_dask.testing import simulate_night
from mirar_dask.testing.truth import NightTruth

Events = Callable[[], list[Event]]


@pytest.fixture
def events() -> list[Event]:
    """Three frames: one passes, one fails in the flat, one is lost once and then passes."""
    names = ("a.fits", "b.fits", "c.fits")
    failed = Record(("b.fits",), Status.FAILED, "flat", "MissingFlatError: no flat in 'r'")
    caveat = Record(("a.fits",), Status.CAVEATS, "bias", "no bias frames in this night")
    return [
        RunStarted("run-1", 100.0, ("load", "bias", "flat"), names, 2, "http://127.0.0.1:1/status"),
        TaskSubmitted("load", 1, 1, names, 100.1),
        TaskFinished("load", 1, 1, names, "w1", 0.3, (("load", 0.3, 3),), 100.4),
        TaskSubmitted("bias+flat", 2, 1, ("a.fits", "b.fits"), 100.5),
        TaskSubmitted("bias+flat", 3, 1, ("c.fits",), 100.5),
        TaskLost("bias+flat", 3, 1, ("c.fits",), "worker killed", True, 101.0),
        TaskSubmitted("bias+flat", 3, 2, ("c.fits",), 101.1),
        RecordAdded(caveat, 101.4),
        RecordAdded(failed, 101.5),
        TaskFinished(
            "bias+flat",
            2,
            1,
            ("a.fits", "b.fits"),
            "w1",
            1.0,
            (("bias", 0.4, 2), ("flat", 0.6, 1)),
            101.5,
        ),
        TaskFinished(
            "bias+flat", 3, 2, ("c.fits",), "w2", 0.5, (("bias", 0.2, 1), ("flat", 0.3, 1)), 102.0
        ),
        RunEnded({"succeeded": 1, "succeeded with caveats": 1, "failed": 1}, 2.0, 102.0),
    ]


@dataclass(frozen=True)
class Reduced:
    """A night, its truth, and where its products and its run are."""

    truth: NightTruth
    output: Path
    run: Path

    def rows(self) -> dict[str, Row]:
        found = measure(
            run_folder.product_files(self.output), self.output, table_folders(self.output)
        )
        return {row["file"]: row for row in found}


@pytest.fixture(scope="session")
def reduced(tmp_path_factory: pytest.TempPathFactory) -> Reduced:
    """Return a night of 20 frames of 320 x 320 pixels, reduced without Dask."""
    folder = tmp_path_factory.mktemp("measured")
    truth = simulate_night(
        folder / "raw" / "20260314", size=320, n_bias=4, n_dark=3, n_flat=3, n_science=4,
        filters=("g", "r"), n_stars=80,
    )  # fmt: skip
    summary = reduce_night(
        "imager", raw=folder / "raw" / "20260314", out=folder / "out", cluster="serial"
    )
    return Reduced(truth, summary.output, summary.run_folder)
