"""`status`, `runs` and `report`: what they show of runs that ended, go on, or were killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def reduced(bad_night: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output folder of a night with broken frames."""
    out = tmp_path_factory.mktemp("out")
    words = ["run", "imager", "--raw", str(bad_night), "--out", str(out), "--cluster", "threads"]
    done = subprocess.run([sys.executable, "-m", "mirar_dask", *words], capture_output=True)
    assert done.returncode == 1, done.stderr
    return out


def test_status_of_a_run_that_ended_has_the_counts_of_its_summary(command, reduced: Path) -> None:
    """By frame, and by step with the failures in a line each."""
    said = command("status", "--out", reduced, "--json")
    assert said.code == 0, said.err
    status = json.loads(said.out)
    summary = json.loads(Path(status["folders"]["run"], "summary.json").read_text())
    assert status["state"] == "ended"
    described = (Path(__file__).parents[2] / "docs" / "summary.md").read_text()
    described = described.partition("# How a run stands")[2]
    assert [name for name in status if f"`{name}`" not in described] == []
    assert sum(status["frames"].values()) == summary["counts"]["frames"]
    assert [f["reason"] for f in status["failures"]] == [f["reason"] for f in summary["failures"]]
    save = next(row for row in status["steps"] if row["step"] == "save")
    assert (save["expected"], save["succeeded"], save["waiting"]) == (2, 2, 0)
    shown = command("status", status["run_id"][:15], "--out", reduced)
    assert "state       ended" in shown.out
    assert all(name in shown.out for failure in status["failures"] for name in failure["frames"])


def test_runs_are_listed_with_state_and_counts(command, reduced: Path) -> None:
    """A line each; of a folder without runs it is said that there are none."""
    (line,) = json.loads(command("runs", "--out", reduced, "--json").out)
    assert (line["pipeline"], line["night"], line["state"]) == ("imager", "bad", "ended")
    status = json.loads(command("status", "--out", reduced, "--json").out)
    assert line == {name: status[name] for name in line}
    shown = command("runs", "--out", reduced).out
    assert line["run_id"] in shown
    assert "2 succeeded" in shown
    assert command("runs", "--out", reduced / "imager/bad/reduced").out.startswith("no run in")


def test_a_report_has_every_failure_by_kind_and_the_traceback_on_demand(
    command, reduced: Path
) -> None:
    """Products by folder, and where the seconds went."""
    said = command("report", "--out", reduced, "--json")
    found = json.loads(said.out)
    assert len(found["products"]["reduced"]) == 2
    assert sum(found["phases"].values()) == pytest.approx(found["seconds"], abs=0.1)
    listed = [failure for failures in found["failures"].values() for failure in failures]
    assert len(listed) == found["n_failures"] > 3
    assert len(found["failures"]["failed, InvalidFitsError"]) > 1
    assert any("Traceback" in failure["traceback"] for failure in listed)
    assert "Traceback" not in command("report", "--out", reduced).out
    assert "Traceback" in command("report", "--out", reduced, "--tracebacks").out


def test_a_run_that_is_killed_goes_from_running_to_dead(
    command, slow_run, night: Path, tmp_path: Path
) -> None:
    """Nobody had time to write that down; its report tells how far it came."""
    out = tmp_path / "out"
    with slow_run(night, tmp_path, "serial") as process:
        status = json.loads(command("status", "--out", out, "--json").out)
        assert status["state"] == "running"
        assert status["process"] == process.pid
        assert status["frames"] == {"unfinished": 11}
        process.kill()
        process.wait()
    end = time.monotonic() + 10
    while json.loads(command("status", "--out", out, "--json").out)["state"] == "running":
        assert time.monotonic() < end
    said = command("status", "--out", out)
    assert "state       dead: process" in said.out
    assert "mirar-dask resume" in said.out
    assert json.loads(command("report", "--out", out, "--json").out)["state"] == "dead"


def test_an_unknown_run_is_answered_by_one_sentence(command, reduced: Path) -> None:
    """Exit code 2."""
    said = command("status", "2027", "--out", reduced)
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "there is no run '2027'" in said.err
