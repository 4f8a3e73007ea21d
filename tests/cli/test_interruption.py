"""Ctrl-C and SIGTERM end a run in seconds, with a word, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SLOW = '''
import time
from mirar_dask.pipelines.base_pipeline import Pipeline
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.image_loader import ImageLoader


class Slow(BaseImageProcessor):
    """Takes its time."""

    base_key = "slow"

    def apply_to_image(self, image):
        image.set_data(image.get_data() + 1)
        time.sleep(60)
        return image


class SlowPipeline(Pipeline):
    """Never ends by itself."""

    name = "slow"
    all_pipeline_configurations = {"default": [ImageLoader(), Slow()]}
'''


@contextmanager
def running(night: Path, tmp_path: Path, cluster: str) -> Iterator[subprocess.Popen[str]]:
    """Start a run that would take minutes, and wait until its workers are at work."""
    (tmp_path / "slow.py").write_text(SLOW)
    words = ["run", f"{tmp_path / 'slow.py'}:SlowPipeline", "--raw", str(night)]
    words += ["--out", str(tmp_path / "out"), "--cluster", cluster]
    words += [] if cluster == "serial" else ["--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mirar_dask", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a process group of its own, as a terminal gives a command
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()  # "... 11 frames, 1 worker, dashboard ..."
        assert "11 frames" in line, line + process.stderr.read()  # type: ignore[union-attr]
        time.sleep(1)
        yield process
    finally:
        process.kill()
        process.communicate()


def members(group: int) -> list[int]:
    """Return the processes of a group that are still alive."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended while we looked
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def gone(group: int, seconds: float = 5.0) -> bool:
    """Whether a group has no process left; those whose parent died end by themselves at once."""
    end = time.monotonic() + seconds
    while members(group) and time.monotonic() < end:
        time.sleep(0.1)
    return not members(group)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are listed from /proc")
@pytest.mark.parametrize("cluster", ["serial", "threads", "local"])
def test_ctrl_c_ends_a_run_in_seconds(night: Path, tmp_path: Path, cluster: str):
    """A terminal sends it to workers too: they print nothing, and none stays."""
    with running(night, tmp_path, cluster) as process:
        sent = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert time.monotonic() - sent < 10
        assert process.returncode == 130
        assert "Traceback" not in err
        assert err.startswith("mirar-dask: interrupted. What was finished is in ")
        assert gone(process.pid)
    (run,) = (tmp_path / "out/slow/n1/runs").iterdir()
    assert not (run / "cache").exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are listed from /proc")
@pytest.mark.parametrize(
    ("number", "cluster", "word"),
    [
        (signal.SIGTERM, "local", "terminated"),
        (signal.SIGHUP, "serial", "the terminal was closed"),
    ],
)
def test_other_signals_end_a_run_as_ctrl_c_does(
    night: Path, tmp_path: Path, number: signal.Signals, cluster: str, word: str
):
    """A batch system sends one to the driver alone, or to all; the exit code names it."""
    with running(night, tmp_path, cluster) as process:
        sent = time.monotonic()
        os.kill(process.pid, number)
        _, err = process.communicate(timeout=30)
        assert time.monotonic() - sent < 10
        assert process.returncode == 128 + number
        assert "Traceback" not in err
        assert err.startswith(f"mirar-dask: {word}.")
        assert gone(process.pid)
    (run,) = (tmp_path / "out/slow/n1/runs").iterdir()
    assert not (run / "cache").exists()
