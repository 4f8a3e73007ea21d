"""What is written to be read again comes back as it was."""

from __future__ import annotations

import math
import pickle
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirar_dask.data.header_files import content_of, header_of
from mirar_dask.data.headers import pack_header
from mirar_dask.data.metering import Meter
from mirar_dask.engine.events import Event, RecordAdded, RunEnded, TaskFinished, TaskLost
from mirar_dask.engine.journal import Journal, read_events
from mirar_dask.engine.remembered import _to_value, plain
from mirar_dask.errors import printable
from mirar_dask.io.headers import parse_header
from mirar_dask.json_files import LARGEST, has_form
from mirar_dask.paths import safe_component
from mirar_dask.processors.base.outcome import Record, Status

from .junk import EDITS, altered, damaged, json_bytes
from .test_fits_files import CARDS

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


CARD_VALUES = (
    st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=100)
    | st.none()
    | st.sampled_from([1 + 2j, np.float32(1.1), np.int16(-3), np.uint8(200)])
)


@given(
    set_values=st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9]{0,6}", fullmatch=True), CARD_VALUES),
    raw=st.lists(CARDS, max_size=4),
)
def test_headers_come_back_from_files_as_they_travel(
    set_values: dict[str, Any], raw: list[bytes]
) -> None:
    """To the last bit: their hash is part of what tells whether work is done already."""
    header = parse_header(b"".join(raw))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about long keywords and values
        for key, value in set_values.items():
            header[key] = value
        packed = pack_header(header)
    content = content_of(packed)
    assert content is not None
    again = header_of(content)
    assert again == packed
    assert again.digest == packed.digest


@given(
    value=altered(["x" * 80, [], [[0, ["A", 1, ""]], [1, [[["_value", {"undefined": 0}]]]]]]),
    edits=st.none() | EDITS,
)
@example(value=["", [], [[0, ["A", [pickle.dumps(1).decode("latin-1")], ""]]]], edits=None)
@example(value=["", [], [[0, ["A", {"numpy": ["O", "AAAAAAAAAAA="]}, ""]]]], edits=None)
def test_a_forged_header_of_a_file_is_refused_or_plain(value: Any, edits: Any) -> None:
    """No pickle, no object, no code comes out of it, however it is made."""
    content = zlib.compress(json_bytes(value))
    try:
        header = header_of(content if edits is None else damaged(content, edits))
    except ValueError:
        return
    for _, record in header.payload()[2]:
        values = [v for _, v in record[0]] if len(record) == 1 else record
        assert all(type(v) is not tuple or len(v) in (0, 2) for v in values)
        assert not any(isinstance(v, list) for v in values)


def test_a_header_that_inflates_without_end_is_refused() -> None:
    """A kilobyte can stand for a megabyte a thousand times over."""
    with pytest.raises(ValueError, match="does not end"):
        header_of(zlib.compress(b" " * (1 << 27)))


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
