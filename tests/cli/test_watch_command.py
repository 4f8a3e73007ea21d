"""`mirar-dask watch`: what it prints, whom it tells, how it ends."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.testing.products import differences

Command = Callable[..., Any]

QUICK = ("--cluster", "threads", "--workers", "2", "--quiet-after", "1s", "--stable", "0.1s")


def test_a_night_is_watched_to_its_end(command: Command, night: Path, tmp_path: Path):
    """Lines for what happens, then the summary of the night; the observer is told twice."""
    hook = tmp_path / "hook"
    hook.write_text(f'#!/bin/sh\necho "$MIRAR_DASK_STATE $MIRAR_DASK_WHY" >> {tmp_path}/told\n')
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    out = tmp_path / "out"
    words = ["imager", "-c", "reduce", "--raw", night, "--out", out, *QUICK]
    said = command("watch", *words, "--midway-after", "0s", "--on-end", hook)
    assert said.code == 0, said.err
    lines = [line[20:] for line in said.out.splitlines()]
    assert lines[0].startswith(f"watching {night} by ")
    assert "3 bias, 3 dark, 3 flat r taken up" in lines
    assert any(line.startswith("FIELD1_r_0001.fits and 1 more reduced after") for line in lines)
    assert "11 (9 set aside, 2 skipped)" in said.out
    told = (tmp_path / "told").read_text().splitlines()
    assert [line.split()[0] for line in told] == ["midway", "ended"]
    assert "latency" in told[0]
    (run,) = (path.parent for path in (out / "imager" / "n1" / "runs").glob("*/midway.txt"))
    assert json.loads((run / "midway.json").read_text())["state"] == "midway"
    shown = command("status", run.name, "--out", out)
    assert "latency     median " in shown.out
    reduced = command(
        "run", *words[:-6], "--cluster", "threads", "--workers", "2", "--out", tmp_path / "batch"
    )
    assert reduced.code == 0
    assert differences(out / "imager/n1", tmp_path / "batch/imager/n1") == []


def test_a_night_without_frames_ends_with_what_is_missing(command: Command, tmp_path: Path):
    """The folder need not be there; at the hour the night is over, and there was nothing."""
    words = ["imager", "--raw", tmp_path / "n1", "--out", tmp_path / "out", *QUICK]
    said = command("watch", *words, "--until", "2026-01-01T00:00Z")
    assert said.code in (2, 3)
    assert "there is no folder" in said.err
    assert "the night is over: it is 2026-01-01T00:00Z" in said.out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--quiet-after", "soon"), "--quiet-after soon: expected a time such as 90s"),
        (("--until", "dawn"), "--until dawn: expected an hour such as 06:30"),
        (("--realtime", "none"), "has no configuration 'none'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    command: Command, tmp_path: Path, words: tuple[str, ...], reason: str
):
    """Before anything is begun."""
    said = command("watch", "imager", "--raw", tmp_path / "n1", "--out", tmp_path / "out", *words)
    assert said.code == 2
    assert reason in said.err
    assert not list(tmp_path.rglob("runs/*"))
