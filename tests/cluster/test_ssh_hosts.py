"""What is said of hosts that are reached by SSH, without one."""

from __future__ import annotations

import pytest

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.errors import ClusterError


def test_workers_that_do_not_reach_the_scheduler_are_named_by_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They were started, but a firewall is between: with the network's option as the remedy."""
    ssh = pytest.importorskip("mirar_dask.cluster.ssh")
    monkeypatch.setattr(ssh, "REACH_SECONDS", 0.2)
    spec = ClusterSpec.parse("ssh:far,farther", workers=3)
    with connect(ClusterSpec.parse("local", workers=1), dashboard=False) as engine:
        words = (
            r"3 of 3 workers .* did not reach the scheduler at tcp://.*\(far, farther\); .*--int"
        )
        with pytest.raises(ClusterError, match=words):
            ssh._wait_for_all(engine.client, spec)
