"""What became of the blocks in one step: kept, set aside, failed, with the reason.

Every engine and `BaseProcessor.base_apply` speak in these records; only text and numbers are in
them, so they cross processes as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mirar_dask.data import DataBatch, Dataset
from mirar_dask.errors import ErrorReport, ErrorStack


class Status(StrEnum):
    """What became of a frame, an image or a batch."""

    SUCCEEDED = "succeeded"
    CAVEATS = "succeeded with caveats"
    FAILED = "failed"
    BLOCKED = "blocked"
    SET_ASIDE = "set aside"
    SKIPPED = "skipped"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened to some frames in one step."""

    names: tuple[str, ...]
    """Names of the raw frames concerned."""
    status: Status
    """What became of them there."""
    step: str
    """Name of the step."""
    reason: str
    """One sentence."""
    report: ErrorReport | None = None
    """The error behind it, rendered to text."""


Row = dict[str, Any]
"""A row of a night's table: column to value."""


@dataclass(slots=True)
class Processed:
    """What a step made of one batch."""

    batch: DataBatch | None
    """The batch after the step; None if it was lost."""
    records: list[Record] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    """Rows for the night's table of this step."""


@dataclass(slots=True)
class Stepped:
    """What a step made of a dataset."""

    dataset: Dataset
    records: list[Record] = field(default_factory=list)


def error_stack(records: list[Record]) -> ErrorStack:
    """Collect the error reports of records, in their order."""
    stack = ErrorStack()
    for record in records:
        if record.report is not None:
            stack.add_report(record.report)
    return stack


_caveats: ContextVar[list[tuple[tuple[str, ...], str]] | None] = ContextVar("caveats", default=None)


@contextmanager
def collect_caveats() -> Iterator[list[tuple[tuple[str, ...], str]]]:
    """Gather what `note_caveat` is told inside the block, as (names, reason)."""
    found: list[tuple[tuple[str, ...], str]] = []
    token = _caveats.set(found)
    try:
        yield found
    finally:
        _caveats.reset(token)


def note_caveat(names: tuple[str, ...], reason: str) -> bool:
    """Tell the collector around this call; False if there is none."""
    found = _caveats.get()
    if found is None:
        return False
    found.append((names, reason))
    return True
