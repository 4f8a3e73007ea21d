"""What is wrong with a volume is told from what is wrong with a frame."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.atomic import write_error
from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.data.cache import CacheError, CachePlace, use_place
from mirar_dask.engine import Engine, SerialEngine, Status
from mirar_dask.engine.fitness import Misfits
from mirar_dask.engine.workers import Workers
from mirar_dask.paths import Roots, use_roots
from mirar_dask.processors.base.trouble import Trouble, notice, noticing, trouble_in
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.testing.engine_contract import assert_same, configured, reduction, settings_for


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Path]:
    """Work in a folder with a cache and an output folder."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "out").mkdir()
    place, roots = CachePlace(tmp_path / "cache", "k" * 12), Roots(tmp_path, tmp_path / "out")
    with use_place(place), use_roots(roots):
        yield tmp_path


def found_behind(exception: BaseException) -> Trouble | None:
    """Return the trouble that is noticed behind an exception."""
    with noticing() as troubles:
        notice(exception)
    return troubles[0] if troubles else None


def test_no_room_for_a_product_is_the_output_volumes(places: Path) -> None:
    """Also where it was raised again by a processor as something else."""
    error = write_error(places / "out" / "a.fits", OSError(errno.ENOSPC, "full"))
    other = ValueError("could not save")
    other.__cause__ = error
    trouble = found_behind(other)
    assert trouble is not None
    assert (trouble.folder, trouble.full) == (places / "out", True)


def test_no_room_for_pixels_is_the_caches(places: Path) -> None:
    """Whatever the file was called."""
    error = CacheError("no room")
    error.__cause__ = write_error(places / "cache" / "x.npy", OSError(errno.ENOSPC, "full"))
    trouble = found_behind(error)
    assert trouble is not None
    assert trouble.folder == places / "cache"


def test_a_cache_that_is_gone_is_noticed_behind_a_file_that_is_not_there(places: Path) -> None:
    """The frame cannot help it."""
    shutil.rmtree(places / "cache")
    trouble = found_behind(FileNotFoundError(errno.ENOENT, "no such file", "x.npy"))
    assert trouble is not None
    assert "is gone" in trouble.reason


def test_what_a_frame_does_is_the_frames_own(places: Path) -> None:
    """A file that cannot be read, a refused name where others can be written, any other error."""
    raw = OSError(errno.EIO, "input/output error", str(places / "a.fits"))
    refused = write_error(places / "out" / "a.fits", OSError(errno.EACCES, "no"))
    assert [found_behind(e) for e in (raw, refused, ValueError("x"))] == [None, None, None]


def test_a_folder_is_in_trouble_if_it_has_less_room_than_is_needed(tmp_path: Path) -> None:
    """And not otherwise, even if it is not made yet."""
    assert trouble_in(tmp_path / "later") is None
    trouble = trouble_in(tmp_path, 1 << 60)
    assert trouble is not None
    assert trouble.full


class SeesNoFolder(BaseImageProcessor):
    """Fails on one worker as if its disk were full, as its mark says."""

    base_key = "sees_no_folder"

    def __init__(self, folder: Path, mark: Path) -> None:
        super().__init__()
        self.folder, self.mark = folder, mark

    def apply_to_image(self, image: Any, context: object = None) -> Any:
        import os

        if self.mark.read_text() == str(os.getpid()):
            raise write_error(self.folder / "x", OSError(errno.ENOSPC, "full"))
        return image


def test_a_worker_that_cannot_write_is_retired_and_its_tasks_are_done_elsewhere(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frames succeed, and a caveat names the worker and what it saw."""
    mark = tmp_path / "mark"
    # Only what each worker says of its disk is made up: here all of them have the same.
    looked = Misfits._looked

    def one_is_full(self: Misfits, trouble: Trouble) -> dict[str, Any]:
        seen = dict.fromkeys(looked(self, trouble))
        return {**seen, trouble.worker: replace(trouble, reason="no space is left there")}

    monkeypatch.setattr(Misfits, "_looked", one_is_full)
    steps = [*reduction()[:-1], SeesNoFolder(tmp_path, mark), reduction()[-1]]
    with connect(ClusterSpec.parse("local", workers=2), dashboard=False) as engine:
        client: Any = engine.client  # type: ignore[attr-defined]
        pids = {info["pid"]: name for name, info in _pids(client).items()}
        mark.write_text(str(min(pids)))
        result = engine.run(
            configured(steps), Dataset([ImageBatch()]), settings_for(raw, tmp_path / "a")
        )
        left = list(client.scheduler_info(n_workers=-1)["workers"])
        assert left == [pids[max(pids)]]
    mark.write_text("")
    oracle = _serial(steps, raw, tmp_path / "b")
    assert result.counts() == oracle.counts()
    told = [r.reason for r in result.records if "was retired" in r.reason]
    assert len(told) == 1
    assert "no space is left there" in told[0]


def _pids(client: Any) -> dict[str, dict[str, int]]:
    import os

    return {name: {"pid": pid} for name, pid in client.run(os.getpid).items()}


def _serial(steps: list[Any], raw: Path, out: Path) -> Any:
    return SerialEngine().run(configured(steps), Dataset([ImageBatch()]), settings_for(raw, out))


def test_a_cache_that_is_gone_for_all_ends_the_run_with_one_sentence(
    local: Engine, raw: Path, tmp_path: Path
) -> None:
    """What was not done is named, nothing hangs, and the next run is as if nothing had been."""
    steps = configured([*reduction()[:-1], RemovesCache(), _Sets(), reduction()[-1]])
    result = local.run(steps, Dataset([ImageBatch()]), settings_for(raw, tmp_path / "a"))
    reasons = {record.reason for record in result.records if record.status is Status.BLOCKED}
    assert any("for every worker" in reason for reason in reasons), result.records
    assert sum(result.counts().values()) == len(list(raw.glob("*.fits")))
    again = local.run(
        configured(reduction()), Dataset([ImageBatch()]), settings_for(raw, tmp_path / "b")
    )
    assert_same(again, _serial(reduction(), raw, tmp_path / "c"))


class RemovesCache(BaseImageProcessor):
    """Removes the cache of its run."""

    base_key = "removes_cache"

    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        from mirar_dask.data.cache import current_place

        place = current_place()
        assert place is not None
        assert place.folder is not None
        shutil.rmtree(place.folder, ignore_errors=True)
        return batch


class _Sets(BaseImageProcessor):
    """Needs the cache: a step for itself, whose images have to be kept."""

    base_key = "sets"
    max_concurrent = 1

    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        for image in batch:
            image.set_data(image.get_data() + 1)
        return batch


def test_workers_that_no_longer_exist_have_no_place(local: Any) -> None:
    """What is known of one that is gone is what was told of it last."""
    workers = Workers(local.client)
    spot = workers.spots[0]
    assert workers.last_seen(spot.address)["name"] == spot.name
    assert workers.last_seen("tcp://10.0.0.1:99") == {"host": "10.0.0.1"}
