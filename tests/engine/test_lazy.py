"""A reduction as a Dask collection computes to what `reduce_images` returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from dask.base import is_dask_collection

from mirar_dask.data import Dataset, Image, ImageBatch, cache
from mirar_dask.engine import SerialEngine
from mirar_dask.engine.driver import DaskEngine
from mirar_dask.engine.lazy import lazy_reduction
from mirar_dask.processors.base_processor import BaseImageProcessor, BaseProcessor
from mirar_dask.processors.utils.image_loader import ImageLoader
from mirar_dask.processors.utils.image_selector import ImageBatcher, ImageRebatcher
from mirar_dask.testing.engine_contract import (
    Doubles,
    FailsOpenly,
    configured,
    reduction,
    settings_for,
    summary,
)


def _grouped() -> list[BaseProcessor]:
    return [ImageLoader(), ImageBatcher("OBSCLASS"), Doubles(), ImageRebatcher("FILTER"), Doubles()]


def _lazy(raw: Path, out: Path, make: Any) -> Any:
    return lazy_reduction(configured(make()), Dataset([ImageBatch()]), settings_for(raw, out))


def _assert_equals_serial(dataset: Dataset, raw: Path, out: Path, make: Any) -> None:
    oracle = SerialEngine().run(configured(make()), Dataset([ImageBatch()]), settings_for(raw, out))
    assert summary(dataset) == summary(oracle.dataset)
    for batch, expected in zip(dataset, oracle.dataset, strict=True):
        for image, other in zip(batch, expected, strict=True):
            np.testing.assert_array_equal(image.get_data(), other.get_data())


@pytest.mark.parametrize("make", [reduction, _grouped])
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_it_computes_to_the_serial_pair(
    make: Any, scheduler: str, raw: Path, tmp_path: Path
) -> None:
    """With the schedulers of this process."""
    lazy = _lazy(raw, tmp_path / "a", make)
    assert is_dask_collection(lazy)
    dataset, errors = lazy.compute(scheduler=scheduler)
    assert not errors.get_all_reports()
    _assert_equals_serial(dataset, raw, tmp_path / "b", make)


def test_it_computes_on_a_cluster_and_persists(
    local: DaskEngine, raw: Path, tmp_path: Path
) -> None:
    """On worker processes; the files behind the result lie in the caller's cache."""
    (persisted,) = dask.persist(_lazy(raw, tmp_path / "a", _grouped), scheduler=local.client)
    dataset, _ = local.client.compute(persisted).result()
    _assert_equals_serial(dataset, raw, tmp_path / "b", _grouped)
    folder = cache.get_cache_dir()
    assert all(image.pixels.path.parent == folder for batch in dataset for image in batch)


def _foreseen(bad: str = "") -> list[BaseProcessor]:
    return [
        ImageLoader(),
        ImageBatcher("OBSCLASS"),
        BiasFreely(),
        FailsOpenly(bad),
        ImageRebatcher("FILTER"),
        BiasFreely(),
        ImageRebatcher("OBSCLASS"),
        Doubles(),
    ]


class BiasFreely(BaseImageProcessor):
    """Adds one, and says that it changes no key."""

    base_key = "bias_freely"

    def changes_keys(self) -> frozenset[str] | None:
        return frozenset()

    def apply_to_image(self, image: Image, context: object = None) -> Image:
        image.set_data(image.get_data() + 1)
        return image


def test_regroups_that_are_foreseen_are_tasks_of_the_graph(raw: Path, tmp_path: Path) -> None:
    """A task for each merged batch, behind the batches from which its images come."""
    bad = sorted(p.name for p in raw.glob("*FIELD*"))[0]
    lazy = _lazy(raw, tmp_path / "a", lambda: _foreseen(bad))
    labels = [key[0] for key in dict(lazy.__dask_graph__()) if isinstance(key, tuple)]
    assert len(set(labels)) == 3
    assert sum(label.startswith("doubles") for label in labels) == 4  # one an OBSCLASS
    dataset, errors = lazy.compute(scheduler="threads")
    assert errors.failed_images == [bad]
    _assert_equals_serial(dataset, raw, tmp_path / "b", lambda: _foreseen(bad))


def test_it_has_one_task_a_batch_and_segment(raw: Path, tmp_path: Path) -> None:
    """The graph is named after the steps, so that pictures of it can be read."""
    graph = dict(_lazy(raw, tmp_path / "a", reduction).__dask_graph__())
    segments = [key for key in graph if isinstance(key, tuple)]
    assert len(segments) == 1
    assert segments[0][0].startswith("bias+dark")
