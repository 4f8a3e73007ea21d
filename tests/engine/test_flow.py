"""The bookkeeping of a run, asked directly: what it hands out and what a stop leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io.fits import Header

from mirar_dask.data import DataBatch, Image, ImageBatch
from mirar_dask.engine.bench import Bench
from mirar_dask.engine.flow import Flow
from mirar_dask.engine.task import execute
from mirar_dask.engine.types import Bunch, ChainWork
from mirar_dask.paths import Roots
from mirar_dask.processors.base.outcome import Record, Row
from mirar_dask.processors.base_processor import BaseProcessor
from mirar_dask.testing.engine_contract import Doubles, WritesLateKey, configured


def bunch(*names: str) -> Bunch:
    """Make a batch of small images."""
    images = [
        Image(
            np.ones((2, 3), np.float32),
            Header({"BASENAME": name, "RAWPATH": name, "CALSTEPS": ""}),
        )
        for name in names
    ]
    return Bunch.of(ImageBatch(images))


class OneAtATime(Doubles):
    """A step with a concurrency limit."""

    base_key = "one_at_a_time"
    max_concurrent = 1


@pytest.mark.parametrize("step", [Doubles(), OneAtATime(), WritesLateKey()])
def test_a_stopped_flow_is_finished_once_what_was_begun_has_landed(
    step: BaseProcessor, tmp_path: Path
) -> None:
    """Tasks that wait are forgotten; the batch that was under way still comes to its end."""
    steps = configured([step])
    flow = Flow(steps, [bunch("a"), bunch("b"), bunch("c")])
    task = flow.next_task()
    assert task is not None
    if isinstance(step, OneAtATime):
        assert flow.next_task() is None
    flow.stop()
    assert flow.next_task() is None
    assert not flow.finished
    flow.absorb(task, execute(Bench(steps, Roots(tmp_path, tmp_path), None, 1 << 20), task))
    assert flow.finished
    assert flow.cut_short
    assert [found.names for found in flow.results()] == [task.names]
    assert not flow.records


def test_a_flow_without_a_stop_is_not_cut_short(tmp_path: Path) -> None:
    """Neither is one that is stopped when everything is done."""
    steps = configured([Doubles()])
    flow = Flow(steps, [bunch("a")])
    task = flow.next_task()
    assert task is not None
    flow.absorb(task, execute(Bench(steps, Roots(tmp_path, tmp_path), None, 1 << 20), task))
    assert not flow.cut_short
    flow.stop()
    assert flow.finished
    assert not flow.cut_short


def test_a_lost_task_is_divided_into_one_an_image() -> None:
    """Each part can be lost by itself, and the rest of the batch goes on."""
    flow = Flow(configured([WritesLateKey()]), [bunch("a", "b", "c", "d")])
    task = flow.next_task()
    assert task is not None
    assert len(task.names) > 1
    parts = flow.divide(task)
    assert [part.names for part in parts] == [(name,) for name in task.names]
    assert not flow.finished
    for part in parts:
        flow.lose(part, "gone")
    assert [record.names for record in flow.records] == [part.names for part in parts]


def test_images_that_a_task_gives_back_are_done_by_another(tmp_path: Path) -> None:
    """Whether the driver hears of them before the task has ended or with its outcome."""
    steps = configured([WritesLateKey()])
    bench = Bench(steps, Roots(tmp_path, tmp_path), None, 1 << 20)
    flow = Flow(steps, [bunch(*"abcdefgh")])
    task = flow.next_task()
    assert task is not None
    assert isinstance(task.work, ChainWork)
    assert len(task.work.items) == 4
    flow.take_back(task.number, [3])
    short = replace(task, work=replace(task.work, items=task.work.items[:3], seconds=0.0))
    outcome = execute(bench, short)
    assert len(outcome.images) == 1
    assert outcome.left == (1, 2)
    flow.absorb(task, replace(outcome, left=(1, 2, 3)))
    flow.take_back(task.number, [2])  # heard too late, and of no consequence
    seen = list(task.names[:1])
    while (task := flow.next_task()) is not None:
        seen += task.names
        flow.absorb(task, execute(bench, task))
    assert sorted(seen) == list("abcdefgh")
    assert flow.finished
    assert flow.results()[0].names == tuple("abcdefgh")


def test_images_that_were_given_back_are_not_lost_with_their_task() -> None:
    """They wait for another task; only what the task still had is tried again, or lost."""
    flow = Flow(configured([WritesLateKey()]), [bunch(*"abcdefgh")])
    task = flow.next_task()
    assert task is not None
    flow.take_back(task.number, [1, 3])
    parts = flow.divide(task)
    assert [part.names for part in parts] == [("a",), ("c",)]
    flow.lose(parts[1], "its worker died")
    assert [record.names for record in flow.records] == [("c",)]


class TellsName(WritesLateKey):
    """A step that leaves a row for each image."""

    base_key = "tells_name"

    def collect_rows(self, batch: DataBatch, records: list[Record]) -> list[Row]:
        """Name the images."""
        return [{"BASENAME": image["BASENAME"]} for image in batch]


def test_rows_are_in_the_order_of_images_whoever_did_them(tmp_path: Path) -> None:
    """A task that gave images back leaves no trace in the night's table."""
    steps = configured([TellsName()])
    bench = Bench(steps, Roots(tmp_path, tmp_path), None, 1 << 20)
    flow = Flow(steps, [bunch(*"abcdefgh")])
    task = flow.next_task()
    assert task is not None
    while task is not None:
        assert isinstance(task.work, ChainWork)
        items = task.work.items[::2] + task.work.items[1::2]
        work = replace(task.work, items=items, seconds=0.0)
        flow.absorb(task, execute(bench, replace(task, work=work)))
        task = flow.next_task()
    assert [row["BASENAME"] for row in flow.tables()[0]] == list("abcdefgh")
