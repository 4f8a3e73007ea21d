"""A run whose driver is in a job of its own: submitted, watched, cancelled, continued."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.cancel import cancel_run
from mirar_dask.cli.run_options import ask_job

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(280)]

ON_SLURM = ["--cluster", "slurm", "--workers", "2", "--memory", "600MB", "--interface", "lo"]
ON_SLURM += ["--walltime", "10min"]
IN_THE_JOB = ["--driver-cores", "2", "--workers", "2", "--memory", "400MB"]
SMALL = ["--driver-memory", "1GB"]


@dataclass(frozen=True)
class Shell:
    """Somebody at a login node."""

    pipeline: str
    raw: Path
    out: Path

    def __call__(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command of ours and look at its exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "mirar_dask", *words],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done

    def submit(self, *words: str) -> str:
        """Submit the night and return the name of its run."""
        night = [self.pipeline, "--raw", str(self.raw), "--out", str(self.out)]
        began = time.monotonic()
        said = self("submit", *night, *words).stdout
        assert time.monotonic() - began < 30
        return said.split()[1]

    def status(self, run: str) -> dict[str, Any]:
        """Return how a run stands."""
        found: dict[str, Any] = json.loads(
            self("status", run, "--out", str(self.out), "--json").stdout
        )
        return found

    def wait_for(self, run: str, *states: str, seconds: float = 90) -> dict[str, Any]:
        """Wait until a run is in one of these states, and return how it stands."""
        end = time.monotonic() + seconds
        while (found := self.status(run))["state"] not in states or "being sub" in found["why"]:
            assert time.monotonic() < end, (found, self.printed(run))
            time.sleep(0.5)
        return found

    def printed(self, run: str) -> str:
        """Return what the job of a run printed."""
        path = self.folder(run) / "job.out"
        return path.read_text() if path.exists() else ""

    def folder(self, run: str) -> Path:
        """Return the folder of a run."""
        (found,) = self.out.glob(f"*/*/runs/{run}")
        return found

    @property
    def night(self) -> Path:
        """Return the night's output folder."""
        return self.out / "slow_night" / self.raw.name


@pytest.fixture(scope="session")
def steady(pipeline: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the slow pipeline, each frame of which is saved as soon as it has been through."""
    text = Path(pipeline.rpartition(":")[0]).read_text()
    tells = "    def changes_keys(self):\n        return frozenset()\n\n    def apply_to_image"
    path = tmp_path_factory.mktemp("steady") / "steady.py"
    path.write_text(text.replace("    def apply_to_image", tells))
    return f"{path}:SlowNight"


@pytest.fixture
def shell(slurm: Any, steady: str, raw: Path, tmp_path: Path) -> Shell:
    """Return somebody at a login node of a SLURM that is idle."""
    return Shell(steady, raw, tmp_path / "out")


@pytest.fixture(scope="session")
def oracle(steady: str, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return what the serial engine makes of the night, by configuration."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IN_HASTE", "1")
        for name in ("default", "slow"):
            there = Shell(steady, raw, tmp_path_factory.mktemp(name))
            words = ["--raw", str(raw), "--out", str(there.out), "-c", name]
            there("run", steady, *words, "--cluster", "serial")
            found[name] = there.night
    return found


@pytest.fixture
def filled(slurm: Any) -> Any:
    """Fill SLURM with jobs of somebody else; yield a function that takes them away."""
    jobs = [
        slurm.call("sbatch", "--parsable", "-o/dev/null", "--mem=1M", "-c2", "--wrap=sleep 300")
        for _ in slurm.nodes
    ]
    jobs = [job.strip() for job in jobs]

    def empty() -> None:
        while jobs:
            slurm.call("scancel", jobs.pop())

    yield empty
    empty()


def nothing_is_left(shell: Shell, slurm: Any) -> None:
    """No job, no process of the run, no cache file."""
    end = time.monotonic() + 30
    while slurm.jobs() and time.monotonic() < end:
        time.sleep(0.2)
    assert slurm.jobs() == []
    assert not list(shell.out.rglob("*.npy"))
    assert not list(shell.out.rglob("*.pem"))
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        assert str(shell.out) not in line, line


@pytest.mark.parametrize("where", [[*ON_SLURM, *SMALL], IN_THE_JOB], ids=["slurm", "local"])
def test_a_night_is_submitted_watched_and_gives_the_serial_products(
    shell: Shell, slurm: Any, filled: Any, oracle: dict[str, Path], same_products, where: list[str]
) -> None:
    """Queued with its plan, running with its figures, ended; what the job prints is kept."""
    run = shell.submit(*where)
    found = shell.wait_for(run, "queued")
    assert found["job"]["id"] == slurm.jobs()[-1]
    assert sum(step["expected"] or 0 for step in found["steps"]) > 0
    assert f"job {found['job']['id']} of slurm" in shell("status", "--out", str(shell.out)).stdout
    filled()
    found = shell.wait_for(run, "running")
    assert found["host"]
    assert found["frames"]
    found = shell.wait_for(run, "ended")
    assert found["frames"] == {"succeeded": 24, "set aside": 12}
    same_products(shell.night, oracle["default"])
    assert "frames           36" in shell.printed(run)
    assert (shell.folder(run) / "request.json").exists()
    nothing_is_left(shell, slurm)


def test_all_tasks_of_one_job_reduce_a_night(
    shell: Shell, slurm: Any, oracle: dict[str, Path], same_products
) -> None:
    """The first of them is the driver."""
    words = ["--cluster", "slurm-runner", "--workers", "2", "--memory", "600MB"]
    run = shell.submit(*words, "--interface", "lo")
    shell.wait_for(run, "running", "ended")
    assert shell.wait_for(run, "ended")["state"] == "ended"
    assert "2 workers" in shell.printed(run)
    same_products(shell.night, oracle["default"])
    nothing_is_left(shell, slurm)


def test_a_queued_run_is_taken_out_of_the_queue(shell: Shell, slurm: Any, filled: Any) -> None:
    """It never began; it can be begun later."""
    run = shell.submit(*ON_SLURM, *SMALL)
    shell.wait_for(run, "queued")
    said = shell("cancel", run, "--out", str(shell.out))
    assert "was taken out of the queue" in said.stdout
    found = shell.status(run)
    assert found["state"] == "never began"
    assert "cancelled by" in found["why"]
    filled()
    nothing_is_left(shell, slurm)


@pytest.mark.parametrize(
    "where",
    [
        [*ON_SLURM, *SMALL],
        IN_THE_JOB,
        ["--cluster", "slurm-runner", "--workers", "2", "--memory", "600MB", "--interface", "lo"],
    ],
    ids=["slurm", "local", "slurm-runner"],
)
def test_a_running_run_is_ended_in_good_order_and_resumed(
    shell: Shell,
    slurm: Any,
    oracle: dict[str, Path],
    same_products,
    where: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No job, process or cache file is left, and what was finished is whole."""
    run = shell.submit(*where, "-c", "slow")
    shell.wait_for(run, "running")
    end = time.monotonic() + 60
    while not list(shell.night.glob("reduced/*.fits")):
        assert time.monotonic() < end, shell.printed(run)
        time.sleep(0.1)
    said = shell("cancel", run, "--out", str(shell.out))
    assert "told to end" in said.stdout or "asked to end" in said.stdout
    assert f"run {run} is over" in said.stdout
    assert shell.status(run)["state"] == "interrupted", shell.printed(run)
    nothing_is_left(shell, slurm)
    assert "nothing to end" in shell("cancel", run, "--out", str(shell.out)).stdout
    monkeypatch.setenv("IN_HASTE", "1")
    shell("resume", run, "--out", str(shell.out), "--cluster", "threads")
    same_products(shell.night, oracle["slow"])


@pytest.mark.parametrize(
    "where",
    [
        ["--workers", "1", "--memory", "400MB"],
        [*ON_SLURM, *SMALL],
        ["--cluster", "slurm-runner", "--workers", "1", "--memory", "600MB", "--interface", "lo"],
    ],
    ids=["local", "slurm", "slurm-runner"],
)
def test_a_driver_near_the_end_of_its_job_goes_on_in_another(
    shell: Shell, slurm: Any, oracle: dict[str, Path], same_products, where: list[str]
) -> None:
    """Again and again, until the night is done; the chain is shown from each of its runs."""
    where = ["1" if word == "2" else word for word in where]  # workers: it shall take its time
    run = shell.submit(*where, "-c", "slow", "--driver-walltime", "1min")
    first = shell.wait_for(run, "ended", "interrupted", "dead", seconds=100)
    assert "goes on as run" in first["why"], (first, shell.printed(run))
    last = first
    while len(last["chain"]) > 1 and last["chain"][-1]["run_id"] != last["run_id"]:
        last = shell.wait_for(last["chain"][-1]["run_id"], "ended", "interrupted", seconds=100)
        last = shell.status(last["run_id"])
    assert last["run_id"] != run
    assert shell.status(run)["chain"][0]["run_id"] == run
    assert set(last["frames"]) <= {"succeeded", "skipped", "set aside"}, last
    assert last["frames"]["skipped"] > 0
    same_products(shell.night, oracle["slow"])
    nothing_is_left(shell, slurm)


def test_a_driver_that_does_not_end_is_ended_with_its_job(shell: Shell, slurm: Any) -> None:
    """After a while; the command says so."""
    run = shell.submit(*IN_THE_JOB, "-c", "slow")
    found = shell.wait_for(run, "running")
    os.kill(found["process"], signal.SIGSTOP)
    said: list[str] = []
    assert cancel_run(shell.folder(run), ask_job, say=said.append, bound=3.0)
    assert f"run {run} did not end within 3 s: job {found['job']['id']} of slurm is ended" in said
    assert said[-1] == f"run {run} is over"
    assert shell.status(run)["state"] in ("dead", "interrupted")
    assert slurm.jobs() == []


def test_a_job_that_achieves_nothing_is_not_followed_by_another(
    shell: Shell, slurm: Any, tmp_path: Path, raw: Path
) -> None:
    """It would go on for ever; the run says so."""
    slow = tmp_path / "stuck.py"
    slow.write_text(Path(shell.pipeline.rpartition(":")[0]).read_text().replace("(3.0)", "(300.0)"))
    night = [f"{slow}:SlowNight", "--raw", str(raw), "--out", str(shell.out), "-c", "slow"]
    said = shell("submit", *night, *IN_THE_JOB, "--driver-walltime", "1min").stdout
    run = said.split()[1]
    found = shell.wait_for(run, "ended", "interrupted", "dead", seconds=100)
    while "goes on as run" in found["why"]:  # the first of them made the masters
        run = found["chain"][-1]["run_id"]
        found = shell.wait_for(run, "ended", "interrupted", "dead", seconds=100)
    assert found["state"] == "interrupted", shell.printed(run)
    assert len(found["chain"]) == 2
    assert "before anything was finished" in found["why"]
    nothing_is_left(shell, slurm)


def test_a_run_whose_driver_is_killed_is_dead(shell: Shell, slurm: Any) -> None:
    """At once, since SLURM says that its job is over."""
    run = shell.submit(*IN_THE_JOB)
    found = shell.wait_for(run, "running")
    os.kill(found["process"], 9)
    found = shell.wait_for(run, "dead", seconds=30)
    assert "mirar-dask resume" in shell("status", run, "--out", str(shell.out)).stdout


@pytest.mark.parametrize(
    ("words", "code", "answer"),
    [
        (["--driver-queue", "nosuch"], 3, "driver's job was refused (Invalid partition"),
        (["--driver-queue", "brief", "--driver-walltime", "1h"], 3, "give a shorter"),
        (["--driver-memory", "100GB"], 3, "less --driver-memory"),
        (["--driver-memory", "1GB"], 2, "do not fit the job's 1.0 GB"),
        ([*ON_SLURM, "--queue", "nosuch", "--driver-queue", "main"], 3, "worker's job was refused"),
        (["--raw", "/gone"], 2, "there is no folder /gone"),
        (["--driver-memory", "much"], 2, "--driver-memory much"),
        (["--queue-system", "pbs"], 2, "--script FILE writes the script for pbs"),
    ],
)
def test_what_is_wrong_is_answered_within_seconds_and_nothing_is_queued(
    shell: Shell, slurm: Any, words: list[str], code: int, answer: str
) -> None:
    """By one sentence with the remedy; the run's folder is gone again."""
    place = SMALL if "--cluster" in words else IN_THE_JOB
    night = [shell.pipeline, "--raw", str(shell.raw), "--out", str(shell.out), *place, *words]
    began = time.monotonic()
    said = shell("submit", *night, code=code)
    assert time.monotonic() - began < 20
    assert answer in said.stderr
    assert said.stderr.count("\n") == 1
    assert slurm.jobs() == []
    assert not list(shell.out.rglob("job.json"))


def test_without_sbatch_nothing_is_submitted(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The sentence names what can be done here."""
    monkeypatch.setenv("PATH", str(tmp_path))
    night = [shell.pipeline, "--raw", str(shell.raw), "--out", str(shell.out)]
    said = shell("submit", *night, code=2)
    assert "there is no 'sbatch' here" in said.stderr
    assert shutil.which("sbatch") is None


@pytest.mark.parametrize(
    "where",
    [
        IN_THE_JOB,
        ["--cluster", "slurm-runner", "--workers", "1", "--memory", "600MB", "--interface", "lo"],
    ],
    ids=["local", "slurm-runner"],
)
def test_a_submitted_run_tells_of_its_end_once(
    shell: Shell, slurm: Any, tmp_path: Path, where: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command that the submission named; the job's script holds no password."""
    monkeypatch.setenv("IN_HASTE", "1")
    monkeypatch.setenv("MIRAR_DASK_SMTP_PASSWORD", "M31-secret")
    tell = tmp_path / "tell"
    tell.write_text(f'#!/bin/sh\necho "$MIRAR_DASK_STATE $MIRAR_DASK_RUN_ID" >> {tmp_path}/told\n')
    tell.chmod(0o755)
    run = shell.submit(*where, "--on-end", str(tell))
    shell.wait_for(run, "ended")
    nothing_is_left(shell, slurm)
    assert (tmp_path / "told").read_text() == f"ended {run}\n"
    files = [path for path in shell.folder(run).rglob("*") if path.is_file()]
    assert not [path for path in files if b"M31-secret" in path.read_bytes()]
