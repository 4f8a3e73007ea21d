"""What a plan has found out is not found out again, and what is no work makes no task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io.fits import Header

from mirar_dask.data import Dataset, Image, ImageBatch
from mirar_dask.engine import SerialEngine
from mirar_dask.engine.bench import Bench
from mirar_dask.engine.expansion import Foreseen
from mirar_dask.engine.flow import Flow
from mirar_dask.engine.lookahead import LateError, look_ahead
from mirar_dask.engine.opening import Opened
from mirar_dask.engine.plan import plan
from mirar_dask.engine.task import execute
from mirar_dask.engine.types import Bunch, ChainWork, RunSettings
from mirar_dask.paths import use_roots
from mirar_dask.processors.base_processor import BaseProcessor
from mirar_dask.processors.utils.image_selector import (
    ImageBatcher,
    ImageDebatcher,
    ImageRebatcher,
)
from mirar_dask.testing.engine_contract import (
    WritesLateKey,
    configured,
    reduction,
    settings_for,
)


def _images(n: int) -> ImageBatch:
    pixels = np.ones((2, 3), np.float32)
    cards = {"CALSTEPS": "", "RAWPATH": "raw.fits"}
    return ImageBatch(
        [
            Image(pixels, Header({**cards, "BASENAME": f"{i}.fits", "HALF": i % 2, "THIRD": i % 3}))
            for i in range(n)
        ]
    )


def _tasks(opened: Opened, foreseen: Foreseen, settings: RunSettings) -> list[tuple[str, object]]:
    """Run a night inline and return label and frames of every task."""
    found = []
    assert settings.roots is not None
    with use_roots(settings.roots):
        bench = Bench(opened.steps, settings.roots, None, 1 << 30)
        flow = Flow(opened.steps, opened.bunches, 2, start=opened.next_step, foreseen=foreseen)
        while (task := flow.next_task()) is not None:
            found.append((task.label, task.names))
            flow.absorb(task, execute(bench, task))
    assert flow.finished
    assert bool(flow.expansions) != bool(foreseen.expansions)
    return found


def test_a_run_makes_the_same_tasks_of_what_its_plan_foresaw(raw: Path, tmp_path: Path) -> None:
    """The batches are not walked twice, and neither are they changed by the first run."""
    found = []
    for foreseeing in (False, True, True):
        settings = settings_for(raw, tmp_path / str(len(found)))
        opened = plan(configured(reduction()), Dataset([ImageBatch()]), settings).opened
        assert opened is not None
        found.append(_tasks(opened, opened.foreseen if foreseeing else Foreseen(), settings))
    assert found[0] == found[1] == found[2]


def test_what_was_foreseen_does_not_hold_once_a_master_is_there(raw: Path, tmp_path: Path) -> None:
    """A run between plan and run has made the masters: they are not made again."""
    settings = settings_for(raw, tmp_path)
    opened = plan(configured(reduction()), Dataset([ImageBatch()]), settings).opened
    assert opened is not None
    assert all(found.holds() for found in opened.foreseen.expansions.values())
    SerialEngine().run(configured(reduction()), Dataset([ImageBatch()]), settings)
    assert not any(found.holds() for found in opened.foreseen.expansions.values())


def test_every_task_of_a_night_does_something(raw: Path, tmp_path: Path) -> None:
    """Frames that go into a master as they are need no task of their own."""
    settings = settings_for(raw, tmp_path)
    opened = plan(configured(reduction()), Dataset([ImageBatch()]), settings).opened
    assert opened is not None
    labels = {label for label, _ in _tasks(opened, opened.foreseen, settings)}
    assert "read" not in labels


def test_steps_that_only_move_images_make_no_tasks(tmp_path: Path) -> None:
    """They are done where the bookkeeping is, history included, as the serial loop does it."""
    steps: list[BaseProcessor] = [ImageBatcher("HALF"), ImageRebatcher("THIRD"), ImageDebatcher()]
    images = _images(12)
    flow = Flow(configured(steps), [Bunch.of(images)])
    assert flow.next_task() is None
    assert flow.finished
    moved = Dataset([bunch.open() for bunch in flow.results()])
    serial = SerialEngine().run(configured(steps), Dataset([_images(12)]), RunSettings()).dataset
    for batch, expected in zip(moved, serial, strict=True):
        for image, other in zip(batch, expected, strict=True):
            for key in ("BASENAME", "CALSTEPS", "PRODKEY", "REDUCER", "REDSOFT"):
                assert image[key] == other[key]
    assert images[0]["CALSTEPS"] == ""


def test_images_of_other_batches_count_for_the_size_of_a_task() -> None:
    """Many small batches are not a reason for tasks of one image."""
    batches = [Bunch.of(_images(10)) for _ in range(6)]
    flow = Flow(configured([WritesLateKey()]), batches, slots=1)
    flow.packing.learn((0,), 100, 1.0)
    task = flow.next_task()
    assert task is not None
    assert isinstance(task.work, ChainWork)
    assert len(task.work.items) == 10


def test_history_is_written_when_somebody_looks_at_it() -> None:
    """An image looked at ahead tells all steps that it passed, and no value that may change."""
    image = look_ahead(_images(1)[0].handle())
    first, second = configured([ImageBatcher("HALF"), WritesLateKey()])
    image.pass_by(first)
    image.pass_by(second)
    image.know_less(frozenset({"HALF"}))
    assert image["THIRD"] == 0
    assert image["CALSTEPS"] == f"{first.base_key},{second.base_key},"
    assert image.header["PRODKEY"]
    with pytest.raises(LateError, match="HALF"):
        image["HALF"]
    image.know_less(None)
    with pytest.raises(LateError, match="THIRD"):
        image.get("THIRD")
