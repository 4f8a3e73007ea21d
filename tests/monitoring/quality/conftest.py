"""A small night with a known truth, reduced by a run that leaves its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from mirar_dask.monitoring import run_folder
from mirar_dask.monitoring.quality.measurements import Row, measure, table_folders
from mirar_dask.run import reduce_night
from mirar_dask.testing import simulate_night
from mirar_dask.testing.truth import NightTruth


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
