"""Each task of a run can be looked at afterwards: who did it, how long it took, what it said."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from mirar_dask.data.metering import Meter
from mirar_dask.engine.events import Event, RecordAdded, RunStarted, TaskFinished, TaskSubmitted
from mirar_dask.engine.journal import Journal
from mirar_dask.errors import ErrorReport
from mirar_dask.monitoring.task_view import LISTED, task_view, tasks_view
from mirar_dask.monitoring.tasks import End, TaskStory, find_tasks, read_tasks
from mirar_dask.processors.base.outcome import Record, Status


def journal_of(folder: Path, events: list[Event]) -> Path:
    """Write a journal as a run does."""
    with Journal(folder / "journal.jsonl") as journal:
        for event in events:
            journal(event)
    return folder / "journal.jsonl"


def printed(task: TaskStory) -> str:
    """Return what `report --task` prints."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=100)
    for part in task_view(task):
        console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.fixture
def tasks(events: list[Event], tmp_path: Path) -> list[TaskStory]:
    """Tasks of the small run; the failure comes with a traceback, the task with a log."""
    try:
        raise ValueError("no flat")
    except ValueError as error:
        report = ErrorReport(error, "mirar_dask.processors.flat", ["b.fits"])
    known: list[Event] = []
    for event in events:
        if isinstance(event, TaskSubmitted) and event.number == 2:
            event = replace(event, batch="r")
        if isinstance(event, TaskFinished) and event.number == 2:
            meter = Meter(read={"raw": 2_000_000})
            log = ("2026-03-14 20:00:00,000Z INFO mine: looked at a.fits",)
            event = replace(event, log=log, meter=meter, batch="r", names=("a.fits", "b.fits"))
        if isinstance(event, RecordAdded) and event.record.status is Status.FAILED:
            event = replace(event, record=replace(event.record, report=report))
        known.append(event)
    failed = known.pop(8)  # the driver tells of a task, then of what happened in it
    known.insert(9, failed)
    return read_tasks(journal_of(tmp_path, known))


def test_a_task_has_all_that_the_journal_tells(tasks: list[TaskStory]) -> None:
    """Frames, worker, seconds by step, bytes, log."""
    load, both, _ = tasks
    assert (load.end, load.names) == (End.DONE, ("a.fits", "b.fits", "c.fits"))
    text = printed(both)
    for words in (
        "task 2: bias+flat",
        "2: a.fits, b.fits",
        "w1",
        "1970-01-01 00:01:40.500 UTC",
        "2.0 MB raw",
        "INFO mine: looked at a.fits",
    ):
        assert words in text


def test_what_failed_is_told_with_the_task_in_which_it_did(tasks: list[TaskStory]) -> None:
    """With the traceback, which the worker made text of."""
    assert [task.end for task in tasks] == [End.DONE, End.FAILED, End.DONE]
    text = printed(tasks[1])
    assert "failed: b.fits at flat" in text
    assert "ValueError: no flat" in text


def test_a_task_that_was_lost_tells_of_each_attempt(tasks: list[TaskStory]) -> None:
    """When, and why it did not come back."""
    again = tasks[2]
    assert [attempt.lost for attempt in again.attempts] == ["worker killed", ""]
    assert "worker killed" in printed(again)
    assert again.worker == "w2"


def test_a_task_under_way_has_no_end(events: list[Event], tmp_path: Path) -> None:
    """A run that goes on can be looked at."""
    tasks = read_tasks(journal_of(tmp_path, events[:5]))
    assert [task.end for task in tasks] == [End.DONE, End.UNDER_WAY, End.UNDER_WAY]
    assert "under way" in printed(tasks[1])
    cut = read_tasks(tmp_path / "journal.jsonl", over=True)
    assert [task.end for task in cut] == [End.DONE, End.CUT_OFF, End.CUT_OFF]


def test_tasks_of_two_configurations_are_not_mixed_up(tmp_path: Path) -> None:
    """Each configuration counts its tasks anew."""
    started = RunStarted("r", 0.0, ("save",), ("a",))
    done = TaskFinished("save", 0, 0, ("a",), "w", 1.0, (("save", 1.0, 1),), 1.0)
    tasks = read_tasks(journal_of(tmp_path, [started, done, started, replace(done, names=("b",))]))
    assert [(task.part, task.names) for task in tasks] == [(0, ("a",)), (1, ("b",))]


def test_a_failed_master_is_told_with_the_task_that_made_it(tmp_path: Path) -> None:
    """Its record names no frame."""
    events: list[Event] = [
        RunStarted("r", 0.0, ("flat",), ("a", "b")),
        TaskFinished("flat", 0, 0, ("b",), "w", 1.0, (("flat", 1.0, 1),), 1.0),
        TaskFinished("flat master", 1, 0, ("a",), "w", 1.0, (("flat", 1.0, 1),), 1.0),
        RecordAdded(Record((), Status.FAILED, "flat", "no light"), 1.0),
    ]
    tasks = read_tasks(journal_of(tmp_path, events))
    assert [task.end for task in tasks] == [End.DONE, End.FAILED]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2", [2]),
        ("#3", [3]),
        ("a.fits", [1, 2]),
        ("c", [1, 3]),
        ("flat", [2, 3]),
        ("load", [1]),
        ("r", [2]),
        ("BIAS", [2, 3]),
        ("nothing", []),
    ],
)
def test_a_name_means_a_number_a_frame_a_batch_or_a_step(
    tasks: list[TaskStory], name: str, expected: list[int]
) -> None:
    """Whatever the observer has at hand."""
    assert [task.number for task in find_tasks(tasks, name)] == expected


def test_ten_thousand_tasks_are_not_all_listed(tmp_path: Path) -> None:
    """The list says how many there are, and how to see one."""
    from rich.console import Console

    events: list[Event] = [TaskSubmitted("save", n, 0, (f"{n}.fits",), 1.0) for n in range(1000)]
    console = Console(file=io.StringIO(), width=100)
    for part in tasks_view(read_tasks(journal_of(tmp_path, events))):
        console.print(part)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == LISTED + 2
    assert "950 more tasks" in lines[-1]
