"""The state of a run is a pure fold of its events."""

from __future__ import annotations

from mirar_dask.engine.events import Event, RecordAdded, RunStarted, TaskSubmitted
from mirar_dask.monitoring.state import KEPT_FAILURES, RunState, fold, fold_all
from mirar_dask.processors.base.outcome import Record, Status


def test_the_end_of_a_run_has_its_figures(events: list[Event]):
    """Blocks, failures and seconds by step, tasks done and lost, counts of frames."""
    state = fold_all(events)
    assert state.ended
    assert (state.n_frames, state.workers, state.seconds) == (3, 2, 2.0)
    assert (state.tasks_done, state.tasks_lost) == (3, 1)
    assert list(state.steps) == ["load", "bias", "flat"]
    assert (state.steps["bias"].done, state.steps["flat"].done) == (3, 2)
    assert (state.steps["flat"].failed, state.steps["bias"].caveats) == (1, 1)
    assert abs(state.steps["flat"].seconds - 0.9) < 1e-9
    assert state.counts == {"succeeded": 1, "succeeded with caveats": 1, "failed": 1}


def test_frames_under_way_are_counted_at_each_step_of_their_task(events: list[Event]):
    """A task of several steps runs in all of them; a lost one runs in none until it is retried."""
    assert fold_all(events[:5]).steps["flat"].running == 3
    assert fold_all(events[:6]).steps["flat"].running == 2
    assert fold_all(events[:7]).steps["flat"].running == 3
    after = fold_all(events[:11])
    assert (after.steps["flat"].running, dict(after.in_flight)) == (0, {})


def test_folding_changes_no_state_that_was_there_before(events: list[Event]):
    """Each state is a value: a display may keep one while the run goes on."""
    states = [RunState()]
    for event in events:
        states.append(fold(states[-1], event))
    again = [RunState()]
    for event in events:
        again.append(fold(again[-1], event))
    assert states == again


def test_only_the_last_failures_are_kept_and_all_are_counted():
    """A night of ten thousand failures does not make the state grow."""
    records = [Record((f"{i}.fits",), Status.FAILED, "flat", "no flat") for i in range(100)]
    start: Event = RunStarted("r", 0.0, ("flat",), ())
    state = fold_all([start, *(RecordAdded(record, 1.0) for record in records)])
    assert state.failures == tuple(records[-KEPT_FAILURES:])
    assert (state.n_failures, state.steps["flat"].failed) == (100, 100)


def test_a_step_that_the_start_did_not_name_is_shown_all_the_same():
    """A configuration may gain steps on the way."""
    record = Record(("a.fits",), Status.SET_ASIDE, "select", "OBSCLASS is 'bias'")
    state = fold_all([RunStarted("r", 0.0, ("load",), ()), RecordAdded(record, 1.0)])
    assert state.steps["select"].set_aside == 1


def test_a_caveat_about_the_night_as_a_whole_is_no_step():
    """It is counted, and adds no line to the table of steps."""
    record = Record((), Status.CAVEATS, "plan", "no bias frames in this night")
    state = fold_all([RunStarted("r", 0.0, ("load",), ()), RecordAdded(record, 1.0)])
    assert (list(state.steps), state.n_caveats) == (["load"], 1)


def test_a_label_with_a_step_unknown_so_far_is_no_error():
    """Labels may name more than steps."""
    state = fold(RunState(), TaskSubmitted("master of r", 1, 1, ("a",), 0.0))
    assert (dict(state.steps), len(state.in_flight)) == ({}, 1)
