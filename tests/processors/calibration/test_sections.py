"""Sections of headers: IRAF's notation, and how headers say that there is none."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirar_dask.errors import ProcessorError
from mirar_dask.processors.sections import Section, SectionError, header_section, parse_section

SHAPE = (100, 200)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1:200,1:100]", (0, 100, 0, 200)),
        ("[11:20,3:4]", (2, 4, 10, 20)),
        (" [ 11 : 20 , 3 : 4 ] ", (2, 4, 10, 20)),
        ("[20:11,4:3]", (2, 4, 10, 20)),
        ("[*,5:9]", (4, 9, 0, 200)),
        ("[7,*]", (0, 100, 6, 7)),
        ("11:20,3:4", (2, 4, 10, 20)),
    ],
)
def test_x_comes_first_and_both_ends_are_included(text: str, expected):
    """From 1; a reversed range is the same pixels."""
    assert parse_section(text, SHAPE) == Section(*expected)


@pytest.mark.parametrize(
    "text", [None, "", "  ", "N/A", "n/a", "UNKNOWN", "none", "[0:0,0:0]", "[0,0]", float("nan")]
)
def test_a_value_that_says_nothing_is_no_section(text):
    """Whatever a camera writes for it."""
    assert parse_section(text, SHAPE) is None


@pytest.mark.parametrize(
    "text", ["nonsense", "[1:2]", "[1:2,3:4,5:6]", "[a:b,1:2]", "[1:10:2,1:5]", "[1.5:3,1:2]", 7]
)
def test_nonsense_is_one_clear_error(text):
    """With the text found and the form expected."""
    with pytest.raises(SectionError, match=re.escape(f"'{text}' is no section: expected [x1:x2")):
        parse_section(text, SHAPE)


@pytest.mark.parametrize(
    ("text", "axis", "size"),
    [("[1:201,1:100]", "x", 200), ("[1:200,0:100]", "y", 100), ("[-3:5,1:1]", "x", 200)],
)
def test_a_section_outside_of_the_image_is_an_error(text: str, axis: str, size: int):
    """With the axis and its range."""
    with pytest.raises(SectionError, match=f"outside of the image: {axis} goes from 1 to {size}"):
        parse_section(text, SHAPE)


def test_an_error_names_the_image_and_the_key(make_image):
    """It is a processor's error, and a ValueError."""
    image = make_image(np.ones((3, 4), "f4"), BIASSEC="[1:9,1:3]")
    with pytest.raises(SectionError, match=r"BIASSEC of 'a\.fits': '\[1:9,1:3\]' is outside"):
        header_section(image, "BIASSEC")
    assert issubclass(SectionError, ProcessorError)
    assert issubclass(SectionError, ValueError)
    assert header_section(image, "TRIMSEC") is None


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 100), st.integers(1, 100))
def test_a_section_has_the_pixels_that_it_names(x1: int, x2: int, y1: int, y2: int):
    """For all ranges inside of the image."""
    section = parse_section(f"[{x1}:{x2},{y1}:{y2}]", SHAPE)
    assert section is not None
    y, x = np.indices(SHAPE) + 1
    part_x, part_y = x[section.slices], y[section.slices]
    assert section.shape == part_x.shape == (abs(y2 - y1) + 1, abs(x2 - x1) + 1)
    assert (part_x.min(), part_x.max()) == (min(x1, x2), max(x1, x2))
    assert (part_y.min(), part_y.max()) == (min(y1, y2), max(y1, y2))
