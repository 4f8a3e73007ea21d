"""`mirar-dask resume`: a run that was killed, interrupted or had failures comes to its end."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.monitoring.heartbeat import read_sign
from mirar_dask.resuming import run_folders
from mirar_dask.testing import simulate_night
from mirar_dask.testing.products import differences

Command = Callable[..., Any]

ENDING_SECONDS = 120


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a night of 40 frames that takes some seconds."""
    folder = tmp_path_factory.mktemp("frames") / "n1"
    simulate_night(folder, size=200, seed=9)
    return folder


@pytest.fixture(scope="module")
def undisturbed(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output folder of that night, reduced in one go."""
    out = tmp_path_factory.mktemp("undisturbed")
    process = start(frames, out)
    assert process.wait(ENDING_SECONDS) == 0
    return out / "imager" / "n1"


def start(frames: Path, out: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start a run in a process, and a process group, of its own."""
    command = ["run", "imager", "--raw", str(frames), "--out", str(out), "--workers", "2", *words]
    return subprocess.Popen(
        [sys.executable, "-m", "mirar_dask", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def runs(night: Path) -> list[Path]:
    """Return the folders of the runs of a night, the newest at the end."""
    return [folder for folder in run_folders(night)[::-1] if (folder / "request.json").exists()]


def wait_for(what: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
    """Wait until something is so; False if the process ended before."""
    end = time.monotonic() + ENDING_SECONDS
    while not what():
        assert time.monotonic() < end
        if process.poll() is not None:
            return False
        time.sleep(0.002)
    return True


def lines(night: Path) -> int:
    """Number of nodes that the first run of a night has remembered."""
    files = [run / "memo.jsonl" for run in runs(night)]
    return sum(file.read_text().count("\n") for file in files if file.exists())


def kill_when(n_lines: int, frames: Path, out: Path) -> None:
    """Start a run, and kill its driver as soon as it has remembered so much."""
    night = out / "imager" / "n1"
    process = start(frames, out)
    try:
        wait_for(lambda: lines(night) >= n_lines, process)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("n_lines", [1, pytest.param(12, marks=pytest.mark.slow), 30])
def test_a_driver_that_was_killed_is_resumed_to_the_products_of_an_undisturbed_run(
    command: Command, frames: Path, undisturbed: Path, tmp_path: Path, n_lines: int
) -> None:
    """After SIGKILL at some moment; the caches of both runs are gone in the end."""
    kill_when(n_lines, frames, tmp_path)
    night = tmp_path / "imager" / "n1"
    (killed,) = runs(night)
    assert read_sign(killed) is not None
    said = command("resume", "last", "--out", tmp_path)
    assert said.code == 0, said.err
    assert f"continues        {killed.name}" in said.out
    assert differences(night, undisturbed) == []
    assert not (killed / "cache").exists()
    assert not list(night.rglob(".tmp-*"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_any_moment_will_do(
    command: Command, frames: Path, undisturbed: Path, tmp_path: Path, seed: int
) -> None:
    """SIGKILL, and again in the run that goes on, at times drawn at random."""
    draw = random.Random(seed)
    night = tmp_path / "imager" / "n1"
    process = start(frames, tmp_path)
    wait_for(lambda: bool(runs(night)), process)
    time.sleep(draw.uniform(0, 3.5))
    process.kill()
    process.wait()
    process = start(frames, tmp_path, "--skip-existing")
    time.sleep(draw.uniform(0.5, 4))
    process.kill()
    process.wait()
    said = command("resume", "last", "--out", tmp_path)
    assert said.code == 0, said.err
    assert differences(night, undisturbed) == []
    assert not list(night.rglob(".tmp-*"))
    assert not list((night / "runs").glob("*/cache"))


def test_a_run_that_was_interrupted_goes_on(
    command: Command, frames: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """After Ctrl-C what was finished is not done again."""
    night = tmp_path / "imager" / "n1"
    process = start(frames, tmp_path)
    try:
        wait_for(lambda: lines(night) >= 30, process)
        os.kill(process.pid, signal.SIGINT)
        code = process.wait(ENDING_SECONDS)
    finally:
        process.kill()
        process.wait()
    path = tmp_path / "summary.json"
    words = ["--raw", frames, "--out", tmp_path, "--skip-existing", "--json", path]
    said = command("run", "imager", *words)
    assert said.code == 0, said.err
    assert differences(night, undisturbed) == []
    if code == 130:
        assert len(json.loads(path.read_text())["products"]) < 18


def test_a_second_run_on_a_night_is_refused(command: Command, frames: Path, tmp_path: Path) -> None:
    """Exit code 2, and the first goes on."""
    night = tmp_path / "imager" / "n1"
    process = start(frames, tmp_path)
    try:
        assert wait_for(lambda: bool(list((night / "runs").glob("*/alive.json"))), process)
        said = command("run", "imager", "--raw", frames, "--out", tmp_path, "--cluster", "threads")
        assert said.code == 2
        assert f"run {runs(night)[0].name} (process {process.pid} on " in said.err
        assert len(runs(night)) == 1
        assert process.wait(ENDING_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
    assert read_sign(runs(night)[0]) is None


def test_a_request_is_repeated_with_what_is_given_anew(
    command: Command, night: Path, tmp_path: Path
) -> None:
    """Parameters, configuration and folders are those of the run; flags change them."""
    raw = tmp_path / "n1"
    shutil.copytree(night, raw)
    words = ["--raw", raw, "--out", tmp_path / "o", "--cluster", "threads"]
    command("run", "imager", *words, "-c", "reduce", "--set", "bias.method=mean")
    done = tmp_path / "o" / "imager" / "n1"
    first = json.loads((runs(done)[0] / "request.json").read_text())
    said = command("resume", runs(done)[0].name[:10], "--out", tmp_path / "o", "--workers", "1")
    assert said.code == 0, said.err
    second = json.loads((runs(done)[1] / "request.json").read_text())
    assert (first["workers"], second["workers"]) == (None, 1)
    for name in ("pipeline", "raw", "night", "out", "configurations", "parameters", "cluster"):
        assert first[name] == second[name], name
    assert (first["continues"], second["continues"]) == (None, runs(done)[0].name)
    assert second["parameters"] == {"bias.method": "mean"}
    summary = json.loads((runs(done)[1] / "summary.json").read_text())
    assert summary["continues"] == runs(done)[0].name
    assert summary["counts"]["skipped"] == 2
    said = command("resume", runs(done)[1], "--cluster", "serial")
    assert said.code == 0, said.err
    assert json.loads((runs(done)[2] / "request.json").read_text())["workers"] is None


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["nothing"], "there is no run 'nothing' in"),
        (["last", "--night", "n2"], "there is no run in"),
        (["2"], "runs in"),
        (["{run}", "--cluster", "slurm", "--workers", "2", "--adapt", "1:2"], "keep one of them"),
        (["{bare}"], "does not say what its run was asked for"),
    ],
)
def test_a_run_that_is_not_found_is_answered_by_one_sentence(
    command: Command, night: Path, tmp_path: Path, words: list[str], answer: str
) -> None:
    """Exit code 2; nothing is begun."""
    for _ in range(2):
        command("run", "imager", "--raw", night, "--out", tmp_path, "--cluster", "serial")
    done = tmp_path / "imager" / "n1"
    (done / "runs" / "bare").mkdir()
    known = {"run": str(runs(done)[0]), "bare": str(done / "runs" / "bare")}
    said = command("resume", *(word.format(**known) for word in words), "--out", tmp_path)
    assert said.code == 2
    assert answer in said.err
    assert len(runs(done)) == 2


def test_secrets_of_a_cluster_are_not_written_down(tmp_path: Path) -> None:
    """Options whose names tell of passwords stay out of the run's folder."""
    from mirar_dask.config import NightSettings
    from mirar_dask.request import prepare
    from mirar_dask.resuming import save_request

    simulate_night(tmp_path / "n1", size=64, n_bias=1, n_dark=1, n_flat=1, n_science=1)
    options = {"username": "ana", "password": "opensesame"}
    settings = NightSettings(
        raw=tmp_path / "n1", out=tmp_path, cluster="ssh:a,b", cluster_settings={"options": options}
    )
    save_request(prepare(settings), tmp_path)
    text = (tmp_path / "request.json").read_text()
    assert "opensesame" not in text
    assert json.loads(text)["cluster_settings"]["options"] == {"username": "ana"}


def test_clobber_and_skip_existing_contradict_each_other(command: Command, night: Path) -> None:
    """One sentence says so."""
    said = command("run", "imager", "--raw", night, "--clobber", "--skip-existing")
    assert said.code == 2
    assert "contradict each other" in said.err
