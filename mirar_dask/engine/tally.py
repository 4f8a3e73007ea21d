"""Folds the records of a run into one status for each raw frame, so that the counts add up."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from mirar_dask.data import Dataset
from mirar_dask.processors.base.blocks import names_of
from mirar_dask.processors.base.outcome import Record, Status

_WORST_FIRST = (Status.LOST, Status.FAILED, Status.BLOCKED)

STOPPED = Record((), Status.BLOCKED, "run", "stopped after the first failure")
"""Why frames of a run that was told to fail fast came no further."""


def stopped_for(reason: str) -> Record:
    """Return the record that says why frames of a run that was stopped came no further."""
    return Record((), Status.BLOCKED, "run", reason)


def frame_statuses(
    frames: Iterable[str],
    records: Iterable[Record],
    dataset: Dataset,
    *,
    stopped: bool = False,
    worked: Collection[str] = (),
) -> dict[str, Status]:
    """Tell what became of each raw frame.

    A frame of which something failed has failed. One that arrived at the end, alone or in a
    stack, succeeded, with caveats if there are any. Any other was set aside, or, where the run was
    stopped and nothing says that it was set aside, blocked.

    Parameters
    ----------
    frames : iterable of str
        Names of all raw frames; those that only records mention are added.
    records : iterable of Record
        Everything that happened.
    dataset : Dataset
        What arrived.
    stopped : bool
        The run was stopped before all batches had come to the end.
    worked : collection of str
        Frames for which something was done; any other that an earlier run did was skipped.
    """
    mentioned: dict[str, set[Status]] = {name: set() for name in frames}
    for record in records:
        for name in record.names:
            mentioned.setdefault(name, set()).add(record.status)
    arrived = {name for batch in dataset for name in names_of(batch)}
    for name in worked:
        mentioned.get(name, set()).discard(Status.SKIPPED)
    return {name: _status(seen, name in arrived, stopped) for name, seen in mentioned.items()}


def any_failed(records: Iterable[Record]) -> bool:
    """Whether something failed or was lost, after which a run that fails fast ends."""
    return any(record.status in (Status.FAILED, Status.LOST) for record in records)


def _status(seen: set[Status], arrived: bool, stopped: bool) -> Status:
    for status in _WORST_FIRST:
        if status in seen:
            return status
    if Status.SKIPPED in seen and (arrived or Status.SET_ASIDE not in seen):
        return Status.SKIPPED
    if not arrived:
        return Status.BLOCKED if stopped and Status.SET_ASIDE not in seen else Status.SET_ASIDE
    return Status.CAVEATS if Status.CAVEATS in seen else Status.SUCCEEDED
