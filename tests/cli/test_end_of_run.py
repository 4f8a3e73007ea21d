"""Whoever wants to know is told of the end of a run, however that comes."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from mirar_dask.run import reduce_night

KEEP = """
import os, sys
told = {k[11:]: v for k, v in os.environ.items() if k.startswith("MIRAR_DASK_")}
with open(sys.argv[1], "a") as file:
    file.write(repr((told, sys.stdin.read())) + "\\n")
"""


class Kept:
    """A command that keeps what it is told, one line a call."""

    def __init__(self, folder: Path) -> None:
        self.file, script = folder / "told", folder / "keep.py"
        script.write_text(KEEP)
        self.command = f"{sys.executable} {script} {self.file}"

    def calls(self) -> list[tuple[dict[str, str], dict]]:
        if not self.file.exists():
            return []
        lines = [eval(line) for line in self.file.read_text().splitlines()]
        return [(told, json.loads(document)) for told, document in lines]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_the_end_of_a_run_is_told_with_its_summary(
    command, bad_night: Path, tmp_path: Path, kept: Kept
):
    """Failures included; the document is the summary of the run."""
    words = ("run", "imager", "--raw", bad_night, "--out", tmp_path / "out", "-c", "reduce")
    said = command(*words, "--cluster", "serial", "--on-end", kept.command)
    assert said.code == 1
    ((told, document),) = kept.calls()
    assert (told["STATE"], told["EXIT_CODE"]) == ("ended", "1")
    assert document == json.loads(Path(told["SUMMARY"]).read_text()) | {"why": ""}
    assert int(told["N_FAILURES"]) == len(document["failures"]) > 0


def test_a_night_that_cannot_be_begun_is_told_of(command, tmp_path: Path, kept: Kept):
    """Nobody at the telescope reads what a timer prints at noon."""
    (tmp_path / "n9").mkdir()
    words = ("run", "imager", "--raw", tmp_path / "n9", "--out", tmp_path / "out")
    assert command(*words, "--on-end", kept.command).code == 3
    ((told, document),) = kept.calls()
    assert (told["STATE"], told["EXIT_CODE"], told["NIGHT"]) == ("refused", "3", "n9")
    assert "is empty" in document["why"]


def test_a_command_that_fails_changes_nothing_but_is_heard_of(command, night: Path, tmp_path: Path):
    """The exit code is the run's, and one sentence tells of the command."""
    words = ("run", "imager", "--raw", night, "--out", tmp_path, "-c", "reduce")
    fails = f"{sys.executable} -c 'raise SystemExit(\"no network\")'"
    said = command(*words, "--cluster", "serial", "--on-end", fails)
    assert said.code == 0
    (line,) = said.err.splitlines()
    assert "ended with status 1: no network" in line
    assert len(list(tmp_path.glob("imager/n1/reduced/*.fits"))) == 2


def test_an_interrupted_run_is_told_of_with_what_it_did(
    night: Path, tmp_path: Path, slow_run, monkeypatch: pytest.MonkeyPatch, kept: Kept
):
    """The document is made of the run's folder, and kept there."""
    monkeypatch.setenv("MIRAR_DASK_ON_END", kept.command)
    with slow_run(night, tmp_path, "serial") as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    ((told, document),) = kept.calls()
    assert (told["STATE"], told["EXIT_CODE"], told["N_UNFINISHED"]) == ("interrupted", "143", "11")
    assert "What was finished is in" in told["WHY"]
    assert document["counts"]["frames"] == 11
    assert json.loads(Path(told["SUMMARY"]).read_text()) == document


def test_a_run_that_is_resumed_tells_whom_the_first_one_told(
    command, night: Path, tmp_path: Path, kept: Kept
):
    """The command is part of the request; it can be declined."""
    words = ("run", "imager", "--raw", night, "--out", tmp_path, "-c", "reduce")
    assert command(*words, "--cluster", "serial", "--on-end", kept.command).code == 0
    assert command("resume", "last", "--out", tmp_path).code == 0
    assert len(kept.calls()) == 2
    assert command("resume", "last", "--out", tmp_path, "--on-end", "").code == 0
    assert len(kept.calls()) == 2


def test_no_file_of_a_run_holds_the_password(
    command, night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Nor does what is printed; the run ends well though nobody could be told."""
    for name, value in {
        "EMAIL": "a@x.org", "SMTP_USER": "u", "SMTP_PASSWORD": "M31-secret", "SMTP_PORT": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"MIRAR_DASK_{name}", value)
    words = ("run", "imager", "--raw", night, "--out", tmp_path, "-c", "reduce")
    said = command(*words, "--cluster", "serial", "-v")
    assert said.code == 0
    assert "was not sent by localhost:1" in said.err
    assert "M31-secret" not in said.out + said.err
    (run,) = tmp_path.glob("imager/n1/runs/*")
    files = [path for path in run.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if b"M31-secret" in path.read_bytes()]


def test_a_notebook_tells_of_its_runs_too(night: Path, tmp_path: Path, kept: Kept):
    """`reduce_night` takes the same options."""
    summary = reduce_night(
        raw=night, out=tmp_path, configuration="reduce", cluster="serial", on_end=kept.command
    )
    ((told, _),) = kept.calls()
    assert told["RUN_ID"] == summary.run_id


def test_status_says_what_ended_a_run_that_did_not_come_to_its_end(
    command, night: Path, tmp_path: Path
):
    """Also where nobody was to be told."""

    def press(event: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reduce_night(raw=night, out=tmp_path, cluster="serial", listeners=[press])
    said = command("status", "last", "--out", tmp_path)
    assert "interrupted: Ctrl-C" in said.out
