"""The journal of a run: every event as one line of JSON, appended as it happens.

Whoever sees the folder can follow a run, or read what became of one that crashed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, get_args

from mirar_dask.data.metering import Meter
from mirar_dask.engine.events import Event, RecordAdded
from mirar_dask.errors import ErrorReport
from mirar_dask.json_files import has_form, object_of
from mirar_dask.processors.base.outcome import Record, Status

KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}
"""Events by the name that a line gives them."""


class Journal:
    """Writes events to a file; use it as a listener and as a context manager.

    Parameters
    ----------
    path : Path
        The file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Line-buffered: a driver that is killed leaves whole lines and at most one torn one.
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def __call__(self, event: Event) -> None:
        """Append one event."""
        line = {"event": type(event).__name__, **as_json(event)}
        self._file.write(json.dumps(line, allow_nan=False, default=str) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


def as_json(value: Any) -> Any:
    """Turn an event into what JSON knows; error reports become their text."""
    if isinstance(value, ErrorReport):
        return {
            "error": value.error_name,
            "message": value.message,
            "files": list(value.contents),
            "traceback": value.generate_full_traceback(),
        }
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: as_json(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, float) and value != value:  # JSON has no NaN
        return None
    return value


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Read the events of a journal; a line that was torn by a crash is passed over."""
    with path.open("rb") as file:
        for line in file:
            entry = object_of(line)
            if entry is not None and isinstance(entry.get("event"), str):
                yield entry


def read_events(path: Path) -> Iterator[Event]:
    """Read the events of a journal as they were announced, but for the reports of errors.

    Lines of another version of this package that say too little, or something unknown, are passed
    over: whoever looks at an old run sees what can be understood of it.
    """
    for entry in read_journal(path):
        kind = KINDS.get(entry["event"])
        if kind is None or not has_form(entry, _form_of(kind)):
            continue
        known = {part.name for part in fields(kind)}
        try:
            yield kind(**{name: _value(name, entry[name]) for name in known & entry.keys()})
        except TypeError:  # it says too little
            continue


def _form_of(kind: type[Event]) -> Any:
    return _RecordLine if kind is RecordAdded else kind


class RecordForm(TypedDict):
    """What a journal says of a record."""

    names: tuple[str, ...]
    status: Status
    step: str
    reason: str


class _RecordLine(TypedDict):
    record: RecordForm
    time: float


def read_record(entry: dict[str, Any]) -> Record:
    """Make a record of what a journal holds of it; the report of its error stays text.

    Raises
    ------
    ValueError
        If that is no record.
    """
    if not has_form(entry, RecordForm):
        raise ValueError("a journal tells of a record in another form")
    return Record(tuple(entry["names"]), Status(entry["status"]), entry["step"], entry["reason"])


def _value(name: str, value: Any) -> Any:
    """Turn what JSON knows into the value of a field of an event."""
    if name == "record":
        return read_record(value)
    if name == "meter":
        return Meter(**value)
    return _tuples(value)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
