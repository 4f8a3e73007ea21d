"""What is written to be read again comes back as it was."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirar_dask.data.metering import Meter
from mirar_dask.engine.events import Event, RecordAdded, RunEnded, TaskFinished, TaskLost
from mirar_dask.engine.journal import Journal, read_events
from mirar_dask.engine.remembered import _to_value, plain
from mirar_dask.errors import printable
from mirar_dask.json_files import LARGEST, has_form
from mirar_dask.paths import safe_component
from mirar_dask.processors.base.outcome import Record, Status

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
NAMES = st.lists(TEXTS, max_size=3).map(tuple)
COUNTS = st.integers(0, 2**62)
SECONDS = st.floats(0, LARGEST, exclude_max=True)
METERS = st.builds(
    Meter,
    read=st.dictionaries(TEXTS, COUNTS, max_size=2),
    written=st.dictionaries(TEXTS, COUNTS, max_size=2),
    read_seconds=SECONDS,
    write_seconds=SECONDS,
)
RECORDS = st.builds(
    Record, names=NAMES, status=st.sampled_from(Status), step=TEXTS, reason=TEXTS, report=st.none()
)
TIMES = st.lists(st.tuples(TEXTS, SECONDS, COUNTS), max_size=3).map(tuple)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(RecordAdded, record=RECORDS, time=SECONDS),
    st.builds(
        RunEnded, counts=st.dictionaries(TEXTS, COUNTS, max_size=3), seconds=SECONDS, time=SECONDS
    ),
    st.builds(
        TaskFinished,
        *(TEXTS, COUNTS, COUNTS, NAMES, TEXTS, SECONDS, TIMES, SECONDS),
        meter=METERS,
        batch=TEXTS,
        log=NAMES,
    ),
    st.builds(TaskLost, TEXTS, COUNTS, COUNTS, NAMES, TEXTS, st.booleans(), SECONDS),
)


@given(st.lists(EVENTS, max_size=4))
def test_a_journal_gives_back_what_was_announced(
    tmp_path_factory: pytest.TempPathFactory, events: list[Event]
) -> None:
    """Every event, in its order."""
    path: Path = tmp_path_factory.getbasetemp() / "journal.jsonl"
    path.unlink(missing_ok=True)
    with Journal(path) as journal:
        for event in events:
            journal(event)
    assert list(read_events(path)) == events


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXTS
    | st.sampled_from([np.float32(1.5), np.int16(-3), np.bool_(True), np.float64("nan")]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(TEXTS, inner, max_size=3)
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float | np.floating) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other)


@given(VALUES)
def test_remembered_values_come_back_exactly(value: Any) -> None:
    """Types included: rows of tables are compared with what a run without an interruption has."""
    assert same(_to_value(plain(value)), value)


@given(st.text(max_size=400))
def test_any_name_is_one_component_of_a_path_and_stays_what_it_became(name: str) -> None:
    """It leads nowhere, is not hidden, fits, and can be given to a terminal."""
    safe = safe_component(name)
    assert safe not in ("", ".", "..")
    assert not {"/", "\\", "\0", "\n", "\x1b"} & set(safe)
    assert safe[0] not in ".-"
    assert len(safe.encode()) <= 200
    assert Path("folder", safe).parent == Path("folder")
    assert safe_component(safe) == safe
    assert "\x1b" not in printable(name)
    printable(name).encode()


@given(VALUES)
def test_only_what_has_a_form_is_said_to_have_it(value: Any) -> None:
    """Whatever is looked at, the answer is yes or no."""
    for form in (
        int,
        float,
        str,
        None,
        list[int],
        tuple[str, int],
        dict[str, float],
        Record,
        Meter,
    ):
        assert has_form(value, form) in (True, False)
