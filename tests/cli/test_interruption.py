"""Ctrl-C and SIGTERM end a run in seconds, with a word, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest


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
@pytest.mark.parametrize(
    "cluster", ["serial", pytest.param("threads", marks=pytest.mark.slow), "local"]
)
def test_ctrl_c_ends_a_run_in_seconds(slow_run, night: Path, tmp_path: Path, cluster: str):
    """A terminal sends it to workers too: they print nothing, and none stays."""
    with slow_run(night, tmp_path, cluster) as process:
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
    slow_run, night: Path, tmp_path: Path, number: signal.Signals, cluster: str, word: str
):
    """A batch system sends one to the driver alone, or to all; the exit code names it."""
    with slow_run(night, tmp_path, cluster) as process:
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
