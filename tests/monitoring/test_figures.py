"""The figures of a run: how much is done, how long the rest will take, what it takes up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mirar_dask.engine.events import Event, RunEnded, RunStarted, Sampled, TaskFinished
from mirar_dask.monitoring import figures
from mirar_dask.monitoring.state import RunState, fold_all
from mirar_dask.monitoring.step_table import step_rows, time_left
from mirar_dask.monitoring.words import brief, clock, duration, size_text

PLAN: dict[str, Any] = {
    "steps": [
        {"name": "sort", "form": "pass", "images": 20, "work": 0, "segment": 0},
        {"name": "bias", "form": "gather", "images": 20, "work": 10, "segment": 0},
        {"name": "save", "form": "image", "images": 10, "work": 10, "segment": 0},
        {"name": "stack", "form": "batch", "images": None, "work": None, "segment": 1},
    ],
    "batches": [{"steps": ["bias", "save"]}, {"steps": ["stack"]}, {"steps": ["stack"]}],
}
NAMES = tuple(f"{n}.fits" for n in range(10))
START = RunStarted("r", 0.0, ("sort", "bias", "save", "stack"), NAMES, 2)


def finished(label: str, n: int, *times: tuple[str, float, int]) -> TaskFinished:
    """Return the end of a task of so many frames."""
    return TaskFinished(label, 1, 0, NAMES[:n], "w", sum(t[1] for t in times), times, 8.0)


def state_of(*events: Event) -> RunState:
    return fold_all([START, *events])


def test_the_time_left_is_that_of_the_images_that_are_left_divided_among_the_workers() -> None:
    """Four images of ten are done: six more at a second and half a second, on two workers."""
    done = finished("bias+save", 4, ("bias", 4.0, 4), ("save", 2.0, 4))
    rows = {row.step: row for row in figures.shown_rows(state_of(done), PLAN)}
    assert rows["bias"].seconds_left == pytest.approx(3.0)
    assert rows["save"].seconds_left == pytest.approx(1.5)
    assert rows["stack"].seconds_left is None
    assert time_left(list(rows.values())) == (pytest.approx(4.5), False)
    assert figures.left_text(list(rows.values())) == "more than 4 s left"


def test_what_only_the_run_will_tell_is_reckoned_by_batches() -> None:
    """One stack of two took ten seconds."""
    done = finished("bias+save", 10, ("bias", 10.0, 10), ("save", 5.0, 10))
    stacked = finished("stack", 5, ("stack", 10.0, 5))
    rows = step_rows(state_of(done, stacked), PLAN)
    assert figures.left_text(rows) == "about 5 s left"


def test_nothing_is_said_before_something_was_measured() -> None:
    """No time is better than a wrong one."""
    assert figures.left_text(step_rows(state_of(), PLAN)) == ""
    assert figures.share_done(state_of(), step_rows(state_of(), PLAN)) == 0.0
    assert figures.share_done(state_of(), step_rows(state_of(), None)) is None


def test_the_making_of_a_master_is_not_counted_as_time_for_its_frames() -> None:
    """A master that takes a minute says nothing about how long a frame takes."""
    made = finished("bias master", 10, ("bias", 60.0, 1))
    passed = finished("bias", 2, ("bias", 1.0, 2))
    (row,) = [row for row in step_rows(state_of(made, passed), PLAN) if row.step == "bias"]
    assert row.seconds_each == 0.5
    assert row.succeeded == 2


def test_images_that_failed_are_not_waited_for_behind() -> None:
    """Three of ten failed at the bias: seven will be saved."""
    failed = replace(state_of(finished("bias+save", 4, ("bias", 4.0, 4), ("save", 4.0, 4))))
    failed = replace(
        failed, steps={**failed.steps, "bias": replace(failed.steps["bias"], failed=3)}
    )
    rows = {row.step: row for row in step_rows(failed, PLAN)}
    assert rows["bias"].seconds_left == pytest.approx(1.5)
    assert rows["save"].seconds_left == pytest.approx(1.5)


def test_at_the_end_all_is_done_and_nothing_left() -> None:
    """Even where less came than was expected."""
    state = state_of(finished("bias", 4, ("bias", 4.0, 4)), RunEnded({"succeeded": 4}, 8.0, 8.0))
    rows = step_rows(state, PLAN)
    assert figures.share_done(state, rows) == 1.0
    assert time_left(rows)[0] == 0.0


def test_steps_that_do_nothing_are_not_shown() -> None:
    """Sorting by headers takes no time."""
    assert [row.step for row in figures.shown_rows(state_of(), PLAN)] == ["bias", "save", "stack"]


def test_what_a_run_takes_up_is_said_against_its_limits() -> None:
    """A worker that is nearly full is named; nothing is said before it is known."""
    assert figures.resources(state_of()) == ""
    sample = Sampled(1.0, 4 * 10**9, 0.3, 16 * 10**9, 12, 10**9, 9 * 10**9, 9 * 10**9, 10**11)
    text = figures.resources(state_of(sample))
    assert text == "memory 4.0 GB of 16 GB · cache 1.0 GB of 10 GB · disk 9.0 GB free"
    full = figures.resources(state_of(replace(sample, fullest=0.9)))
    assert "(fullest worker 90%)" in full


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (duration(4.6), "5 s"),
        (duration(99), "99 s"),
        (duration(100), "2 min"),
        (duration(3600 * 2 + 300), "2 h 05"),
        (clock(90_061), "25:01:01"),
        (brief(0.0004), "0.4 ms"),
        (brief(0.45), "450 ms"),
        (brief(1.374), "1.37 s"),
        (size_text(0), "0 B"),
        (size_text(340e6), "340 MB"),
        (size_text(1.25e9), "1.2 GB"),
    ],
)
def test_figures_are_short(text: str, expected: str) -> None:
    """Two or three digits and a unit."""
    assert text == expected


def test_the_pace_is_that_of_the_last_half_minute() -> None:
    """A run that went fast and now stacks slowly says so; in the end the whole run counts."""
    fast = [
        replace(finished("bias+save", 10, ("bias", 1.0, 10), ("save", 1.0, 10)), time=float(n))
        for n in range(1, 11)
    ]
    state = state_of(*fast)
    assert state.pace is not None
    assert state.pace.frames == pytest.approx(10.0)
    slow = [replace(finished("stack", 1, ("stack", 9.0, 1)), time=10.0 * n) for n in range(2, 12)]
    state = state_of(*fast, *slow)
    assert state.pace is not None
    assert state.pace.frames == pytest.approx(0.1, rel=0.4)
    assert len(state.recent) <= 16
    ended = state_of(*fast, *slow, RunEnded({"succeeded": 100}, 110.0, 110.0))
    assert ended.pace is not None
    assert ended.pace.frames == pytest.approx(100 / 110)


def test_a_run_that_stands_still_gets_slower() -> None:
    """Samples go on coming where no task comes back."""
    done = finished("bias+save", 10, ("bias", 1.0, 10), ("save", 1.0, 10))
    samples = [Sampled(8.0 + 3.0 * n) for n in range(20)]
    paces = [state_of(done, *samples[:n]).pace for n in range(20)]
    assert paces[0] is not None
    assert paces[-1] is not None
    assert paces[0].frames > 1.0
    assert paces[-1].frames == 0.0
