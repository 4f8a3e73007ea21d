"""Whole nights on workers that are started over a real sshd."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.errors import ClusterError, UsageError

pytestmark = [pytest.mark.ssh, pytest.mark.timeout(200)]


def on_hosts(sshd: Any, workers: int = 2, **more: Any) -> dict[str, Any]:
    """Return options of a night on two hosts, which are one."""
    settings = {"interface": "lo", "options": sshd.options, **more}
    return {
        "cluster": "ssh:127.0.0.1,localhost",
        "workers": workers,
        "memory": "600MB",
        "cluster_settings": settings,
    }


def workers_here() -> list[psutil.Process]:
    """Return the processes that were started for workers on this host."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "distributed.cli.dask_spec" in words and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def test_a_night_on_hosts_gives_the_serial_products(sshd, reduce) -> None:
    """Encrypted; the workers are gone when the command is."""
    night = reduce(**on_hosts(sshd))
    assert night.summary.cluster == "ssh:127.0.0.1,localhost"
    assert len(night.workers) == 2
    assert not workers_here()


def test_connections_to_hosts_are_encrypted(sshd, tmp_path: Path) -> None:
    """All of them, and the workers are as many as were asked for."""
    spec = ClusterSpec.parse(
        "ssh:127.0.0.1", workers=2, interface="lo", memory="600MB", options=sshd.options
    )
    with connect(spec, folder=tmp_path) as engine:
        workers = engine.client.scheduler_info()["workers"]
    assert len(workers) == 2
    assert all(address.startswith("tls://127.0.0.1:") for address in workers)


def test_a_host_that_is_lost_costs_what_it_was_doing(sshd, reduce) -> None:
    """The other one does the rest."""

    def kill_one() -> None:
        lost = workers_here()[0]
        for process in [*lost.children(recursive=True), lost]:
            os.kill(process.pid, signal.SIGKILL)

    reduce(kill_one, **on_hosts(sshd))
    assert not workers_here()


def test_workers_of_hosts_compute_in_one_thread(sshd, tmp_path: Path, what_is_set) -> None:
    """And have what they need imported, before their first task."""
    spec = ClusterSpec.parse("ssh:127.0.0.1", interface="lo", memory="600MB", options=sshd.options)
    with connect(spec, folder=tmp_path) as engine:
        seen = engine.client.run(what_is_set)
    assert list(seen.values()) == [({"1"}, True)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_on_hosts_end_with_the_driver_whatever_ends_it(
    sshd, raw: Path, tmp_path: Path, pipeline: str, number: signal.Signals
) -> None:
    """Told by it, or because its scheduler has gone."""
    config = tmp_path / "site.toml"
    options = "".join(f"{key} = {json.dumps(value)}\n" for key, value in sshd.options.items())
    config.write_text(
        "[cluster]\nkind = 'ssh:127.0.0.1'\nworkers = 2\nmemory = '600MB'\ninterface = 'lo'\n"
        f"[cluster.options]\n{options}"
    )
    words = ["run", pipeline, "--raw", str(raw), "--out", str(tmp_path / "out")]
    with subprocess.Popen(
        [sys.executable, "-m", "mirar_dask", *words, "--cluster-config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as driver:
        end = time.monotonic() + 60
        while not list(tmp_path.rglob("reduced/*.fits")):
            assert driver.poll() is None and time.monotonic() < end, driver.communicate()[0]
            time.sleep(0.1)
        driver.send_signal(number)
        driver.communicate(timeout=30)
    assert driver.returncode in (128 + number, -number)
    end = time.monotonic() + (30 if number == signal.SIGKILL else 3)
    while workers_here() and time.monotonic() < end:
        time.sleep(0.2)
    assert not workers_here()
    if number != signal.SIGKILL:
        assert not list(tmp_path.rglob("*.npy"))
        assert not list(tmp_path.rglob("*.pem"))


@pytest.mark.parametrize(
    ("host", "options", "words"),
    [
        ("127.0.0.1", {"client_keys": []}, r"no worker on 127\.0\.0\.1 .*client_keys=FILE"),
        ("127.0.0.1", {"port": 1}, "check the host's name, that its sshd runs"),
        ("no-such-host.invalid", {}, "check the host's name"),
        ("127.0.0.1", {"known_hosts": []}, "add the host to your known_hosts"),
    ],
)
def test_a_host_that_lets_nobody_in_is_named_within_seconds(
    sshd, host: str, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """With the reason and the remedy; nothing is left."""
    spec = ClusterSpec.parse(
        f"ssh:{host}", interface="lo", memory="600MB", options={**sshd.options, **options}
    )
    began = time.monotonic()
    with pytest.raises(ClusterError, match=words), connect(spec, folder=tmp_path):
        pass
    assert time.monotonic() - began < 20
    assert not workers_here()
    assert not list(tmp_path.rglob("*.pem"))


def test_an_option_that_ssh_does_not_know_is_refused(sshd, tmp_path: Path) -> None:
    """With all that it knows."""
    spec = ClusterSpec.parse("ssh:127.0.0.1", options={"nosuch": 1})
    with pytest.raises(UsageError, match=r"nosuch is not known .*client_keys"), connect(spec):
        pass


def test_a_python_that_is_not_there_is_named(sshd, tmp_path: Path) -> None:
    """With what the host says."""
    spec = ClusterSpec.parse(
        "ssh:127.0.0.1",
        interface="lo",
        memory="600MB",
        python="/nowhere/python",
        options=sshd.options,
    )
    with pytest.raises(ClusterError, match="check --python"), connect(spec, folder=tmp_path):
        pass
