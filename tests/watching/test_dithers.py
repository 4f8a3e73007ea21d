"""Which exposures are stacked together, and when."""

from __future__ import annotations

import pytest

from mirar_dask.watching.dithers import Dithers, Place, place_of


def header(number: object, of: object = 3, **others: object) -> dict[str, object]:
    return {"TARGET": "M13", "FILTER": "r", "DITHNUM": number, "NUMDITHS": of, **others}


def place(number: int, of: int = 3, target: str = "M13") -> Place:
    found = place_of(header(number, of, TARGET=target))
    assert found is not None
    return found


def test_a_set_is_complete_when_all_its_numbers_have_come():
    """In whatever order they come, and counted from 0 or from 1."""
    dithers = Dithers(60)
    for number in (2, 0, 1):
        assert dithers.due(10) == []
        dithers.add(f"f{number}", place(number), 10)
    (found,) = dithers.due(10)
    assert found.names == ("f0", "f1", "f2")
    assert found.complete
    assert dithers.due(1000) == []


def test_an_incomplete_set_waits_for_a_while():
    """Counted from the last frame that came."""
    dithers = Dithers(60)
    dithers.add("f1", place(1), 0)
    dithers.add("f2", place(2), 50)
    assert dithers.due(100) == []
    assert dithers.waiting == 1
    (found,) = dithers.due(110)
    assert found.names == ("f1", "f2")
    assert not found.complete


def test_sets_of_other_targets_do_not_mix():
    """Nor those of other filters, exposure times and numbers of exposures."""
    dithers = Dithers(60)
    dithers.add("a1", place(1, 2), 0)
    dithers.add("b1", place(1, 2, "M57"), 0)
    dithers.add("b2", place(2, 2, "M57"), 0)
    (found,) = dithers.due(0)
    assert found.names == ("b1", "b2")


def test_a_number_that_comes_again_begins_the_next_set():
    """The one before will not be complete any more."""
    dithers = Dithers(60)
    dithers.add("f1", place(1), 0)
    dithers.add("g1", place(1), 1)
    (found,) = dithers.due(1)
    assert found.names == ("f1",)
    dithers.add("g1", place(1), 2)  # the same frame, written anew
    assert dithers.due(2) == []


def test_a_frame_that_failed_counts_as_arrived():
    """The others are stacked without it, and without waiting."""
    dithers = Dithers(60)
    dithers.add("f1", place(1, 2), 0, good=False)
    dithers.add("f2", place(2, 2), 0)
    (found,) = dithers.due(0)
    assert found.names == ("f2",)
    dithers.add("g1", place(1, 2), 0, good=False)
    dithers.add("g2", place(2, 2), 0, good=False)
    assert dithers.due(0) == []


@pytest.mark.parametrize(("number", "of"), [(1, 1), (1, "many"), ("", 5), (1, None)])
def test_a_header_may_tell_of_no_set(number: object, of: object):
    """A single exposure is no set."""
    assert place_of(header(number, of)) is None
    assert place_of({"TARGET": "M13"}) is None
