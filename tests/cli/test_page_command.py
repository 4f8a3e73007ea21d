"""`mirar-dask page`: the page of runs by a server of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from mirar_dask.testing.journals import JournalOfNight

Command = Callable[..., Any]


def started(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mirar_dask", "page", "--port", "0", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_runs_of_an_output_folder_are_shown_until_ctrl_c(tmp_path: Path):
    """The address is printed; Ctrl-C is the way to end it, and no failure."""
    JournalOfNight(frames=10, batches=1).write(tmp_path / "imager" / "20260101")
    with started("--out", tmp_path) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        with urlopen(f"{address}api/runs") as answer:
            assert [run["night"] for run in json.load(answer)["runs"]] == ["20260101"]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


def test_one_run_is_shown_and_no_other(tmp_path: Path):
    """The one that was named; who listens wider than this machine is told so."""
    first = JournalOfNight(frames=10, batches=1).write(tmp_path / "imager" / "20260101")
    JournalOfNight(frames=10, batches=1).write(tmp_path / "imager" / "20260102")
    with started(first, "--host", "0.0.0.0") as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        assert address.endswith(f"#run={first.name}")
        with urlopen(f"{address.partition('#')[0]}api/runs") as answer:
            assert [run["night"] for run in json.load(answer)["runs"]] == ["20260101"]
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert "who reaches 0.0.0.0 sees these runs" in errors
    assert process.returncode == 128 + signal.SIGTERM


def test_a_port_that_is_taken_is_a_wrong_usage(command: Command, tmp_path: Path):
    """One sentence names it, with the remedy."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = command("page", "--out", tmp_path, "--port", port)
    assert said.code == 2
    assert f"--port {port}" in said.err
    assert "--port 0 takes a free one" in said.err


def test_an_output_folder_that_is_not_there_is_a_wrong_usage(command: Command, tmp_path: Path):
    """Else the page would be empty, and nobody would know why."""
    said = command("page", "--out", tmp_path / "nothing")
    assert said.code == 2
    assert "name the output folder with --out" in said.err
