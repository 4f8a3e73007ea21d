"""The form that files of a run's folder must have to be believed, for all who read them.

What else they hold is not looked at; a file of another form counts as not there.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

from mirar_dask.json_files import read_object
from mirar_dask.monitoring.run_folder import ENDING, PLAN, SUMMARY
from mirar_dask.processors.base.outcome import Status


class FailureForm(TypedDict):
    """What a summary says of a failure."""

    frames: list[str]
    status: Status
    step: str
    reason: str


class _SummaryMore(TypedDict, total=False):
    """What only reports show."""

    cluster: str
    folders: dict[str, str]
    software: dict[str, str]


class SummaryForm(_SummaryMore):
    """A summary."""

    started: str
    seconds: float
    counts: dict[str, int]
    failures: list[FailureForm]
    products: list[str]
    phases: dict[str, float]


class _Named(TypedDict):
    name: str


class PlanStepForm(_Named, total=False):
    """What a plan says of a step."""

    form: str
    processor: str
    description: str
    works_on: str
    parameters: dict[str, Any]
    segment: int
    batches: int | None
    images: int | None
    work: int | None
    set_aside: int


class PlanBatchForm(TypedDict, total=False):
    """What a plan says of a batch."""

    name: str
    members: list[str]
    steps: list[str]


class PlanMasterForm(TypedDict, total=False):
    """What a plan says of a master."""

    step: str
    name: str
    frames: list[str]
    used_by: int
    made: bool


class PlanForm(TypedDict, total=False):
    """A plan."""

    frames: int
    steps: list[PlanStepForm]
    batches: list[PlanBatchForm]
    masters: list[PlanMasterForm]
    late: list[str] | str


class EndingForm(TypedDict):
    """What is said of a run that did not come to its end."""

    why: str


def read_summary(folder: Path) -> dict[str, Any] | None:
    """Return the summary in a run's folder; None if there is none that can be understood."""
    found = read_object(folder / SUMMARY, SummaryForm)
    return found if found is not None and moment_of(found["started"]) else None


def read_plan(folder: Path) -> dict[str, Any] | None:
    """Return the plan in a run's folder; None if there is none, or it is half there."""
    return read_object(folder / PLAN, PlanForm)


def read_why(folder: Path) -> str:
    """Return what ended a run that did not come to its end; empty if its folder does not say."""
    found = read_object(folder / ENDING, EndingForm)
    return "" if found is None else str(found["why"])


def moment_of(text: str) -> datetime | None:
    """Return the time that a text is, in UTC if it says nothing else; None if it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
