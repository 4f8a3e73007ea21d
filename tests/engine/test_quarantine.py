"""A frame that kills its worker each time is quarantined, and the night is done without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.engine import Engine, RunResult, SerialEngine, Status
from mirar_dask.engine.events import TaskLost
from mirar_dask.engine.memo import Memo
from mirar_dask.processors.base_processor import BaseImageProcessor, BaseProcessor
from mirar_dask.processors.utils.image_saver import ImageSaver
from mirar_dask.testing.engine_contract import Doubles, configured, reduction, settings_for
from mirar_dask.testing.faults import KillsWorkerOn, KillsWorkerOnImage, PoisonsImage
from mirar_dask.testing.night import simulate_night
from mirar_dask.testing.products import differences

Place = Callable[[str, Path], list[BaseProcessor]]


def in_a_pack(name: str, marks: Path) -> list[BaseProcessor]:
    """Have a frame kill in a step that looks at one image at a time."""
    return [*reduction()[:-1], KillsWorkerOnImage(name, marks, times=99), *reduction()[-1:]]


def in_a_batch_step(name: str, marks: Path) -> list[BaseProcessor]:
    """Have a frame kill in a step that looks at whole batches."""
    killer = KillsWorkerOn(name, marks, times=99)
    return [*reduction()[:-1], killer, Doubles(), *reduction()[-1:]]


def in_a_master(name: str, marks: Path) -> list[BaseProcessor]:
    """Have a frame kill when its pixels are read to make a master."""
    return [*reduction()[:1], PoisonsImage(name), *reduction()[1:]]


def reduce(engine: Engine, steps: list[BaseProcessor], raw: Path, out: Path) -> RunResult:
    """Run the steps on a night."""
    return engine.run(configured(steps), Dataset([ImageBatch()]), settings_for(raw, out))


@pytest.mark.parametrize(
    ("place", "kind", "workers"),
    [
        (in_a_pack, "FIELD", 1),
        pytest.param(in_a_pack, "FIELD", 4, marks=pytest.mark.slow),
        (in_a_batch_step, "FIELD", 2),
        pytest.param(in_a_batch_step, "FIELD", 1, marks=pytest.mark.slow),
        pytest.param(in_a_batch_step, "FIELD", 4, marks=pytest.mark.slow),
        (in_a_master, "bias", 2),
        pytest.param(in_a_master, "bias", 1, marks=pytest.mark.slow),
        pytest.param(in_a_master, "flat", 4, marks=pytest.mark.slow),
    ],
)
def test_a_night_with_a_frame_that_kills_is_that_without_it(
    place: Place, kind: str, workers: int, tmp_path: Path
) -> None:
    """The frame is named with the reason; all products are those of a night that lacks it."""
    raw, marks = tmp_path / "raw", tmp_path / "marks"
    simulate_night(raw, size=(24, 32), n_bias=4, n_dark=2, n_flat=3, n_science=24, filters=("r",))
    bad = sorted(raw.glob(f"*{kind}*"))[1]
    with connect(ClusterSpec.parse("local", workers=workers), dashboard=False) as engine:
        result = reduce(engine, place(bad.name, marks), raw, tmp_path / "a")
    lost = [record for record in result.records if record.status is Status.LOST]
    assert [record.names for record in lost] == [(bad.name,)]
    assert "killed by signal 9 (SIGKILL)" in lost[0].reason
    assert [name for name, status in result.frames.items() if status is Status.LOST] == [bad.name]
    if place is in_a_batch_step or kind == "bias":
        assert lost[0].reason.startswith("quarantined")
        assert any("the others" in r.reason for r in result.records if r.status is Status.CAVEATS)
    bad.unlink()
    oracle = reduce(SerialEngine(), place(bad.name, marks), raw, tmp_path / "b")
    assert oracle.counts()["failed"] == 0
    assert differences(tmp_path / "a", tmp_path / "b") == []


class KillsOnTwo(BaseImageProcessor):
    """Kills its process where it sees more than one image: no frame alone is at fault."""

    base_key = "kills_on_two"

    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        import os
        import signal

        if len(batch) > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return batch


def test_a_batch_that_kills_as_a_whole_is_lost_as_a_whole(raw: Path, tmp_path: Path) -> None:
    """No frame is blamed alone, and nothing of the trials is left."""
    with connect(ClusterSpec.parse("local", workers=2), dashboard=False) as engine:
        steps = [*reduction()[:-1], KillsOnTwo(), ImageSaver("reduced")]
        result = reduce(engine, steps, raw, tmp_path / "a")
    lost = [record for record in result.records if record.status is Status.LOST]
    assert sorted(len(record.names) for record in lost) == [3, 3]
    assert not list((tmp_path / "a").rglob("reduced/*"))


def test_a_frame_that_killed_before_is_tried_alone_at_once_when_resumed(
    raw: Path, tmp_path: Path
) -> None:
    """It has two attempts more, and takes no other task down with it."""
    bad, marks = sorted(path.name for path in raw.glob("*FIELD*"))[0], tmp_path / "marks"
    steps, lost = in_a_pack(bad, marks), []
    with connect(ClusterSpec.parse("local", workers=1), dashboard=False) as engine:
        for earlier in ([], [tmp_path / "memo1"]):
            events: list[Any] = []
            path = tmp_path / f"memo{len(earlier) + 1}"
            with Memo(tmp_path / "a", path, path.name, earlier) as memo:
                settings = settings_for(raw, tmp_path / "a", memo=memo, listeners=(events.append,))
                result = engine.run(configured(steps), Dataset([ImageBatch()]), settings)
            assert result.frames[bad] is Status.LOST
            lost.append([event.names for event in events if isinstance(event, TaskLost)])
    assert len(lost[0]) >= 3
    assert lost[1] == [(bad,), (bad,)]
