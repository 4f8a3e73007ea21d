"""Workers of a command are forked from a server that has imported what they need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, sys
from mirar_dask.forkserver import ENVIRONMENT, start_early, start_method
if __name__ == "__main__":
    before = dict(os.environ)
    start_early()
    start_early()
    assert dict(os.environ) == before
    assert start_method() == "forkserver"
    assert "distributed" not in sys.modules and "numpy" not in sys.modules
    from mirar_dask.cluster import ClusterSpec, connect

    def look():
        import os, signal, sys
        parent = open(f"/proc/{os.getppid()}/cmdline").read()
        blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        environment = {name: os.environ.get(name) for name in ENVIRONMENT}
        return "forkserver" in parent, blocked, environment == ENVIRONMENT

    with connect(ClusterSpec.parse("local", workers=2), dashboard=False) as engine:
        found = engine.client.run(look)
    assert list(found.values()) == [(True, True, True)] * 2, found
    assert "pandas" not in sys.modules
    print("well")
"""


def test_workers_are_forked_with_their_environment_and_spared_interrupts(tmp_path: Path) -> None:
    """And the environment of the command itself stays as it was."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout.strip() == "well", done.stderr


def test_without_a_place_for_its_socket_workers_are_spawned(tmp_path: Path) -> None:
    """Temporary space of batch jobs can have a path that is too long for one."""
    long = tmp_path / ("long" * 30)
    long.mkdir()
    code = "from mirar_dask import forkserver as f; f.start_early(); print(f.start_method())"
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(long)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "spawn\n"
    assert not list(long.iterdir())
