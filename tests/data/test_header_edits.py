"""Texts are set in headers as astropy sets them, parsed or packed; copies are independent."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io.fits import Header

from mirar_dask.data.header_edits import append_values, copy_header, put_texts, with_texts
from mirar_dask.data.headers import pack_header

TEXTS = {"CALSTEPS": "load,bias,", "PRODKEY": "0f1e", "REDTIME": "2026-03-14 20:00:00.1"}


def _header_from(*cards: str) -> Header:
    return Header.fromstring("".join(f"{card:80}" for card in cards))


def _plain() -> Header:
    header = _header_from("OBJECT  = 'M 31    '           / what", "GAIN    =                  1.5")
    header["CALSTEPS"] = ("load,", "steps")
    return header


def _commentary() -> Header:
    header = _plain()
    header["HISTORY"] = "made by hand"
    return header


def _blank() -> Header:
    header = _plain()
    header.append()
    return header


def _read() -> Header:
    return _header_from("CALSTEPS= 'load,   '           / steps", "PRODKEY =                    7")


def _long() -> Header:
    header = _plain()
    header["HIERARCH LONG KEYWORD"] = 3
    return header


HEADERS = [_plain, _commentary, _blank, _read, _long, Header]


@pytest.mark.parametrize("make", HEADERS)
@pytest.mark.parametrize("text", ["bias,", "a: 1.5", "x" * 100, " spaces "])
def test_texts_are_set_as_astropy_sets_them(make, text: str) -> None:
    """Place, comment and form of every card are the same."""
    texts = {**TEXTS, "NOTE": text}
    ours, theirs = make(), make()
    put_texts(ours, texts)
    for key, value in texts.items():
        theirs[key] = value
    assert ours.tostring() == theirs.tostring()
    assert list(ours.keys()) == list(theirs.keys())
    assert pack_header(ours) == pack_header(theirs)


def test_what_fits_does_not_know_is_refused_as_by_astropy() -> None:
    """Nothing but printable ASCII goes into a card."""
    with pytest.raises(ValueError, match="ASCII"):
        put_texts(_plain(), {"NOTE": "Å"})


@pytest.mark.parametrize("make", HEADERS)
def test_a_packed_header_changes_as_a_parsed_one(make) -> None:
    """Where a packed header takes texts unparsed, the cards are those of the other way."""
    packed = pack_header(make())
    header = packed.unpack()
    put_texts(header, TEXTS)
    found = with_texts(packed, TEXTS)
    assert found is None or found == pack_header(header)
    assert (found is not None) == (make is _plain)
    if found is not None:
        assert {key: found.get(key) for key in TEXTS} == TEXTS
        assert found.get("OBJECT") == "M 31"


def test_copies_are_independent() -> None:
    """What is set in a copy is not seen in the header, and the other way round."""
    header = _commentary()
    copied = copy_header(header)
    assert copied.tostring() == header.tostring()
    copied["OBJECT"], copied["NEW"] = "M 33", 1
    header["GAIN"] = 2.0
    assert (header["OBJECT"], copied["GAIN"], "NEW" in header) == ("M 31", 1.5, False)


@pytest.mark.parametrize("make", HEADERS)
def test_values_are_appended_as_astropy_appends_them(make) -> None:
    """Behind commentary and blank cards too, whatever their type."""
    values = {"GAIN2": 1.5, "COADDS": 1, "GOOD": True, "NOTE": "a: 1.5", "WORD": "x", "NONE": None}
    values |= {"WIDE": "x" * 100, "COUNT": np.int64(3), "REAL": np.float32(0.1)}
    ours, theirs = make(), make()
    append_values(ours, values)
    theirs.extend(values.items(), end=True, bottom=True)
    assert ours.tostring() == theirs.tostring()
    assert list(ours.keys()) == list(theirs.keys())
    assert pack_header(ours) == pack_header(theirs)
    with pytest.raises(ValueError, match=r"(?i)nan"):
        append_values(ours, {"BAD": float("nan")})
