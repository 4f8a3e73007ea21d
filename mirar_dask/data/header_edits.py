"""Copies of headers, and texts set in them, at a fraction of what astropy needs for it.

Every step writes its history into the header of every image. Beside `headers` this is the only
module that knows the inside of astropy's ``Card`` and ``Header``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from astropy.io.fits import Card, Header

from mirar_dask.data.header_reading import COMMENTARY, LENGTH
from mirar_dask.data.headers import (
    SET_STATE,
    TravellingHeader,
    is_plain_keyword,
    is_plain_text,
    pack_payload,
)


def copy_header(header: Header) -> Header:
    """Return a header with cards of its own, in the state in which they are."""
    copied: Header = header.__class__.__new__(header.__class__)
    copied.__dict__.update(header.__dict__)
    copied._cards = [_copy_card(card) for card in header._cards]
    for name in ("_keyword_indices", "_rvkc_indices"):
        places = {keyword: list(found) for keyword, found in header.__dict__[name].items()}
        copied.__dict__[name] = defaultdict(list, places)
    return copied


def _copy_card(card: Card) -> Card:
    copied = card.__class__.__new__(card.__class__)
    copied.__dict__ = card.__dict__.copy()
    return copied


def put_texts(header: Header, texts: Mapping[str, str]) -> None:
    """Set texts as ``header[key] = text`` does for each.

    A card that is there keeps its place and comment. What is not plain is left to astropy.

    Parameters
    ----------
    header : Header
        Is changed.
    texts : mapping of str to str
        By keyword.
    """
    cards, indices = header._cards, header._keyword_indices
    for key, text in texts.items():
        if not is_plain_text(key, text):
            header[key] = text
        elif key in indices:
            state = cards[indices[key][0]].__dict__
            old = state["_value"]
            if type(old) is not str or state["_invalid"] or state["_field_specifier"]:
                header[key] = text
            elif old.rstrip() != text.rstrip():
                state.update(_value=text, **_CHANGED)
                header._modified = True
        elif cards and _is_ordinary(cards[-1]):
            indices[key].append(len(cards))
            cards.append(_new_card(key, text))
            header._modified = True
        else:  # it goes before blank and commentary cards at the end
            header[key] = text


def append_values(header: Header, values: Mapping[str, Any]) -> None:
    """Append cards with new keywords behind all others, as ``Header.extend`` does at the bottom.

    Parameters
    ----------
    header : Header
        Is changed.
    values : mapping of str to value
        By keyword, none of which the header has.
    """
    cards, indices = header._cards, header._keyword_indices
    for key, value in values.items():
        if _is_plain(key, value):
            indices[key].append(len(cards))
            cards.append(_new_card(key, value))
            header._modified = True
        else:
            header.append((key, value), end=True, bottom=True)


def _is_plain(key: str, value: Any) -> bool:
    if type(value) is str:
        return is_plain_text(key, value)
    finite = type(value) in (int, bool) or (type(value) is float and math.isfinite(value))
    return finite and is_plain_keyword(key)


_CHANGED = {
    "_rawvalue": None, "_modified": True, "_valuestring": None, "_valuemodified": True,
}  # fmt: skip


def _is_ordinary(card: Card) -> bool:
    keyword = card.__dict__["_keyword"]
    return keyword is not None and keyword not in COMMENTARY


def _new_card(key: str, value: Any) -> Card:
    card = Card.__new__(Card)
    card.__dict__ = {**SET_STATE, "_keyword": key, "_value": value}
    return card


def with_texts(header: TravellingHeader, texts: Mapping[str, str]) -> TravellingHeader | None:
    """Return a travelling header with texts set in it; None if it must be parsed for that.

    The cards are the same as if the header were unpacked, `put_texts` called, and packed again.

    Parameters
    ----------
    header : TravellingHeader
        Stays as it is.
    texts : mapping of str to str
        By keyword.
    """
    text, long_cards, set_cards = header.payload()
    places = {record[0]: n for n, (_, record) in enumerate(set_cards) if len(record) == 3}
    if long_cards or len(places) != len(set_cards) or not text.isascii():
        return None
    count = len(text) // LENGTH + len(set_cards)
    last, record = set_cards[-1] if set_cards else (-1, ("",))
    at_the_end = last == count - 1 and record[0] not in COMMENTARY
    upper, cards = text.upper(), list(set_cards)
    for key, value in texts.items():
        if key in upper or not is_plain_text(key, value):
            return None
        if key in places:
            place, (_, old, comment) = cards[places[key]]
            if type(old) is not str:
                return None
            if old.rstrip() != value.rstrip():
                cards[places[key]] = (place, (key, value, comment))
        elif at_the_end:
            cards.append((count, (key, value, "")))
            count += 1
        else:
            return None
    made = pack_payload((text, long_cards, tuple(cards)))
    made.seen = {**header.seen, **{key: value.rstrip() for key, value in texts.items()}}
    return made
