"""Folds the records of a run into one status for each raw frame, so that the counts add up."""

from __future__ import annotations

from collections.abc import Iterable

from mirar_dask.data import Dataset
from mirar_dask.processors.base.core import names_of
from mirar_dask.processors.base.outcome import Record, Status

_WORST_FIRST = (Status.LOST, Status.FAILED, Status.BLOCKED)


def frame_statuses(
    frames: Iterable[str], records: Iterable[Record], dataset: Dataset
) -> dict[str, Status]:
    """Tell what became of each raw frame.

    A frame of which something failed has failed. One that arrived at the end, alone or in a
    stack, succeeded, with caveats if there are any. Any other was set aside.

    Parameters
    ----------
    frames : iterable of str
        Names of all raw frames; those that only records mention are added.
    records : iterable of Record
        Everything that happened.
    dataset : Dataset
        What arrived.
    """
    mentioned: dict[str, set[Status]] = {name: set() for name in frames}
    for record in records:
        for name in record.names:
            mentioned.setdefault(name, set()).add(record.status)
    arrived = {name for batch in dataset for name in names_of(batch)}
    return {name: _status(seen, name in arrived) for name, seen in mentioned.items()}


def _status(seen: set[Status], arrived: bool) -> Status:
    for status in _WORST_FIRST:
        if status in seen:
            return status
    if not arrived and Status.SKIPPED in seen:
        return Status.SKIPPED
    if not arrived:
        return Status.SET_ASIDE
    return Status.CAVEATS if Status.CAVEATS in seen else Status.SUCCEEDED
