"""A scheduler and workers started by hand on hosts of their own, one of which is cut off."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.cluster.certificates import NAMES, make_certificates
from mirar_dask.cluster.environment import FAR_SETTINGS, variables

pytestmark = [pytest.mark.netns, pytest.mark.timeout(200)]

SWITCH, SCHEDULER, FIRST, SECOND = "md-sw", "md-sc", "md-w1", "md-w2"
ADDRESS = "tls://10.77.3.1:8786"


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True, text=True)


@dataclass
class Hosts:
    """Network namespaces joined by a bridge, and what runs in them."""

    certificates: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def make(self) -> None:
        """Make the hosts: a switch, one for the scheduler, two for workers."""
        for name in (SWITCH, SCHEDULER, FIRST, SECOND):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", SWITCH, "link", "add", "br0", "type", "bridge")
        ip("-n", SWITCH, "link", "set", "br0", "up")
        for number, name in enumerate((SCHEDULER, FIRST, SECOND), start=1):
            peer = ["type", "veth", "peer", "name", "eth0", "netns", name]
            ip("-n", SWITCH, "link", "add", f"v{name}", *peer)
            ip("-n", SWITCH, "link", "set", f"v{name}", "master", "br0", "up")
            ip("-n", name, "addr", "add", f"10.77.3.{number}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")

    def cut(self, name: str, state: str = "down") -> None:
        """Pull a host's plug, or put it in again."""
        ip("-n", SWITCH, "link", "set", f"v{name}", state)

    def start(self, host: str, *words: object) -> subprocess.Popen[str]:
        """Start a Python module on a host."""
        environment = {**os.environ, **variables(FAR_SETTINGS)}
        environment["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = "0"
        process = subprocess.Popen(
            ["ip", "netns", "exec", host, sys.executable, "-m", *map(str, words)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    @property
    def tls(self) -> list[str]:
        """What a scheduler or a worker is told of the certificates."""
        paths = [str(self.certificates / name) for name in NAMES]
        return ["--tls-ca-file", paths[0], "--tls-cert", paths[1], "--tls-key", paths[2]]

    def remove(self) -> None:
        """End what runs, and take the hosts away."""
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        for name in (SWITCH, SCHEDULER, FIRST, SECOND):
            ip("netns", "del", name, check=False)


@pytest.fixture
def hosts(tmp_path: Path, needed: Callable[..., None]) -> Iterator[Hosts]:
    """Start a scheduler and a worker on each of two hosts."""
    needed("ip")
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    if subprocess.run(["ip", "netns", "add", "md-try"], capture_output=True).returncode:
        pytest.skip("network namespaces cannot be made here")
    ip("netns", "del", "md-try")
    hosts = Hosts(make_certificates(tmp_path / "tls"))
    try:
        hosts.make()
        command = ["distributed.cli.dask_scheduler", "--protocol", "tls", "--no-dashboard"]
        hosts.start(SCHEDULER, *command, "--host", "10.77.3.1", "--port", 8786, *hosts.tls)
        for name in (FIRST, SECOND):
            command = ["distributed.cli.dask_worker", ADDRESS, "--nthreads", "1", "--no-dashboard"]
            command += ["--memory-limit", "600MB", "--resources", "MEMORY=600000000"]
            hosts.start(name, *command, "--interface", "eth0", *hosts.tls)
        yield hosts
    finally:
        hosts.remove()


@pytest.fixture
def drive(
    hosts: Hosts, raw: Path, pipeline: str, oracle: dict[str, Path], tmp_path: Path, same_products
) -> Callable[[Callable[[], None]], float]:
    """Return a function that reduces the night, with something happening; gives the seconds."""

    def run(meanwhile: Callable[[], None]) -> float:
        out = tmp_path / "out"
        began = time.monotonic()
        words: list[Any] = ["mirar_dask", "run", pipeline, "--raw", raw, "--out", out]
        words += ["--cluster", ADDRESS, "--certificates", hosts.certificates]
        driver = hosts.start(SCHEDULER, *words)
        products = out / "slow_night" / raw.name / "reduced"
        while not list(products.glob("*.fits")):
            assert driver.poll() is None and time.monotonic() - began < 60, driver.communicate()[0]
            time.sleep(0.05)
        meanwhile()
        said, _ = driver.communicate(timeout=120)
        assert driver.returncode == 0, said
        same_products(products.parent, oracle["default"])
        return time.monotonic() - began

    return run


def test_a_host_that_is_cut_off_for_a_moment_is_not_missed(hosts: Hosts, drive) -> None:
    """Its worker goes on where it was."""

    def cut_for_a_moment() -> None:
        hosts.cut(SECOND)
        time.sleep(5)
        hosts.cut(SECOND, "up")

    drive(cut_for_a_moment)


def test_a_host_that_is_cut_off_for_good_costs_seconds(hosts: Hosts, drive) -> None:
    """Not the minute that it would take with Dask's own timeouts; the other host does the rest."""
    assert drive(lambda: hosts.cut(SECOND)) < 45
