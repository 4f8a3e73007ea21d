"""A process that reduces night after night holds no more than after its first."""

from __future__ import annotations

import gc
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

from mirar_dask.run import reduce_night


def held(temporary: Path) -> dict[str, int]:
    """Count what a process can forget to give back."""
    gc.collect()
    me = psutil.Process()
    return {
        "file descriptors": me.num_fds(),
        "threads": threading.active_count(),
        "processes": len(me.children(recursive=True)),
        "temporary files": sum(1 for _ in temporary.rglob("*")),
    }


@pytest.mark.parametrize("cluster", ["serial", "threads", "local"])
def test_nights_in_one_process_leave_nothing_behind(
    night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: str
) -> None:
    """Neither files, open or temporary, nor threads or processes."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    workers = None if cluster == "serial" else 1
    found = []
    for n in range(3):
        summary = reduce_night(raw=night, out=tmp_path / str(n), cluster=cluster, workers=workers)
        assert summary.exit_code == 0
        found.append(held(temporary))
    more = {what: n - found[1][what] for what, n in found[2].items() if n > found[1][what]}
    assert more == {}
