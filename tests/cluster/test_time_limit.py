"""A run knows when its job will be ended, and what to do before."""

from __future__ import annotations

import time

import pytest

from mirar_dask.cluster.time_limit import STOPPED, VARIABLE, TimeLimit
from mirar_dask.processors.base.outcome import Record, Status


def limit_in(seconds: float, *put_off: float | None) -> tuple[TimeLimit, list[None]]:
    """Return a limit so many seconds ahead, and the list that grows when the queue is asked."""
    answers, asked = list(put_off), []

    def ask() -> float | None:
        asked.append(None)
        return answers.pop(0) if answers else None

    return TimeLimit(time.time() + seconds, 60.0, ask), asked


def test_nothing_is_asked_while_there_is_time() -> None:
    """A queue system that many share is left alone."""
    limit, asked = limit_in(100)
    assert limit.stopping() is None
    assert limit.ending() is None
    assert not limit.stopped
    assert not asked


def test_nothing_new_is_begun_within_the_margin() -> None:
    """What is under way has half of it to come to its end; the queue is asked once."""
    limit, asked = limit_in(50)
    assert limit.stopping() == STOPPED
    assert limit.stopping() == STOPPED
    assert limit.ending() is None
    assert len(asked) == 1
    limit.ends = time.time() + 20
    assert "still under way" in (limit.ending() or "")


def test_a_job_that_was_given_more_time_goes_on() -> None:
    """The queue system is believed."""
    limit, _ = limit_in(50, time.time() + 500)
    assert limit.stopping() is None
    assert limit.ending() is None
    limit, _ = limit_in(50, time.time() + 55)
    assert limit.stopping() == STOPPED


def test_long_tasks_are_ended_though_the_engine_asked_nothing() -> None:
    """The engine asks between tasks; one of them may last longer than what is left."""
    limit, _ = limit_in(20)
    assert "still under way" in (limit.ending() or "")
    assert limit.stopped


@pytest.mark.parametrize("said", [None, "", "ask"])
def test_without_a_job_there_is_no_limit(said: str | None) -> None:
    """Nor where nobody knows it."""
    assert TimeLimit.here({VARIABLE: said} if said is not None else {}) is None


def test_a_script_that_somebody_else_submitted_tells_the_limit_too() -> None:
    """Whatever the queue system."""
    limit = TimeLimit.here({VARIABLE: str(time.time() + 600)})
    assert limit is not None
    assert limit.margin == pytest.approx(60, abs=1)


def test_a_run_that_had_nothing_left_to_do_was_not_cut_short() -> None:
    """Its last tasks came back in time."""
    limit, _ = limit_in(50)
    assert limit.stopping()
    assert not limit.cut_short([])
    assert limit.cut_short([Record((), Status.BLOCKED, "run", STOPPED)])
