"""A scheduler that is running already is reached by its address."""

from __future__ import annotations

from pathlib import Path

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.engine import SerialEngine
from mirar_dask.engine.driver import DaskEngine
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
