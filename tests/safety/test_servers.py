"""Servers listen where only this machine reaches them, unless somebody said otherwise."""

from __future__ import annotations

import ipaddress
import logging
import os
from pathlib import Path

import psutil
import pytest

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.cluster.job_script import job_script, with_dask_defaults
from mirar_dask.cluster.listening import scheduler_options
from mirar_dask.cluster.runner import worker_command


def listening() -> set[tuple[str, int]]:
    """Return the addresses and ports on which this process and those that it started listen."""
    found = set()
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        try:
            connections = process.net_connections(kind="inet")
        except psutil.NoSuchProcess:
            continue
        found |= {tuple(c.laddr) for c in connections if c.status == psutil.CONN_LISTEN}
    return found


@pytest.mark.parametrize(
    "spec",
    [
        ClusterSpec(kind="threads", workers=1),
        ClusterSpec(kind="local", workers=1, memory=500_000_000),
        ClusterSpec(kind="local", workers=1, memory=500_000_000, tls=True),
    ],
    ids=["threads", "local", "local with TLS"],
)
def test_clusters_of_one_machine_are_reached_from_it_alone(
    spec: ClusterSpec, tmp_path: Path
) -> None:
    """Scheduler, workers, nannies and their pages, all of them."""
    before = listening()
    with connect(spec, folder=tmp_path):
        found = listening() - before
        assert found
        assert all(ipaddress.ip_address(address).is_loopback for address, _ in found), found


def test_schedulers_for_other_hosts_listen_on_one_interface_and_their_pages_on_none() -> None:
    """Never on all; without TLS a sentence says what that means."""
    options = scheduler_options(ClusterSpec(kind="ssh", target="host"), security=object())  # type: ignore[arg-type]
    assert ipaddress.ip_address(options["host"]).is_unspecified is False
    assert options["dashboard_address"].startswith("127.0.0.1:")
    assert options["protocol"] == "tls://"


def test_a_scheduler_for_other_hosts_without_tls_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In one sentence, which who waits for the run sees."""
    with caplog.at_level(logging.WARNING):
        scheduler_options(ClusterSpec(kind="ssh", target="host", tls=False), security=None)
    (record,) = caplog.records
    assert "not encrypted (--no-tls): whoever reaches" in record.message
    assert record.name == "mirar_dask.cluster.listening"  # which the command line shows


@pytest.mark.parametrize("kind", ["slurm", "ssh", "slurm-runner", "pbs"])
def test_kinds_that_span_hosts_are_encrypted_by_default(kind: str) -> None:
    """Nobody has to think of it."""
    assert ClusterSpec(kind=kind, target="host" if kind == "ssh" else "").encrypted


def test_workers_elsewhere_show_no_pages_to_others() -> None:
    """Dask's own default is a server on all interfaces."""
    spec, _ = with_dask_defaults(
        ClusterSpec(kind="slurm", workers=1, cores=1, memory=10**9, tls=False)
    )
    script = job_script(spec)
    command = " ".join(worker_command(spec, {"address": "tcp://h:1", "memory": 1}))
    for text in (script, command):
        assert "--no-dashboard --dashboard-address 127.0.0.1:0" in text


def test_pages_and_figures_are_for_this_machine_by_default() -> None:
    """`mirar-dask page` has to be told to listen elsewhere."""
    from mirar_dask.cli.page import page

    (host,) = [p for p in page.params if p.name == "host"]
    assert host.default == "127.0.0.1"
    assert os.environ.get("MIRAR_DASK_HOST") is None
