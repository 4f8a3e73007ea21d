"""Batches have names, the same in plan and events, so that a board can be made of both."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.engine import Engine
from mirar_dask.engine import batch_names as names
from mirar_dask.engine.events import Event, Sampled, TaskFinished, TaskSubmitted
from mirar_dask.engine.plan import Plan, plan
from mirar_dask.processors.base_processor import BaseProcessor
from mirar_dask.processors.utils.image_loader import ImageLoader
from mirar_dask.processors.utils.image_saver import ImageSaver
from mirar_dask.processors.utils.image_selector import ImageBatcher, ImageRebatcher
from mirar_dask.testing.engine_contract import (
    Doubles,
    SplitsByHalf,
    configured,
    reduction,
    settings_for,
)
from mirar_dask.testing.faults import SleepsOnImage


def _plan(steps: list[BaseProcessor], raw: Path, out: Path) -> Plan:
    return plan(configured(steps), Dataset([ImageBatch()]), settings_for(raw, out))


def _events(engine: Engine, steps: list[BaseProcessor], raw: Path, out: Path) -> list[Event]:
    seen: list[Event] = []
    engine.run(configured(steps), Dataset(), settings_for(raw, out, listeners=(seen.append,)))
    return seen


def test_the_plan_names_batches_by_what_tells_them_from_others(raw: Path, tmp_path: Path) -> None:
    """Calibration frames by the master that they end in, the others by their values."""
    batches = {batch.name: batch for batch in _plan(reduction(), raw, tmp_path).batches}
    assert list(batches)[:4] == ["bias", "dark", "flat g", "flat r"]
    assert batches["bias"].steps == ("bias",)
    assert batches["flat r"].steps[-2:] == ("dark", "flat")
    assert all("flat_r" in name for name in batches["flat r"].members)
    assert {"g", "r"} <= set(batches)
    assert sum(len(batch.members) for batch in batches.values()) == len(list(raw.iterdir()))


def test_tasks_name_the_batches_of_the_plan_and_do_their_steps(
    threads: Engine, raw: Path, tmp_path: Path
) -> None:
    """Every cell of the plan's board is filled by an event, and no other cell is."""
    steps = [*reduction(), ImageRebatcher(["OBJECT", "FILTER"]), Doubles(), ImageSaver("twice")]
    planned = _plan(steps, raw, tmp_path / "plan")
    wanted = {(batch.name, step) for batch in planned.batches for step in batch.steps}
    done: dict[tuple[str, str], set[str]] = defaultdict(set)
    for event in _events(threads, steps, raw, tmp_path):
        if isinstance(event, TaskFinished):
            for step, _, _ in event.times:
                done[event.batch, step] |= set(event.names)
    with_work = {cell for cell in done if cell[1] not in ("batch", "select", "reject", "rebatch")}
    assert with_work == wanted
    members = {(batch.name, batch.segment): set(batch.members) for batch in planned.batches}
    for batch in planned.batches:
        for step in batch.steps:
            assert done[batch.name, step] == members[batch.name, batch.segment]


def test_a_task_is_submitted_and_finished_under_one_batch(
    threads: Engine, raw: Path, tmp_path: Path
) -> None:
    """The board may fold either event."""
    events = _events(threads, reduction(), raw, tmp_path)
    begun = {e.number: e.batch for e in events if isinstance(e, TaskSubmitted)}
    ended = {e.number: e.batch for e in events if isinstance(e, TaskFinished)}
    assert begun == ended
    assert all(ended.values())


def test_what_a_step_divides_in_its_own_way_is_numbered(
    threads: Engine, raw: Path, tmp_path: Path
) -> None:
    """Nobody knows by what such a step divides."""
    steps = [ImageLoader(), ImageBatcher("FILTER"), SplitsByHalf(), Doubles()]
    batches = {
        event.batch
        for event in _events(threads, steps, raw, tmp_path)
        if isinstance(event, TaskFinished) and event.label == "doubles"
    }
    assert len(batches) > 2
    assert batches == {f"halves {n + 1}" for n in range(len(batches))}


def test_a_run_is_looked_at_early_and_again(threads: Engine, raw: Path, tmp_path: Path) -> None:
    """Memory, cache and disk are known while a run goes on."""
    last = sorted(path.name for path in raw.glob("FIELD*"))[-1]
    steps = [*reduction(), SleepsOnImage(last, seconds=1.5)]
    samples = [e for e in _events(threads, steps, raw, tmp_path) if isinstance(e, Sampled)]
    assert samples
    assert samples[0].memory > 0
    assert 0 < samples[0].disk_free <= samples[0].disk_size


@pytest.mark.parametrize(
    ("paths", "entry", "expected"),
    [
        ([(), ()], "", ["", ""]),
        ([names.turn(1, ("r",)), names.turn(1, ("r",))], "", ["r", "r"]),
        ([names.turn(1, ("r",)), names.turn(1, ("g",))], "M31", ["M31 r", "M31 g"]),
        (
            [
                names.turn(1, ("r",)) + names.turn(2, ("M31", "r")),
                names.turn(1, ("g",)) + names.turn(2, ("M31", "g")),
            ],
            "",
            ["M31 r", "M31 g"],
        ),
    ],
)
def test_a_name_says_no_more_than_is_needed(
    paths: list[names.Path], entry: str, expected: list[str]
) -> None:
    """Values that all images share are left out, unless there is nothing else to say."""
    assert names.of_paths(paths, entry, {}, {}) == expected


def test_of_a_value_of_several_parts_those_are_told_that_differ() -> None:
    """A night with one frame of another size does not have long names for all others."""
    large, small = "1024x1024, bin 1x1, gain 1.5, camera a", "512x512, bin 1x1, gain 1.5, camera a"
    paths = [
        (*names.turn(0, large), *names.turn(1, ("M31", "g"))),
        (*names.turn(0, large), *names.turn(1, ("M31", "r"))),
        (*names.turn(0, small), *names.turn(1, ("M31", "g"))),
    ]
    assert names.of_paths(paths, "", {}, {}) == [
        "1024x1024 M31 g",
        "1024x1024 M31 r",
        "512x512 M31 g",
    ]


def test_a_long_name_is_cut() -> None:
    """A header value of a page is no name."""
    assert len(names.of_key(("x" * 500, "r"))) == names.LONGEST


def test_dask_groups_tasks_by_the_names_of_their_processors(
    threads: Engine, raw: Path, tmp_path: Path
) -> None:
    """Its pages name and colour tasks by these groups."""
    events = _events(threads, reduction(), raw, tmp_path)
    labels = {event.label for event in events if isinstance(event, TaskFinished)}
    assert {"bias master", "flat master"} <= labels
    client = threads.client  # type: ignore[attr-defined]
    assert labels <= set(client.run_on_scheduler(_prefixes))


def _prefixes(dask_scheduler: Any) -> list[str]:
    return list(dask_scheduler.task_prefixes)
