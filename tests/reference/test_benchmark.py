"""The benchmark of a night runs, and its figures can be read by machines."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from .conftest import REFERENCES, run

pytestmark = pytest.mark.reference


def test_the_benchmark_of_a_night_runs(tmp_path: Path):
    """On the smallest night it compares us with the script, in time and in products."""
    bench = REFERENCES.parent / "bench_night.py"
    if not bench.exists():
        pytest.skip("the benchmarks are not beside the tests")
    figures = tmp_path / "figures.json"
    night = ["--frames", "tiny", "--size", 128, "--repeat", 1, "--only", "numpy,ours"]
    run(sys.executable, bench, *night, "--work", tmp_path / "work", "--json", figures)
    found = json.loads(figures.read_text())
    assert found["frames"] == 22
    assert set(found["runs"]) == {"numpy x1", "numpy x2", "ours x1", "ours x2"}
    assert all(side[0]["seconds"] > 0 for side in found["runs"].values())
    assert {"ours / script", "our gain / the script's gain"} <= set(found["ratios"])
    for check in found["checks"].values():
        assert check["deviation"] == pytest.approx(1, abs=0.05)
    assert not list((tmp_path / "work").glob("out-*"))
