"""A worker that dies costs what it was doing, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.data import Dataset, ImageBatch, cache
from mirar_dask.engine import DaskEngine, Engine, RunResult, SerialEngine, Status
from mirar_dask.engine.events import WorkersCounted
from mirar_dask.engine.outlook import AskOutlook, Outlook
from mirar_dask.processors.base_processor import BaseProcessor
from mirar_dask.processors.utils.image_saver import ImageSaver
from mirar_dask.testing.engine_contract import assert_same, configured, reduction, settings_for
from mirar_dask.testing.faults import KillsWorkerOn, KillsWorkerOnImage


@pytest.fixture
def mortal() -> Iterator[Engine]:
    """Give an engine on workers that a test may kill."""
    with connect(ClusterSpec.parse("local", workers=2), dashboard=False) as engine:
        yield engine


def _names(raw: Path, kind: str) -> list[str]:
    return sorted(path.name for path in raw.glob(f"*{kind}*"))


@pytest.mark.parametrize("kind", [KillsWorkerOn, KillsWorkerOnImage])
def test_a_worker_killed_once_changes_nothing(
    kind: type[KillsWorkerOnImage], mortal: Engine, raw: Path, tmp_path: Path
) -> None:
    """The tasks that it was running are done again, and the products are the same."""
    victims = [_names(raw, "FIELD")[1], _names(raw, "dark")[0]]

    def steps(marks: Path) -> list[BaseProcessor]:
        return [*reduction()[:2], kind(victims, marks), *reduction()[2:]]

    marks = tmp_path / "marks"
    marks.mkdir()
    result = mortal.run(
        configured(steps(marks)), Dataset([ImageBatch()]), settings_for(raw, tmp_path / "a")
    )
    oracle = SerialEngine().run(
        configured(reduction()), Dataset([ImageBatch()]), settings_for(raw, tmp_path / "b")
    )
    assert len(list(marks.iterdir())) == len(victims)  # each worker died when it should
    assert result.frames == oracle.frames
    assert result.counts()["lost"] == 0
    for batch, expected in zip(result.dataset, oracle.dataset, strict=True):
        for image, other in zip(batch, expected, strict=True):
            assert (image.get_data() == other.get_data()).all()
    kept = {path for batch in result.dataset for image in batch for path in image.handle().files}
    assert set(cache.ensure_cache_dir().iterdir()) == kept


def test_a_frame_that_always_kills_its_worker_is_lost_alone(
    mortal: Engine, raw: Path, tmp_path: Path
) -> None:
    """After its attempts it is given up with the reason, and the night goes on without it."""
    bad = _names(raw, "FIELD")[0]
    killer = KillsWorkerOnImage(bad, tmp_path, times=99)
    steps = configured([*reduction()[:-1], killer, ImageSaver("reduced")])
    result = mortal.run(steps, Dataset([ImageBatch()]), settings_for(raw, tmp_path / "a"))
    lost = [record for record in result.records if record.status is Status.LOST]
    assert [record.names for record in lost] == [(bad,)]
    assert "killed by signal 9 (SIGKILL) at" in lost[0].reason
    assert lost[0].reason.endswith("(3 attempts)")
    assert result.frames[bad] is Status.LOST
    assert result.counts()["succeeded"] == len(_names(raw, "FIELD")) - 1


def test_the_cluster_serves_another_run_after_a_loss(
    mortal: Engine, raw: Path, tmp_path: Path
) -> None:
    """New workers get the steps too."""
    bad = _names(raw, "FIELD")[0]
    steps = configured([*reduction()[:2], KillsWorkerOnImage(bad, tmp_path, times=99)])
    mortal.run(steps, Dataset([ImageBatch()]), settings_for(raw, tmp_path / "a"))
    start = Dataset([ImageBatch()])
    result = mortal.run(configured(reduction()), start, settings_for(raw, tmp_path / "b"))
    oracle = SerialEngine().run(
        configured(reduction()), Dataset([ImageBatch()]), settings_for(raw, tmp_path / "c")
    )
    assert_same(result, oracle)


def without_workers(outlook: AskOutlook, raw: Path, folder: Path) -> RunResult:
    """Reduce a night on a cluster whose only worker was taken away."""
    with connect(ClusterSpec.parse("local", workers=1), dashboard=False) as engine:
        client: Any = engine.client  # type: ignore[attr-defined]
        client.cluster.scale(0)
        return DaskEngine(client, outlook=outlook).run(
            configured(reduction()), Dataset([ImageBatch()]), settings_for(raw, folder)
        )


def test_a_run_without_workers_ends_with_a_reason(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can come back any more the night ends, and says why."""
    monkeypatch.setattr("mirar_dask.engine.workers.PATIENCE_SECONDS", 1.0)
    result = without_workers(Outlook, raw, tmp_path / "a")
    assert result.counts()["succeeded"] == 0
    assert result.counts()["blocked"] > 0
    assert any("no worker for 1 s" in record.reason for record in result.records)
    assert sum(result.counts().values()) == len(list(raw.glob("*.fits")))


def test_a_run_that_no_worker_will_come_for_ends_at_once(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason that who starts workers gives, and without waiting the minute."""
    began = time.monotonic()
    result = without_workers(
        lambda: Outlook(over=True, reason="three jobs failed"), raw, tmp_path / "a"
    )
    assert time.monotonic() - began < 30
    assert any(record.reason == "three jobs failed" for record in result.records)


def test_workers_that_are_on_their_way_are_waited_for(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the patience for workers of which nobody knows; then the night is reduced."""
    monkeypatch.setattr("mirar_dask.engine.workers.PATIENCE_SECONDS", 0.5)
    counted: list[int] = []
    with connect(ClusterSpec.parse("local", workers=1), dashboard=False) as engine:
        client: Any = engine.client  # type: ignore[attr-defined]
        client.cluster.scale(0)

        def start_one_later(event: Any) -> None:
            """Start a worker, beyond the patience, once the run has seen that there is none."""
            if isinstance(event, WorkersCounted):
                counted.append(event.workers)
                if len(counted) == 1:
                    threading.Timer(2.0, client.cluster.scale, [1]).start()

        settings = replace(settings_for(raw, tmp_path / "a"), listeners=(start_one_later,))
        waiting = DaskEngine(client, outlook=lambda: Outlook(coming=True))
        result = waiting.run(configured(reduction()), Dataset([ImageBatch()]), settings)
    assert result.counts()["lost"] == result.counts()["blocked"] == 0
    assert counted[0] == 0
