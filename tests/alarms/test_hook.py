"""The user's own command is called with the news, in its time, and cannot harm the run."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.alarms import AlarmSettings, Notice, hook, tell
from mirar_dask.alarms.hook import OUTPUT


def python(code: str, **options: Any) -> AlarmSettings:
    return AlarmSettings(on_end=(sys.executable, "-c", code), **options)


def printed(notice: Notice) -> str:
    assert notice.folder is not None
    return (notice.folder / OUTPUT).read_text()


def test_the_command_gets_the_summary_thrice(notice: Notice):
    """As JSON on its input, by its path as the last word, and as figures in the environment."""
    code = (
        "import json, os, sys; document = json.load(sys.stdin);"
        "print(document['failures'][0]['reason'], sys.argv[-1], sep='\\n');"
        "print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('MIRAR_DASK_')}))"
    )
    assert tell(python(code), replace(notice, why="clouds")) == []
    reason, path, environment = printed(notice).splitlines()
    assert reason == "it is dark"
    assert path == str(notice.path)
    told = json.loads(environment)
    assert (told["MIRAR_DASK_STATE"], told["MIRAR_DASK_EXIT_CODE"]) == ("ended", "1")
    assert (told["MIRAR_DASK_NIGHT"], told["MIRAR_DASK_WHY"]) == ("n1", "clouds")
    assert (told["MIRAR_DASK_N_FRAMES"], told["MIRAR_DASK_N_SET_ASIDE"]) == ("2", "0")


def test_the_command_does_not_see_the_password(notice: Notice, monkeypatch: pytest.MonkeyPatch):
    """Nor does it inherit the alarms of the run, which a run that it starts would give again."""
    monkeypatch.setenv("MIRAR_DASK_SMTP_PASSWORD", "M31")
    monkeypatch.setenv("MIRAR_DASK_ON_END", "x")
    assert tell(python("import os; print(dict(os.environ))"), notice) == []
    assert "M31" not in printed(notice)
    assert "MIRAR_DASK_ON_END'" not in printed(notice)


def test_a_command_that_fails_is_one_sentence_with_its_last_words(notice: Notice):
    """Its status, what it said last, and where the rest stands."""
    (trouble,) = tell(python("import sys; sys.exit('no such channel\\x1b[31m')"), notice)
    assert "ended with status 1: no such channel?[31m" in trouble
    assert OUTPUT in trouble


def test_a_command_that_hangs_is_stopped_with_all_that_it_started(
    notice: Notice, monkeypatch: pytest.MonkeyPatch
):
    """Also one that does not listen to SIGTERM, and its child."""
    monkeypatch.setattr(hook, "CLOSE_SECONDS", 0.3)
    code = (
        "import os, signal, subprocess, sys, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen(['sleep', '600']);"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    (trouble,) = tell(python(code, on_end_seconds=3), notice)
    assert "did not end within 3 s and was stopped" in trouble
    child = int(printed(notice))
    deadline = time.monotonic() + 10
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_that_reads_nothing_may_end_before_a_large_summary_is_read(notice: Notice):
    """A summary larger than a pipe neither blocks nor breaks."""
    frames = {f"frame_{n}.fits": "succeeded" for n in range(20_000)}
    big = replace(notice, document={**notice.document, "frames": frames})
    assert tell(python("pass"), big) == []


def test_a_command_may_leave_something_behind(notice: Notice):
    """What it starts in the background and does not wait for does not hold the run up."""
    code = "import subprocess; print(subprocess.Popen(['sleep', '30']).pid)"
    began = time.monotonic()
    assert tell(python(code), notice) == []
    assert time.monotonic() - began < 20
    os.kill(int(printed(notice)), 9)


def test_a_run_that_the_command_starts_calls_no_command(
    notice: Notice, monkeypatch: pytest.MonkeyPatch
):
    """A command that resumes the run, whose request names the command, comes to an end."""
    monkeypatch.setenv(hook.INSIDE_VARIABLE, "1")
    assert tell(python("print('again')"), notice) == []
    assert notice.folder is not None
    assert not (notice.folder / OUTPUT).exists()


def test_a_program_that_went_away_is_one_sentence(notice: Notice, tmp_path: Path):
    """It was there when the run began, and is not any more."""
    (trouble,) = tell(AlarmSettings(on_end=(str(tmp_path / "gone"),)), notice)
    assert "gone, did not start: No such file or directory" in trouble
