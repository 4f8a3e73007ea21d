"""A run says that it is alive, and two of them never work on one night."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mirar_dask.monitoring import heartbeat
from mirar_dask.monitoring.heartbeat import ALIVE, NightBusyError, beating, read_sign, running

HOLDS_A_NIGHT = """
import sys, time
from pathlib import Path
from mirar_dask.monitoring.heartbeat import beating
with beating(Path(sys.argv[1]), "first"):
    print("begun", flush=True)
    time.sleep(600)
"""


def edit_sign(folder: Path, **changes: object) -> None:
    values = json.loads((folder / ALIVE).read_text())
    (folder / ALIVE).write_text(json.dumps({**values, **changes}))


def test_a_run_tells_who_it_is_while_it_lives_and_takes_its_sign_away(tmp_path: Path) -> None:
    """The sign names run, process and host; after an orderly end there is none."""
    with beating(tmp_path, "one") as folder:
        sign = read_sign(folder)
        assert sign is not None
        assert (sign.run_id, sign.pid) == ("one", os.getpid())
        assert sign.alive()
        assert running(tmp_path) == sign
    assert folder == tmp_path / "runs" / "one"
    assert read_sign(folder) is None
    assert running(tmp_path) is None


def test_the_sign_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watcher on another host sees the time of the last beat move on."""
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.05)
    with beating(tmp_path, "one") as folder:
        first = read_sign(folder)
        assert first is not None
        deadline = time.monotonic() + 20
        while (sign := read_sign(folder)) is None or sign.beat <= first.beat:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_second_run_on_a_night_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    """The message says which run, on which host and since when; no folder is left behind."""
    with beating(tmp_path, "one") as folder:
        sign = read_sign(folder)
        assert sign is not None
        told = re.escape(f"run one (process {os.getpid()} on {sign.host}, since {sign.started})")
        with pytest.raises(NightBusyError, match=told), beating(tmp_path, "two"):
            pass
        with beating(tmp_path.parent / "other night", "two"):
            pass
    assert not (tmp_path / "runs" / "two").exists()


def test_a_run_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    """While its process lives it holds the night; once killed, the next run takes over."""
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_NIGHT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "begun\n"
        with pytest.raises(NightBusyError, match="run first"), beating(tmp_path, "second"):
            pass
    finally:
        owner.kill()
        owner.communicate()
    sign = read_sign(tmp_path / "runs" / "first")
    assert sign is not None
    assert not sign.alive()
    with beating(tmp_path, "second"):
        pass


def test_a_process_id_that_is_used_again_is_not_the_run(tmp_path: Path) -> None:
    """A sign whose process began at another time belongs to a run that is gone."""
    with beating(tmp_path, "one") as folder:
        edit_sign(folder, process_started=time.time() - 3600)
        sign = read_sign(folder)
        assert sign is not None
        assert not sign.alive()


def test_a_run_on_another_host_is_dead_after_a_minute_of_silence(tmp_path: Path) -> None:
    """Nobody can look for its process: the last beat decides."""
    with beating(tmp_path, "one") as folder:
        edit_sign(folder, host="elsewhere", beat=1000.0)
        sign = read_sign(folder)
        assert sign is not None
        assert sign.alive(now=1059.0)
        assert not sign.alive(now=1061.0)
