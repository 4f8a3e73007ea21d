"""Where the time of a run went, told from its events."""

from __future__ import annotations

import pytest

from mirar_dask.data.metering import Meter
from mirar_dask.engine.events import RunEnded, RunStarted, TaskFinished, TaskLost, WorkersCounted
from mirar_dask.monitoring.account import Account


def finished(seconds: float, meter: Meter) -> TaskFinished:
    return TaskFinished("bias", 1, 0, ("a.fits",), "w", seconds, (), 0.0, meter)


@pytest.fixture
def account() -> Account:
    """Of two workers that did two tasks of three seconds together."""
    account = Account()
    account(RunStarted("run", 0.0, ("bias",), ("a.fits", "b.fits"), workers=2))
    account(finished(2.0, Meter({"raw": 100}, {"cache": 40}, 0.5, 0.25)))
    account(finished(1.0, Meter({"raw": 100, "cache": 40}, {"products": 200}, 0.5, 0.75)))
    return account


def test_phases_of_the_reduction_add_up_to_its_time(account: Account):
    """Each is an average over the workers."""
    assert account.phases(2.0) == {"read": 0.5, "compute": 0.5, "write": 0.5, "idle": 0.5}


def test_bytes_of_all_tasks_are_added_up_by_kind(account: Account):
    """What was read and what was written apart."""
    assert account.meter.read == {"raw": 200, "cache": 40}
    assert account.meter.written == {"cache": 40, "products": 200}


def test_a_run_in_which_nothing_was_done_is_idle_time():
    """There is nothing to divide by."""
    assert Account().phases(1.0) == {"read": 0.0, "compute": 0.0, "write": 0.0, "idle": 1.0}


def test_losses_are_counted(account: Account):
    """Each attempt that was lost."""
    for attempt in (0, 1):
        account(TaskLost("bias", 1, attempt, ("a.fits",), "KilledWorker", attempt == 0, 0.0))
    assert account.lost == 2


def test_workers_that_come_later_are_counted():
    """The number told is the largest; averages are over those that were there at each time."""
    account = Account()
    account(RunStarted("run", 10.0, ("bias",), (), workers=1))
    account(WorkersCounted(4, 12.0))
    account(WorkersCounted(0, 14.0))
    account(finished(6.0, Meter()))
    account(RunEnded({}, 10.0, 20.0))
    assert account.workers == 4
    assert account.average == 1.0  # (2 s of one + 2 s of four) / 10 s
    assert account.phases(10.0)["compute"] == 6.0
