"""A task that is too large for its worker has the memory of a whole host, or ends with numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.engine import Engine, RunResult, SerialEngine, Status
from mirar_dask.engine.headroom import JOB_VARIABLE
from mirar_dask.processors.utils.image_saver import ImageSaver
from mirar_dask.testing.engine_contract import assert_same, configured, reduction, settings_for
from mirar_dask.testing.faults import HoardsOnImage

LIMIT = 400_000_000
"""Bytes of a worker; an idle one takes about a quarter."""


@pytest.fixture
def small() -> Iterator[Engine]:
    """Give an engine on two workers of little memory."""
    spec = ClusterSpec.parse("local", workers=2, memory=LIMIT)
    with connect(spec, dashboard=False) as engine:
        yield engine


def _limits(engine: Any) -> set[int]:
    client = engine.client
    client.wait_for_workers(2, timeout=30)

    def of(dask_worker: Any) -> int:
        return int(dask_worker.memory_manager.memory_limit)

    return {*client.run(of).values(), *client.run(of, nanny=True).values()}


def _with_a_hoarder(engine: Engine, raw: Path, out: Path) -> tuple[str, RunResult]:
    name = sorted(path.name for path in raw.glob("*FIELD*"))[1]
    hoarder = HoardsOnImage(name, nbytes=int(2.5 * LIMIT))
    steps = configured([*reduction()[:-1], hoarder, ImageSaver("reduced")])
    return name, engine.run(steps, Dataset([ImageBatch()]), settings_for(raw, out))


def test_a_task_of_more_than_its_workers_limit_has_the_memory_of_the_host(
    small: Engine, raw: Path, tmp_path: Path
) -> None:
    """It is done alone, everything is as if nothing had happened, and the limits are too."""
    name, result = _with_a_hoarder(small, raw, tmp_path / "a")
    assert result.frames[name] is Status.SUCCEEDED
    assert result.counts()["lost"] == 0
    _, oracle = _with_a_hoarder(SerialEngine(), raw, tmp_path / "b")
    assert_same(result, oracle)
    assert _limits(small) == {LIMIT}


def test_a_task_of_more_than_the_host_has_is_lost_with_the_numbers(
    raw: Path, tmp_path: Path
) -> None:
    """Here the host is what a job was given; the rest of the night is reduced."""
    spec = ClusterSpec.parse("local", workers=1, memory=LIMIT)
    # The environment of this test would not do: workers are forked from a server of before.
    environ = {**dask.config.get("distributed.nanny.environ"), JOB_VARIABLE: "800"}
    with (
        dask.config.set({"distributed.nanny.environ": environ}),
        connect(spec, dashboard=False) as engine,
    ):
        name, result = _with_a_hoarder(engine, raw, tmp_path / "a")
    lost = [record for record in result.records if record.status is Status.LOST]
    assert [record.names for record in lost] == [(name,)]
    assert "memory was full" in lost[0].reason
    assert "of 0." in lost[0].reason
    assert "GB) it did not fit either" in lost[0].reason.replace(",", "")
    assert result.counts()["succeeded"] == 5
