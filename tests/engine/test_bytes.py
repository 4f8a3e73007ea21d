"""What a reduction reads and writes: no more than it must."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from astropy.io import fits

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.data.metering import Meter
from mirar_dask.engine import Engine, SerialEngine
from mirar_dask.engine.events import Event, TaskFinished
from mirar_dask.testing.engine_contract import configured, reduction, settings_for


@pytest.fixture
def worker() -> Iterator[Engine]:
    """Give an engine on one worker."""
    with connect(ClusterSpec.parse("threads", workers=1), dashboard=False) as engine:
        yield engine


def moved(engine: Engine, raw: Path, tmp_path: Path) -> Meter:
    """Reduce a night and count."""
    total = Meter()

    def count(event: Event) -> None:
        if isinstance(event, TaskFinished):
            total.add(event.meter)

    settings = settings_for(raw, tmp_path, keep_results=False, listeners=(count,))
    result = engine.run(configured(reduction()), Dataset([ImageBatch()]), settings)
    assert result.counts()["failed"] == 0
    return total


def frames(raw: Path, kind: str = "") -> int:
    """Bytes of the pixels of raw frames."""
    return sum(
        fits.getdata(path).nbytes for path in raw.glob(f"*{kind}*.fits" if kind else "*.fits")
    )


def test_frames_are_read_once_and_those_of_a_normalised_master_twice(
    worker: Engine, raw: Path, tmp_path: Path
) -> None:
    """By one worker, which keeps the masters that it made; no frame is copied into the cache."""
    total = moved(worker, raw, tmp_path)
    assert total.read == {"raw": frames(raw) + frames(raw, "flat")}
    assert set(total.written) == {"masters", "products"}


def test_another_worker_reads_each_master_once(local: Engine, raw: Path, tmp_path: Path) -> None:
    """Frames are read as often as by one worker."""
    total = moved(local, raw, tmp_path)
    assert total.read["raw"] == frames(raw) + frames(raw, "flat")
    masters = sum(fits.getdata(path).nbytes for path in tmp_path.glob("**/calibration/*.fits"))
    assert total.read.get("masters", 0) <= masters
    assert set(total.written) == {"masters", "products"}


def test_the_serial_loop_reads_frames_as_often(raw: Path, tmp_path: Path) -> None:
    """What it has in memory it does not read again."""
    total = moved(SerialEngine(), raw, tmp_path)
    assert total.read == {"raw": frames(raw)}
    assert set(total.written) == {"masters", "products"}
