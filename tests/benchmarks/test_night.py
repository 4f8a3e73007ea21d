"""The benchmark of a night runs, and its figures can be read by machines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.reference


def test_the_benchmark_of_a_night_runs(benchmarks: Path, tmp_path: Path):
    """On the smallest night it compares us with the script, in time, bytes and products."""
    figures = tmp_path / "figures.json"
    where = ["--work", tmp_path / "work", "--json", figures]
    done = subprocess.run(
        [sys.executable, benchmarks / "run.py", "night-74", "--quick", *where],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    told = json.loads(figures.read_text())["benchmarks"]["night-74"]
    found = told["figures"]
    assert found["frames"] == 22
    assert set(found["runs"]) == {"script x1", "script x2", "ours x1", "ours x2"}
    for (side,) in found["runs"].values():
        assert side["seconds"] > 0
        assert side["cpu"] > 0
    for look in found["inspected"].values():
        assert 20 < look["memory"]["process_mb"] <= 5 * look["memory"]["tree_mb"]
    assert {"ours / script", "our gain / the script's gain", "ours, bytes written / ideal"} <= {
        row["what"] for row in told["rows"]
    }
    for check in found["checks"].values():
        assert check["deviation"] == pytest.approx(1, abs=0.05)
        assert check["agreement"] >= 0.9999
    assert "ours x2" in done.stdout
    assert not list((tmp_path / "work").glob("out-*"))
