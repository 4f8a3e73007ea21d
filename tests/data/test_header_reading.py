"""Values of cards are those that astropy tells."""

from __future__ import annotations

import math
import warnings

import pytest
from astropy.io.fits import Card, Header
from astropy.io.fits.verify import VerifyError, VerifyWarning
from hypothesis import given
from hypothesis import strategies as st

from mirar_dask.data.header_reading import UNCLEAR, plain_value, read_value

TEXTS = [
    "'M 31    '           / what", "'O''Brien'", "''", "'        '", "'a/b' / c", "'''' ", "'a'b",
    "'AXIS.1: 2.5'", "'goes on&'", "T", "F / no", "U", "12", "-0", "+7", "007", "1_0", "3.", ".5",
    "-3.25E-02 / K", "1.5e3", "1.5D3", "1E5", "0.1 + 2", "1 2", "(1.0, 2.0)", "", "/ nothing",
    "nan", "99999999999999999999", "2.0E400", "   T", "T        / late", "'no end", "12/2",
]  # fmt: skip


def told_by_astropy(image: str) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VerifyWarning)
        try:
            return Card.fromstring(image).value
        except VerifyError:
            return UNCLEAR


def same(one: object, other: object) -> bool:
    both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one + other)
    return both_nan or (type(one) is type(other) and one == other)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("indent", ["", "  ", " " * 15])
def test_a_value_is_that_of_astropy_or_left_to_it(text: str, indent: str):
    """Of every form that a value may have, odd ones included."""
    image = f"{'KEY     = ' + indent + text:80}"
    value = plain_value(image)
    assert value is UNCLEAR or same(value, told_by_astropy(image))


def test_what_cameras_write_is_plain():
    """Else nothing would be won."""
    plain = {"'M 31    '": "M 31", "T": True, "12": 12, "-3.25E-02 / K": -0.0325, "3.": 3.0}
    assert {text: plain_value(f"{'KEY     = ' + text:80}") for text in plain} == plain


@given(st.text("'/ TF0123456789.+-E:&aB", max_size=30))
def test_no_text_has_another_value_than_astropy_says(text: str):
    """Whatever stands behind the equals sign."""
    image = f"{'KEY     = ' + text:80}"
    value = plain_value(image)
    assert value is UNCLEAR or same(value, told_by_astropy(image))


def test_a_header_is_read_as_astropy_reads_it():
    """Cards that were read, set and changed; twice the same; long, commentary, missing keys."""
    cards = ["OBJECT  = 'M 31    '", "GAIN    =   1.5 / e", "GAIN    =   2.5", "HISTORY made"]
    header = Header.fromstring("".join(f"{card:80}" for card in cards))
    header["EXPTIME"] = 30
    header["NOTE"] = ("text  ", "kept")
    header["EMPTY"] = None
    header["LONGTEXT"] = "x" * 100
    header["HIERARCH a long key"] = 3
    header["OBJECT"] = "M 33"
    header["DP1"] = "AXIS.1: 2"
    other = header.copy()
    for key in (*header.keys(), "object", "DP1.AXIS.1", "A LONG KEY"):
        assert str(read_value(header, key)) == str(other[key])
        assert type(read_value(header, key)) is type(other[key])
    with pytest.raises(KeyError, match="NIX"):
        read_value(header, "NIX")
