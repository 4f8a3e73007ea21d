"""Whole nights on a real SLURM, with what happens on one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.engine.events import TaskFinished
from mirar_dask.errors import ClusterError
from mirar_dask.run import reduce_night

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(200)]

FAR: dict[str, Any] = {"interface": "lo", "walltime": "10min"}


def on_slurm(workers: int | None = 2, **more: Any) -> dict[str, Any]:
    """Return options of a night on SLURM."""
    return {
        "cluster": "slurm",
        "workers": workers,
        "memory": "600MB",
        "cluster_settings": {**FAR, **more},
    }


def logs(night: Any) -> list[str]:
    """Return what each job printed."""
    return [path.read_text() for path in sorted((night.summary.run_folder / "jobs").glob("*.err"))]


def test_a_fixed_number_of_jobs_gives_the_serial_products(slurm, reduce) -> None:
    """Encrypted, on the interface that was named; no job is left."""
    night = reduce(**on_slurm())
    assert night.summary.cluster == "slurm"
    assert len(night.workers) == 2
    assert len(logs(night)) == 2
    assert all("tls://127.0.0.1" in text for text in logs(night))


def test_workers_of_jobs_compute_in_one_thread(slurm, tmp_path: Path, what_is_set) -> None:
    """And have what they need imported, before their first task."""
    spec = ClusterSpec.parse("slurm", workers=1, memory="600MB", **FAR)
    with connect(spec, folder=tmp_path) as engine:
        seen = engine.client.run(what_is_set)
    assert list(seen.values()) == [({"1"}, True)]


def test_jobs_of_several_workers_give_the_serial_products(slurm, reduce) -> None:
    """A job that is lost is replaced as a whole."""

    def cancel_one() -> None:
        slurm.call("scancel", slurm.jobs()[0])

    night = reduce(cancel_one, configuration="slow", **on_slurm(4, cores=2))
    assert len(logs(night)) == 3


def test_the_number_of_jobs_follows_the_work(slurm, reduce) -> None:
    """From one that is there when the run begins to as many as are allowed."""
    night = reduce(**on_slurm(None, adapt=(0, 3)), configuration="slow")
    assert len(night.workers) == 3
    assert night.summary.workers == 3


def test_a_job_that_is_cancelled_is_replaced(slurm, reduce) -> None:
    """What it was doing is done by another."""

    def cancel_one() -> None:
        slurm.call("scancel", slurm.jobs()[0])

    night = reduce(cancel_one, **on_slurm())
    assert len(logs(night)) == 3


def test_adaptive_jobs_that_are_cancelled_are_replaced(slurm, reduce) -> None:
    """A lost job does not count against the greatest number."""

    def cancel_all() -> None:
        for job in slurm.jobs():
            slurm.call("scancel", job)

    night = reduce(cancel_all, **on_slurm(None, adapt=(1, 2)))
    assert len(logs(night)) >= 2


def test_a_job_whose_node_goes_down_is_replaced_on_another(slurm, reduce) -> None:
    """SLURM would put it back into the queue for two minutes; it is cancelled instead."""

    def down() -> None:
        slurm.call("scontrol", "update", "nodename=n1", "state=down", "reason=test")

    try:
        began = time.monotonic()
        night = reduce(down, **on_slurm(), configuration="slow")
        assert time.monotonic() - began < 60
        assert len(logs(night)) == 3
    finally:
        if "down" in slurm.call("sinfo", "-hN", "-nn1", "-o%T"):
            slurm.call("scontrol", "update", "nodename=n1", "state=resume")


def test_jobs_end_before_their_walltime_and_are_replaced(slurm, reduce) -> None:
    """They hand their tasks back; no job is ended by SLURM, and no frame is lost."""
    night = reduce(**on_slurm(walltime="1min"), configuration="slow")
    texts = logs(night)
    assert len(texts) >= 4
    assert sum("worker-lifetime-reached" in text for text in texts) >= 2
    assert not any("DUE TO TIME LIMIT" in text for text in texts)


def test_a_night_goes_on_while_slurms_controller_is_away(slurm, reduce) -> None:
    """Killed and started again: the jobs work on, and are ended in the end."""

    def restart() -> None:
        os.kill(int((slurm.folder / "slurmctld.pid").read_text()), signal.SIGKILL)
        time.sleep(3)
        slurm.control()

    reduce(restart, **on_slurm())


def test_work_begins_with_the_first_job_when_the_queue_is_full(slurm, reduce) -> None:
    """The others wait in the queue, and are taken back when nothing is left to do."""
    others = [
        slurm.call("sbatch", "--parsable", "-o/dev/null", "--mem=100M", "--wrap=sleep 300").strip()
        for _ in range(3)
    ]
    try:
        night = reduce(**on_slurm(4))
        assert len(logs(night)) == 1
        assert len(night.workers) == 1
    finally:
        for job in others:
            slurm.call("scancel", job)


def test_jobs_that_wait_in_a_full_queue_are_waited_for(
    slurm, reduce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the only worker is lost meanwhile: the run goes on when a job begins."""
    monkeypatch.setattr("mirar_dask.engine.workers.PATIENCE_SECONDS", 2.0)
    others = [
        slurm.call("sbatch", "--parsable", "-o/dev/null", "--mem=100M", "--wrap=sleep 300").strip()
        for _ in range(3)
    ]

    def lose_the_only_worker() -> None:
        (ours,) = slurm.jobs("RUNNING")[3:]
        words = ("sbatch", "--parsable", "-o/dev/null", "--mem=100M", "--nice=-100")
        others.append(slurm.call(*words, "--wrap=sleep 20").strip())  # it gets the free place
        slurm.call("scancel", ours)

    try:
        night = reduce(lose_the_only_worker, **on_slurm(2))
        assert len(night.workers) == 2  # one before and one after
        assert night.summary.workers == 1  # never two at once
    finally:
        for job in others:
            slurm.call("scancel", job)


def test_a_run_ends_at_once_when_its_jobs_give_no_workers_any_more(
    slurm, raw: Path, tmp_path: Path, pipeline: str
) -> None:
    """Three of them on end: not after a minute, and with what the last one said."""
    broken = tmp_path / "broken"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ -e {broken} ] && exit 1\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    lost: list[float] = []

    def break_it(event: Any) -> None:
        if isinstance(event, TaskFinished) and not lost:
            broken.touch()
            slurm.call("scancel", *slurm.jobs())
            lost.append(time.monotonic())

    summary = reduce_night(
        pipeline, raw=raw, out=tmp_path / "out", listeners=[break_it],
        **on_slurm(1, python=str(python)),
    )  # fmt: skip
    assert time.monotonic() - lost[0] < 45
    assert summary.exit_code == 1
    assert any("3 jobs ended before they gave a worker" in r.reason for r in summary.records)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queue": "nosuch"}, r"refused \(Invalid partition name specified\); check --queue"),
        ({"memory": "100GB"}, "give fewer --cores or less --memory"),
        ({"queue": "brief", "walltime": "1h"}, "give a shorter --walltime"),
        ({"python": "/usr/bin/false"}, "3 jobs ended before they gave a worker"),
    ],
)
def test_a_wrong_setting_is_answered_within_seconds(
    slurm, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """By one sentence with the remedy; no job is left."""
    spec = ClusterSpec.parse("slurm", **{"workers": 1, "memory": "600MB", **FAR, **options})
    began = time.monotonic()
    with pytest.raises(ClusterError, match=words), connect(spec, folder=tmp_path):
        pass
    assert time.monotonic() - began < 40
    assert not list(tmp_path.rglob("*.pem"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_jobs_end_with_the_driver_whatever_ends_it(
    slurm, raw: Path, tmp_path: Path, pipeline: str, number: signal.Signals
) -> None:
    """Cancelled by it, or by themselves where it could do nothing any more."""
    words = ["run", pipeline, "--raw", str(raw), "--out", str(tmp_path), "--cluster", "slurm"]
    words += ["--workers", "2", "--memory", "600MB", "--interface", "lo"]
    with subprocess.Popen(
        [sys.executable, "-m", "mirar_dask", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as driver:
        end = time.monotonic() + 60
        while not list(tmp_path.rglob("reduced/*.fits")) and time.monotonic() < end:
            time.sleep(0.1)
        driver.send_signal(number)
        driver.communicate(timeout=30)
    assert driver.returncode in (128 + number, -number)
    end = time.monotonic() + (30 if number == signal.SIGKILL else 3)
    while slurm.jobs() and time.monotonic() < end:
        time.sleep(0.2)
    assert slurm.jobs() == []


def test_one_job_holds_driver_and_workers(
    slurm, raw: Path, tmp_path: Path, pipeline: str, oracle: dict[str, Path], same_products
) -> None:
    """Each task of a job step runs the same command; the first is the driver."""
    done = subprocess.run(
        [
            *("srun", "-n", "3", "--mem=1500M", sys.executable, "-m", "mirar_dask", "run"),
            *(pipeline, "--raw", str(raw), "--out", str(tmp_path), "--interface", "lo"),
            *("--cluster", "slurm-runner", "--memory", "600MB"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "cluster slurm-runner, 2 workers" in done.stdout
    same_products(tmp_path / "slow_night" / raw.name, oracle["default"])
    assert not list(tmp_path.rglob(".scheduler-*"))
