"""Where tasks are done, from text to layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mirar_dask.cluster import (
    ClusterSpec,
    Need,
    connect,
    job_layout,
    layout_text,
    local_layout,
    worker_memory,
)
from mirar_dask.engine import SerialEngine
from mirar_dask.errors import ClusterError, UsageError

GB = 10**9


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("serial", "serial", ""),
        ("threads", "threads", ""),
        ("local", "local", ""),
        ("tcp://10.0.0.1:8786", "address", "tcp://10.0.0.1:8786"),
        ("tls://host:8786", "address", "tls://host:8786"),
        ("ssh:a,b", "ssh", ""),
        ("slurm", "slurm", ""),
    ],
)
def test_the_option_is_read(text: str, kind: str, target: str) -> None:
    """Each kind by its name, an address by its scheme."""
    spec = ClusterSpec.parse(text)
    assert (spec.kind, spec.target) == (kind, target)


def test_a_scheduler_file_is_a_path(tmp_path: Path) -> None:
    """It must be there."""
    path = tmp_path / "scheduler.json"
    with pytest.raises(UsageError, match=r"scheduler\.json"):
        ClusterSpec.parse(str(path))
    path.write_text("{}")
    assert ClusterSpec.parse(str(path)).kind == "file"


@pytest.mark.parametrize(
    ("text", "options", "word"),
    [
        ("slum", {}, "expected serial, threads, local"),
        ("local", {"workers": 0}, "1 or more"),
        ("serial", {"workers": 4}, "serial run has one"),
        ("local", {"memory": "many"}, "such as 2GB"),
        ("local", {"memory": "1MB"}, "256 MiB"),
        ("slurm", {"walltime": "30"}, "such as 2h"),
        ("slurm", {"walltime": "5s"}, "at least a minute"),
        ("slurm", {"adapt": "9:1"}, "MIN <= MAX"),
        ("slurm", {"adapt": "many"}, "expected MIN:MAX"),
        ("local", {"queue": "short"}, "--queue with --cluster local: leave it out"),
        ("local", {"adapt": "0:9"}, "give --workers N"),
        ("threads", {"python": "python3"}, "--python with --cluster threads"),
        ("tcp://a:1", {"workers": 3}, "whoever started that scheduler's workers"),
        ("ssh", {}, "ssh:host1,host2"),
        ("slurm", {"hosts": "a,b"}, "only ssh has hosts"),
        ("slurm", {"tls": False, "certificates": "d"}, "contradict each other"),
        ("slurm-runner", {"workers": 3}, "the job that srun runs in has it"),
        ("htcondor", {"walltime": "2h"}, "--walltime with --cluster htcondor"),
    ],
)
def test_nonsense_is_one_sentence(text: str, options: dict[str, object], word: str) -> None:
    """What was found, what was expected."""
    with pytest.raises(UsageError, match=word):
        ClusterSpec.parse(text, **options)  # type: ignore[arg-type]


def test_memory_is_read_in_the_usual_units() -> None:
    """Decimal and binary."""
    assert ClusterSpec.parse("local", memory="2GB").memory == 2 * GB
    assert ClusterSpec.parse("local", memory="512 MiB").memory == 512 << 20


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("90min", 5400), ("2h", 7200), ("1d", 86400), ("1-01:00:01", 90001)],
)
def test_walltime_is_read_in_the_usual_forms(text: str, seconds: int) -> None:
    """With a unit, or as a clock; a bare number means something else to each queue system."""
    assert ClusterSpec.parse("slurm", walltime=text).walltime == seconds


@pytest.mark.parametrize("kind", ["slurm", "ssh:a", "pbs", "slurm-runner"])
def test_kinds_that_span_hosts_are_encrypted(kind: str) -> None:
    """Unless that is switched off; connections within this machine are not."""
    assert ClusterSpec.parse(kind).encrypted
    assert not ClusterSpec.parse(kind, tls=False).encrypted
    assert not ClusterSpec.parse("local").encrypted
    assert ClusterSpec.parse("local", tls=True).encrypted


def test_jobs_hold_as_many_workers_as_they_have_cores() -> None:
    """Whole jobs are asked for, with the memory of their workers and something beside."""
    layout = job_layout(workers=10, cores=4, memory=2 * GB)
    assert (layout.least, layout.most, layout.processes) == (3, 3, 4)
    assert 8 * GB < layout.job_memory < 9 * GB
    assert "10 workers as asked for, 12 in whole jobs" in layout.reason
    adaptive = job_layout(adapt=(0, 9), cores=4)
    assert (adaptive.least, adaptive.most) == (0, 3)


def test_what_a_worker_will_have_is_known_before_it_is_started() -> None:
    """So that a plan that does not fit is refused before jobs are submitted."""
    assert worker_memory(ClusterSpec.parse("ssh:a", memory="3GB")) == 3 * GB
    assert worker_memory(ClusterSpec.parse("local", workers=1, memory="3GB")) == 3 * GB
    assert worker_memory(ClusterSpec.parse("tcp://a:1")) == 0
    assert worker_memory(ClusterSpec.parse("slurm", cores=8, memory="3GB")) == 3 * GB


def test_a_worker_a_core_as_far_as_memory_goes() -> None:
    """And the reason is said."""
    assert local_layout(8, 64 * GB).workers == 8
    few = local_layout(64, 6 * GB)
    assert few.workers == 4
    assert "memory" in few.reason
    assert local_layout(8, 64 * GB, max_n_cpu=3).workers == 3
    assert local_layout(2, 4 * GB, workers=5).workers == 5


FLAT = Need(3 * GB, "flat master", 4 * GB)


def test_fewer_workers_are_started_where_the_largest_task_needs_more_memory() -> None:
    """The reason names the task; what the user asked for is taken as it is."""
    assert local_layout(16, 65 * GB + (1 << 30), need=FLAT).workers == 16
    fewer = local_layout(16, 33 * GB, need=FLAT)
    assert fewer.workers == 7
    assert fewer.memory >= FLAT.worker
    assert fewer.reason.startswith("7 workers of 1 thread, ")
    assert "16 cores, but the flat master needs 3.0 GB" in fewer.reason
    assert local_layout(16, 33 * GB, workers=16, need=FLAT).workers == 16
    assert local_layout(16, 33 * GB, worker_memory=2 * GB, need=FLAT).workers == 15
    assert "free memory" in local_layout(64, 6 * GB, need=Need(GB // 2, "flat master", GB)).reason


def test_workers_elsewhere_have_room_for_the_largest_task() -> None:
    """Where nobody said how much memory they have."""
    assert job_layout(workers=2, need=FLAT).memory == 4 * GB
    assert "the flat master needs 3.0 GB" in job_layout(workers=2, need=FLAT).reason
    assert job_layout(workers=2, memory=GB, need=FLAT).memory == GB
    assert worker_memory(replace(ClusterSpec.parse("ssh:a"), need=FLAT)) == 4 * GB
    assert "2.0 GB each by default" in layout_text(ClusterSpec.parse("ssh:a"))


def test_what_a_task_needs_is_no_option() -> None:
    """It comes from the plan."""
    with pytest.raises(UsageError, match="no option 'need'"):
        ClusterSpec.parse("slurm", need=FLAT)


def test_serial_needs_no_dask() -> None:
    """The oracle is always there."""
    with connect(ClusterSpec.parse("serial")) as engine:
        assert isinstance(engine, SerialEngine)


def test_a_scheduler_without_this_package_is_refused(scheduler_without) -> None:
    """Its tasks pass through it: each would be lost, with a reason that nobody understands."""
    with scheduler_without("mirar_dask") as address:
        spec = ClusterSpec.parse(address)
        with pytest.raises(ClusterError, match="cannot import mirar_dask"), connect(spec):
            pass


def test_a_scheduler_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the remedy, within seconds."""
    monkeypatch.setattr("mirar_dask.cluster.reach.CONNECT_SECONDS", 1)
    with (
        pytest.raises(ClusterError, match="dask scheduler"),
        connect(ClusterSpec.parse("tcp://127.0.0.1:1")),
    ):
        pass


def test_servers_of_a_local_cluster_listen_on_loopback_only() -> None:
    """Scheduler, workers and dashboard."""
    import psutil

    with connect(ClusterSpec.parse("local", workers=1)) as engine:
        client = engine.client  # type: ignore[attr-defined]
        pids = [*client.run(__import__("os").getpid).values(), __import__("os").getpid()]
        for pid in pids:
            for connection in psutil.Process(pid).net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    assert connection.laddr.ip == "127.0.0.1"
        assert "127.0.0.1" in client.dashboard_link
