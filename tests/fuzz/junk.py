"""Strategies: values that no file should hold, and files of ours with such values in them."""

from __future__ import annotations

import copy
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st

SECONDS = 30
"""No reader takes so long, on a loaded machine either."""


@contextmanager
def limited() -> Iterator[None]:
    """Raise in what takes too long: a test alone would only learn of it in the end."""

    def give_up(number: int, frame: object) -> None:
        raise AssertionError(f"it was not done after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    left = signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(left)
        signal.signal(signal.SIGALRM, before)


ODD_TEXTS = st.sampled_from(
    [
        *("", "\0", "../../etc/passwd", "/", "~", "nan", "-1", "2026-99-99T00:00", "[bold]x[/]"),
        *("<script>", "%s{0}", "a\nb", "\x1b[31m", "\ud800", "x" * 5000, "9" * 5000, "\u202e"),
    ]
)
NUMBERS = st.one_of(
    st.sampled_from([0, -1, 10**30, -(10**30), 2**63, 1e308, -1e308, 1e11, 0.5]),
    st.integers(),
    st.floats(),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, ODD_TEXTS, st.text(max_size=20))
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(ODD_TEXTS | st.text(max_size=8), inner, max_size=3),
    ),
    max_leaves=6,
)


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the ways to all parts of a value made of dictionaries and lists."""
    found = [here]
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        found += places(item, (*here, key))
    return found


@st.composite
def altered(draw: st.DrawFn, value: Any) -> Any:
    """Draw a value like another one, with some of its parts exchanged or gone."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        way = draw(st.sampled_from(places(value)))
        if not way:
            value = draw(JUNK)
            continue
        inner = value
        for key in way[:-1]:
            inner = inner[key]
        if draw(st.booleans()):
            inner[way[-1]] = draw(JUNK)
        else:
            del inner[way[-1]]
    return value


def json_bytes(value: Any) -> bytes:
    """Return a value as JSON, as careless programs write it (with NaN and lone surrogates)."""
    return json.dumps(value).encode()


EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from(["put", "over", "cut", "drop"]),
        st.binary(max_size=12)
        | st.sampled_from([b"\0", b"\n", b"NaN", b"-1", b"9" * 30, b"{" * 300]),
    ),
    min_size=1,
    max_size=4,
)
"""Where in a file (as a part of its length), what is done there, and with which bytes."""


def damaged(content: bytes, edits: list[tuple[float, str, bytes]]) -> bytes:
    """Return bytes with some of them exchanged, put in, or cut off."""
    found = bytearray(content)
    for part, what, piece in edits:
        at = int(part * len(found))
        if what == "put":
            found[at:at] = piece
        elif what == "over":
            found[at : at + len(piece)] = piece
        else:
            del found[at : None if what == "cut" else at + 7 * len(piece)]
    return bytes(found)
