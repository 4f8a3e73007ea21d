"""`mirar-dask report RUN --task NAME` and `--tasks`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def out(command, night: Path, tmp_path: Path) -> Path:
    """Return the output folder of a night that was reduced."""
    words = ["run", "imager", "--raw", night, "--out", tmp_path, "-c", "reduce"]
    assert command(*words, "--cluster", "threads").code == 0
    return tmp_path


def test_tasks_are_listed_narrowed_and_shown(command, out: Path):
    """From the list to one task by its number; a frame means all tasks that had it."""
    listed = command("report", "--out", out, "--tasks")
    assert listed.code == 0
    assert "bias master" in listed.out
    frame = command("report", "--out", out, "--task", "FIELD1_r_0001.fits", "--json")
    found = json.loads(frame.out)
    assert found
    assert all("FIELD1_r_0001.fits" in task["frames"] for task in found)
    number = found[-1]["number"]
    shown = command("report", "--out", out, "--task", number)
    assert f"task {number}: {found[-1]['label']}" in shown.out
    assert "nothing was logged" in shown.out


def test_a_name_that_means_no_task_is_a_mistake(command, out: Path):
    """One sentence says how many there are and how to list them."""
    said = command("report", "--out", out, "--task", "nobody")
    assert said.code == 2
    assert "no task that 'nobody' would mean" in said.err
    assert "--tasks" in said.err


def test_a_serial_run_has_a_task_for_each_step(command, night: Path, tmp_path: Path):
    """With the frames that it had."""
    words = ["run", "imager", "--raw", night, "--out", tmp_path, "-c", "reduce"]
    command(*words, "--cluster", "serial")
    found = json.loads(command("report", "--out", tmp_path, "--task", "dark", "--json").out)
    assert [len(task["frames"]) for task in found] == [8]
