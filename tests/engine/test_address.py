"""A scheduler that is running already is reached by its address."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.engine import SerialEngine
from mirar_dask.engine.driver import DaskEngine
from mirar_dask.errors import ClusterError
from mirar_dask.testing.engine_contract import assert_same, configured, reduction, settings_for


def test_a_running_scheduler_gives_the_serial_products(
    local: DaskEngine, raw: Path, tmp_path: Path
) -> None:
    """Another client of the same workers reduces a night, and leaves them running."""
    address = local.client.scheduler.address
    with connect(ClusterSpec.parse(address)) as engine:
        result = engine.run(
            configured(reduction()), Dataset([ImageBatch()]), settings_for(raw, tmp_path / "a")
        )
    oracle = SerialEngine().run(
        configured(reduction()), Dataset([ImageBatch()]), settings_for(raw, tmp_path / "b")
    )
    assert_same(result, oracle)
    assert len(local.client.scheduler_info()["workers"]) == 2


def test_what_is_no_scheduler_is_named(tmp_path: Path) -> None:
    """The port of a dashboard, say, whose answer would be taken for the size of a message."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                connection.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        spec = ClusterSpec.parse(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        words = r"no Dask scheduler; .* not that of its dashboard"
        with pytest.raises(ClusterError, match=words), connect(spec):
            pass
        thread.join()
