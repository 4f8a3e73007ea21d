"""A whole night, played at sixty times its speed to the command, which is killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mirar_dask.monitoring.runs import run_folders
from mirar_dask.processors.utils.simulate_realtime import play_night
from mirar_dask.testing import simulate_night
from mirar_dask.testing.products import differences

from .conftest import batch, number_dithers

pytestmark = pytest.mark.slow

ENDING_SECONDS = 240
SCIENCE, CALIBRATIONS = 24, 22


def start(raw: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    """Start the command in a process group of its own."""
    times = ["--calibrations-after", "2s", "--dithers-after", "3s", "--quiet-after", "8s"]
    limits = ["--stable", "0.3s", "--incomplete-after", "2s"]
    command = ["watch", "imager", "--raw", str(raw), "--out", str(out), "--workers", "2"]
    return subprocess.Popen(
        [sys.executable, "-m", "mirar_dask", *command, *times, *limits, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def reduced(night: Path) -> dict[Path, int]:
    """Return the calibrated frames that are there, and when each was written."""
    return {path: path.stat().st_mtime_ns for path in (night / "reduced").glob("[!.]*")}


@pytest.mark.parametrize("means", ["events", "polling"])
def test_a_night_at_sixty_times_its_speed_survives_a_kill(tmp_path: Path, means: str):
    """It ends with the products of the batch run; what was done before is not done again."""
    source, raw, out = tmp_path / "source", tmp_path / "n1", tmp_path / "out"
    simulate_night(source, size=200, n_bias=10, n_dark=6, n_flat=3, n_science=12, seed=6)
    number_dithers(source, 4)
    night = out / "imager" / "n1"
    camera = threading.Thread(
        target=play_night,
        args=(source.iterdir(), raw),
        kwargs={"speed": 60, "longest_gap": 3.0, "pieces": 4},
    )
    first = start(raw, out, "--observe", means)
    camera.start()
    end = time.monotonic() + ENDING_SECONDS
    while len(reduced(night)) < SCIENCE // 2:
        assert time.monotonic() < end
        assert first.poll() is None, first.stdout and first.stdout.read()
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    before = reduced(night)
    second = start(raw, out, "--observe", means)
    camera.join()
    said, _ = second.communicate(timeout=ENDING_SECONDS)
    assert second.returncode == 0, said
    assert differences(night, batch(raw, tmp_path / "batch")) == []
    again = [path.name for path, written in before.items() if reduced(night)[path] != written]
    assert again == []
    watch = next(f for f in run_folders(night) if (f / "watch.json").exists())
    found = json.loads((watch / "watch.json").read_text())
    assert found["frames"] == {"calibration": CALIBRATIONS, "reduced": SCIENCE}
    assert found["stacks"] == 6
    assert found["latency"]["number"] == SCIENCE
    assert not list(night.rglob(".tmp-*"))
    assert not list(night.glob("runs/*/cache"))
