"""The table of a run's steps adds up, and says what is not known."""

from __future__ import annotations

from typing import Any

import pytest

from mirar_dask.engine.events import Event, RecordAdded, RunStarted, TaskFinished, TaskSubmitted
from mirar_dask.monitoring.state import fold_all
from mirar_dask.monitoring.step_table import StepRow, step_rows
from mirar_dask.processors.base.outcome import Record, Status

PLAN: dict[str, Any] = {
    "steps": [
        {"name": "load", "form": "source", "images": 3},
        {"name": "bias", "form": "gather", "images": 3},
        {"name": "flat", "form": "gather", "images": 3},
        {"name": "stack", "form": "batch", "images": None},
    ]
}


def rows(events: list[Event]) -> dict[str, StepRow]:
    """Return the rows by step."""
    return {row.step: row for row in step_rows(fold_all(events), PLAN)}


@pytest.mark.parametrize("number", range(1, 12))
def test_at_each_moment_the_figures_of_a_step_add_up(events: list[Event], number: int) -> None:
    """Expected is what is waiting, ready, running, or has come to an end."""
    as_announced = [*events[:7], events[9], *events[7:9], *events[10:]]  # records come last
    for row in rows(as_announced[:number]).values():
        if row.expected is None or row.waiting is None:
            continue
        parts = (row.waiting, row.ready, row.running, row.succeeded, row.failed, row.blocked)
        assert sum(parts) + row.skipped + row.lost == row.expected, row


def test_before_the_first_event_the_plan_is_shown(events: list[Event]) -> None:
    """Everything is waiting; where only the run will tell, nothing is said."""
    found = rows([])
    assert (found["bias"].expected, found["bias"].waiting) == (3, 3)
    assert (found["stack"].expected, found["stack"].waiting) == (None, None)


def test_steps_that_concern_headers_only_are_shown_where_something_failed(
    events: list[Event],
) -> None:
    """They have no tasks, so there is nothing to count otherwise."""
    assert list(rows(events)) == ["bias", "flat", "stack"]


def test_tasks_beyond_the_workers_are_ready_and_not_running() -> None:
    """A worker has one more in hand than it can do at once."""
    found = rows(
        [
            RunStarted("r", 0.0, ("load", "bias"), ("a", "b", "c"), 2),
            *(TaskSubmitted("bias", n, 0, (name,), 1.0) for n, name in enumerate("abc")),
        ]
    )
    assert (found["bias"].ready, found["bias"].running, found["bias"].waiting) == (1, 2, 0)


def test_a_master_that_is_made_is_no_image_that_passed() -> None:
    """Its seconds count for the step."""
    state = fold_all(
        [
            RunStarted("r", 0.0, ("load", "bias"), ("a", "b"), 2),
            TaskFinished("bias master", 0, 0, ("a", "b"), "w", 1.0, (("bias", 1.0, 1),), 2.0),
        ]
    )
    assert (state.steps["bias"].done, state.steps["bias"].seconds) == (0, 1.0)


def test_images_that_were_done_before_were_through_the_steps_before_too() -> None:
    """A run notes them once, at the last step that an earlier run had done."""
    done = Record(("a", "b"), Status.SKIPPED, "flat", "done before")
    found = rows([RunStarted("r", 0.0, ("bias", "flat"), ("a", "b", "c")), RecordAdded(done, 1.0)])
    assert [(row.skipped, row.waiting) for row in found.values()] == [(2, 1), (2, 1), (0, None)]


def test_what_was_under_way_when_a_run_was_killed_is_not_done(events: list[Event]) -> None:
    """Nothing runs where the driver is gone."""
    state = fold_all(events[:5])
    assert sum(row.ready + row.running for row in step_rows(state, PLAN)) > 0
    for row in step_rows(state, PLAN, over=True):
        assert row.ready == row.running == 0
        if row.expected is not None:
            assert row.waiting == row.expected - row.succeeded - row.failed
