"""The model of a night that the page and the report show, against what the journal tells."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.engine.events import Event, Sampled, TaskFinished, TaskSubmitted
from mirar_dask.engine.journal import Journal
from mirar_dask.monitoring.night import NightView, RunFollower, everything, payload
from mirar_dask.monitoring.run_folder import JOURNAL, PLAN

PLAN_OF_THREE: dict[str, Any] = {
    "frames": 3,
    "steps": [
        {"name": "load", "form": "source", "segment": -1, "images": 3},
        {"name": "bias", "form": "gather", "segment": 0, "images": 3, "processor": "Bias"},
        {"name": "flat", "form": "gather", "segment": 0, "images": 3, "processor": "Flat"},
        {"name": "save", "form": "image", "segment": 0, "images": 3, "processor": "Saver"},
    ],
    "masters": [],
    "batches": [
        {"name": "M13 r", "members": ["a.fits", "b.fits"], "steps": ["bias", "flat", "save"]},
        {"name": "M31 r", "members": ["c.fits"], "steps": ["bias", "flat", "save"]},
    ],
    "late": [],
}
Cells = dict[tuple[str, str], dict[str, Any]]
Run = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that writes the folder of a run."""

    def write(events: list[Event], plan: dict[str, Any] | None = PLAN_OF_THREE) -> Path:
        folder = tmp_path / "imager" / "20260101" / "runs" / "run-1"
        folder.mkdir(parents=True, exist_ok=True)
        if plan is not None:
            (folder / PLAN).write_text(json.dumps(plan))
        with Journal(folder / JOURNAL) as journal:
            for event in events:
                journal(event)
        return folder

    return write


def cells_of(found: dict[str, Any]) -> Cells:
    names = found["names"]["cell"]
    rows = {row[0]: row[1] for row in found["rows"]}
    steps = [step["name"] for step in found["steps"]]
    cells = [dict(zip(names, values, strict=True)) for values in found["cells"]]
    return {(rows[cell["row"]], steps[cell["step"]]): cell for cell in cells}


def lines(events: list[Event]) -> Iterator[tuple[int, dict[str, Any]]]:
    from mirar_dask.engine.journal import as_json

    for place, event in enumerate(events):
        yield place, {"event": type(event).__name__, **as_json(event)}


def test_cells_count_frames_by_what_became_of_them(run: Run, events: list[Event]):
    """A frame that fails in the flat has passed the bias; one that was lost once passes both."""
    cells = cells_of(RunFollower(run(events)).changes())
    assert cells["M13 r", "bias"]["done"] == 2
    flat = cells["M13 r", "flat"]
    assert (flat["done"], flat["failed"], flat["expected"]) == (1, 1, 2)
    assert cells["M31 r", "flat"]["done"] == 1
    assert cells["M31 r", "flat"]["again"] == 1
    assert not any(cell["running"] for cell in cells.values())


def test_a_step_behind_a_failure_expects_one_frame_less(run: Run, events: list[Event]):
    """The board does not wait for a frame that is gone."""
    cells = cells_of(RunFollower(run(events)).changes())
    assert cells["M13 r", "save"]["expected"] == 1


def test_changes_put_together_are_the_whole(run: Run, events: list[Event]):
    """Whoever follows a run line by line ends with what one sees who comes at its end."""
    folder = run([])
    follower = RunFollower(folder)
    found = follower.changes()
    cells, tasks, failures = cells_of(found), list(found["tasks"]), {}
    rows = {row[0]: row for row in found["rows"]}
    for event in events:
        run([event])
        new = follower.changes(found["epoch"], found["rev"])
        assert not new["full"]
        rows |= {row[0]: row for row in new["rows"]}
        cells |= cells_of({**new, "names": found["names"], "rows": list(rows.values())})
        tasks += new["tasks"]
        failures |= {group["id"]: group for group in new["failures"]}
        found = {**found, "rev": new["rev"]}
    whole = RunFollower(folder).changes()
    assert cells == cells_of(whole)
    assert tasks == whole["tasks"]
    assert list(failures.values()) == whole["failures"]


def test_nothing_new_is_a_short_answer(run: Run, events: list[Event]):
    """A page that asks every second is told no cell, task or failure twice."""
    follower = RunFollower(run(events))
    found = follower.changes()
    again = follower.changes(found["epoch"], found["rev"])
    for name in ("rows", "cells", "tasks", "failures", "samples"):
        assert again[name] == [], name
    assert again["head"]["counts"] == found["head"]["counts"]


def test_who_comes_with_another_epoch_is_told_everything(run: Run, events: list[Event]):
    """As after the server was started anew."""
    found = RunFollower(run(events)).changes("another", 5)
    assert found["full"]
    assert found["rows"]


def test_a_journal_that_was_written_anew_is_read_from_its_start(run: Run, events: list[Event]):
    """A follower never mixes two journals."""
    folder = run(events)
    follower = RunFollower(folder)
    first = follower.changes()
    (folder / JOURNAL).unlink()
    run(events[:2])
    found = follower.changes(first["epoch"], first["rev"])
    assert found["full"]
    assert found["head"]["tasks"] == {"done": 0, "open": 1, "lost": 0}


def test_a_line_that_is_half_there_is_read_when_it_is_whole(run: Run, events: list[Event]):
    """The driver may be writing it at that moment."""
    folder = run(events[:-1])
    follower = RunFollower(folder)
    journal = folder / JOURNAL
    text = journal.read_text()
    journal.write_text(text[:-20])
    follower.changes()
    journal.write_text(text)
    assert follower.changes()["head"]["tasks"]["done"] == 3


def test_lines_that_say_too_little_are_passed_over(events: list[Event]):
    """Of another version of this package, or forged; the rest is shown."""
    view = NightView(PLAN_OF_THREE)
    bad: list[dict[str, Any]] = [
        {},
        {"event": "TaskFinished", "time": 1.0},
        {"event": "RecordAdded", "time": "soon", "record": None},
        {"event": "RunStarted", "time": 2.0, "run_id": "x", "steps": 5, "frames": None},
        {"event": "RunEnded", "time": 1e400, "counts": {"failed": "many"}, "seconds": 0},
    ]
    view.take((-1, line) for line in bad)
    view.take(lines(events))
    assert len(view.done) == 4
    json.dumps(payload(view), allow_nan=False)


def test_failures_are_grouped_by_kind_and_tell_their_frames(run: Run, events: list[Event]):
    """One line a kind, step and status; frames, reason and traceback are told when asked for."""
    follower = RunFollower(run(events))
    (group,) = follower.changes()["failures"]
    assert (group["kind"], group["step"], group["frames"]) == ("MissingFlatError", "flat", 1)
    told = follower.failure(group["id"])
    assert told["failures"][0]["frames"] == ["b.fits"]
    assert "no flat in 'r'" in told["failures"][0]["reason"]


def test_a_cell_opens_its_frames_tasks_and_failures(run: Run, events: list[Event]):
    """All that an observer asks about a batch in a step."""
    told = RunFollower(run(events)).cell(0, 2)
    assert {one["name"]: one["status"] for one in told["frames"]} == {
        "a.fits": "succeeded",
        "b.fits": "failed",
    }
    assert [(task["label"], task["in_step"]) for task in told["tasks"]] == [("bias+flat", 0.6)]
    assert told["failures"][0]["frames"] == ["b.fits"]
    assert "b.fits" not in str(RunFollower(run([])).cell(1, 2))


def test_a_task_tells_its_log_and_times(run: Run, events: list[Event]):
    """Read from the journal at that moment, wherever in it they stand."""
    names = ("c.fits",)
    more: list[Event] = [
        TaskSubmitted("flat", 9, 0, names, 103.0),
        TaskFinished(
            "flat", 9, 0, names, "host:7:1", 0.5, (("flat", 0.5, 1),), 104.0,
            log=("12:00:00 INFO mirar_dask: <b>divided</b>",),
        ),
    ]  # fmt: skip
    follower = RunFollower(run([*events[:-1], *more]))
    place = follower.changes()["tasks"][-1][0]
    told = follower.task(place)
    assert told["log"] == ["12:00:00 INFO mirar_dask: <b>divided</b>"]
    assert told["times"] == [["flat", 0.5, 1]]
    assert told["worker"] == "host:7:1"


@pytest.mark.parametrize(("row", "step"), [(99, 0), (0, 99), (-1, 0), (0, -1)])
def test_a_cell_that_is_not_there_is_an_error(run: Run, events: list[Event], row: int, step: int):
    """And never another cell, counted from the end."""
    with pytest.raises(IndexError):
        RunFollower(run(events)).cell(row, step)


def test_a_frame_tells_what_became_of_it(run: Run, events: list[Event]):
    """Its row, the steps that it passed, where it ended and why."""
    told = RunFollower(run(events)).frame("b.fits")
    assert (told["status"], told["end"], told["steps"]) == ("failed", "flat", ["load", "bias"])
    assert told["failures"][0]["status"] == "failed"


def test_batches_that_the_plan_does_not_know_come_as_they_are_named(run: Run, events: list[Event]):
    """A task names its batch; frames that have no line yet join it."""
    task = TaskSubmitted("bias", 50, 0, ("a.fits", "z.fits"), 101.0, batch="M13 g")
    found = RunFollower(run([*events[:4], task], plan=None)).changes()
    (row,) = [row for row in found["rows"] if row[1] == "M13 g"]
    assert row[3] == 2
    assert cells_of(found)["M13 g", "bias"]["running"] == 2


def test_a_frame_is_counted_in_each_batch_where_it_passes_steps(run: Run, events: list[Event]):
    """Batches are put together: both had the bias, the one that they became has the flat."""
    batches = [
        {"name": "chip 1", "members": ["a.fits", "b.fits"], "steps": ["bias"], "segment": 0},
        {"name": "chip 2", "members": ["c.fits"], "steps": ["bias"], "segment": 0},
        {"name": "all", "members": ["a.fits", "b.fits", "c.fits"], "steps": ["flat"]},
    ]
    found = RunFollower(run(events, {**PLAN_OF_THREE, "batches": batches})).changes()
    cells = cells_of(found)
    assert {key for key, cell in cells.items() if cell["done"]} == {
        ("chip 1", "bias"),
        ("chip 2", "bias"),
        ("all", "flat"),
    }
    assert (cells["all", "flat"]["done"], cells["all", "flat"]["failed"]) == (2, 1)
    assert sum(found["head"]["counts"].values()) == 3


def test_a_batch_that_is_known_late_is_counted_where_its_tasks_are(run: Run, events: list[Event]):
    """Its frames stay in the line of the batch that they were in before."""
    plan = {**PLAN_OF_THREE, "batches": [{**PLAN_OF_THREE["batches"][0], "steps": ["bias"]}]}
    names = ("a.fits", "b.fits")
    more: list[Event] = [
        TaskSubmitted("flat", 60, 0, names, 103.0, batch="late"),
        TaskFinished(
            "flat", 60, 0, names, "w1", 0.5, (("flat", 0.5, 2), ("save", 0.1, 2)), 104.0,
            batch="late",
        ),
    ]  # fmt: skip
    cells = cells_of(RunFollower(run([*events[:3], *more], plan)).changes())
    assert cells["late", "flat"]["done"] == 2
    assert cells["late", "save"]["done"] == 2  # which the name of the task does not tell
    assert cells["M13 r", "bias"]["expected"] == 2
    assert ("M13 r", "flat") not in cells


def test_what_is_made_for_a_batch_takes_no_frame_through_a_step(run: Run, events: list[Event]):
    """A context that is prepared, or a master that is found, concerns frames that stay in place."""
    names = ("a.fits", "b.fits", "c.fits")
    more: list[Event] = [
        TaskSubmitted("flat context", 70, 0, names, 100.5, batch="flat r"),
        TaskFinished(
            "flat context", 70, 0, names, "w1", 0.1, (("flat", 0.1, 1),), 100.6, batch="flat r"
        ),
    ]
    found = RunFollower(run([*events[:3], *more])).changes()
    assert "flat r" not in [row[1] for row in found["rows"]]
    assert cells_of(found)["M13 r", "flat"]["done"] == 0
    assert cells_of(found)["M13 r", "flat"]["expected"] == 2


def test_samples_are_told_once_each(run: Run, events: list[Event]):
    """Memory, cache and disk over time."""
    follower = RunFollower(run([*events[:3], Sampled(101.0, memory=5, disk_free=7)]))
    found = follower.changes()
    sample = dict(zip(found["names"]["sample"], found["samples"][0], strict=True))
    assert (sample["time"], sample["memory"], sample["disk_free"]) == (101.0, 5, 7)


def test_a_run_that_was_ended_leaves_nothing_running(run: Run, events: list[Event]):
    """What was under way when the run ended is not any more."""
    found = RunFollower(run([*events[:4], events[-1]])).changes()
    assert found["open"] == []
    assert not any(cell["running"] for cell in cells_of(found).values())


def test_frames_add_up(run: Run, events: list[Event]):
    """Every frame is counted once, whatever the run has come to."""
    folder = run([])
    follower = RunFollower(folder)
    for event in events:
        run([event])
        head = follower.changes()["head"]
        assert sum(head["counts"].values()) == head["frames"] == 3


def test_a_frame_has_succeeded_when_its_batch_is_at_its_end(run: Run, events: list[Event]):
    """While the run goes on: not before the last step, nor where more is to come."""
    done = TaskFinished(
        "bias+flat+save", 80, 0, ("c.fits",), "w1", 1.0,
        (("bias", 0.2, 1), ("flat", 0.3, 1), ("save", 0.1, 1)), 103.0,
    )  # fmt: skip
    for before, expected in (("end", 1), ("regroup", 0)):
        batches = [{**batch, "before": before} for batch in PLAN_OF_THREE["batches"]]
        folder = run([*events[:3], done], {**PLAN_OF_THREE, "batches": batches})
        counts = RunFollower(folder).changes()["head"]["counts"]
        assert counts.get("succeeded", 0) == expected
        (folder / JOURNAL).unlink()


def test_all_of_a_night_is_json(run: Run, events: list[Event]):
    """A report holds it, with what it cannot ask a server for."""
    follower = RunFollower(run(events))
    found = json.loads(json.dumps(follower.everything(), allow_nan=False))
    assert found["frames"] == [["a.fits", "b.fits"], ["c.fits"]]
    assert found["ended"] == [["b.fits", 0, 2, "failed"]]
    assert found["failed"][0]["failures"][0]["frames"] == ["b.fits"]
    assert everything(follower.view)["caveats"][0]["frames"] == ["a.fits"]
