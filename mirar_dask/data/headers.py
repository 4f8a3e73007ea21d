"""The form in which a header travels: small, without loss, parsed only where it is looked at.

The text of a card that nobody touched since it was read travels as it is; a card that was set in
memory travels as keyword, value and comment, values to the last bit. This module knows the
inside of astropy's ``Card`` (nothing public tells a card that was read from one that was set);
beside `header_edits` it is the only one that does.
"""

from __future__ import annotations

import functools
import hashlib
import marshal
import pickle
import re
import zlib
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from astropy.io.fits import Card, Header
from astropy.io.fits.card import UNDEFINED, Undefined

from mirar_dask.data.header_reading import COMMENTARY, LENGTH, UNCLEAR, plain_value

_EXACT = {str, int, float, bool, complex}
SCALARS = (str, int, float, complex, np.generic, type(None))
_PLAIN_KEY = re.compile(r"[A-Z0-9_-]{1,8}")
_MISSING = object()
_ABSENT = object()

Place = tuple[int, Any]
Payload = tuple[str, tuple[tuple[int, int], ...], tuple[Place, ...]]
"""Text of all untouched cards; place and length of the long ones; place and record of the set."""


class TravellingHeader:
    """A header in its compact form.

    Equal headers give equal objects, in every process. Safe to share: it never changes.
    """

    __slots__ = ("_digest", "_packed", "_payload", "seen")

    def __init__(self, packed: bytes | None, digest: bytes, payload: Payload | None = None) -> None:
        # One of the two is enough; what was made here is compressed when it leaves. The text of
        # its cards is shared by all headers that grew out of one another.
        self._packed = packed
        self._payload = payload
        self._digest = digest
        self.seen: dict[str, Any] = {}  # what was looked up

    def unpack(self) -> Header:
        """Return a new Header with the same cards."""
        text, long_cards, set_cards = self.payload()
        cards = [_text_card(image) for image in _images(text, long_cards, set_cards)]
        for place, record in set_cards:
            cards.insert(place, _set_card(record))
        return _header_of(cards)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of one key as ``Header.get`` does, without parsing the others."""
        value = self.seen.get(key, _MISSING)
        if value is _MISSING:
            value = self._find(key)
            if value is _ABSENT or isinstance(value, SCALARS):
                self.seen[key] = value
        return default if value is _ABSENT else value

    @property
    def digest(self) -> bytes:
        """Hash of the content."""
        return self._digest

    @property
    def token(self) -> str:
        """Hash of the content, the same in every process."""
        return self._digest.hex()

    def payload(self) -> Payload:
        """Return the cards in the form in which they are packed."""
        if self._payload is not None:
            return self._payload
        assert self._packed is not None
        return _unpacked(self._packed)

    def _find(self, key: str) -> Any:
        name = key.strip().upper() if isinstance(key, str) else ""
        if is_plain_keyword(name) and name not in COMMENTARY:
            found = _find_plain(self.payload(), name)
            if found is not UNCLEAR:
                return found
        return self.unpack().get(key, _ABSENT)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TravellingHeader):
            return NotImplemented
        return self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def __reduce__(self) -> tuple[Any, ...]:
        return TravellingHeader, (self._compressed(), self._digest)

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + len(self._compressed()) + len(self._digest) + 96

    def _compressed(self) -> bytes:
        if self._packed is None:
            self._packed = zlib.compress(marshal.dumps(self._payload, 2), 1)
        return self._packed

    def __dask_tokenize__(self) -> tuple[str, str]:
        return ("mirar_dask.header", self.token)

    def __repr__(self) -> str:
        return f"TravellingHeader({self.token[:12]})"


@functools.lru_cache(maxsize=8)
def _unpacked(packed: bytes) -> Payload:
    # Remembered for a moment: who asks for one key of a header often asks for the next.
    return cast("Payload", marshal.loads(zlib.decompress(packed)))


_upper = functools.lru_cache(maxsize=8)(str.upper)


def pack_header(header: Header, previous: TravellingHeader | None = None) -> TravellingHeader:
    """Put a header into its travelling form.

    Parameters
    ----------
    header : Header
        Is not changed, and not parsed further than it was.
    previous : TravellingHeader, optional
        An older form of this header; it is returned if nothing changed, which saves packing.
    """
    texts: list[str] = []
    long_cards: list[tuple[int, int]] = []
    set_cards: list[Place] = []
    for place, card in enumerate(header.cards):
        image = _untouched(card)
        if image is None:
            set_cards.append((place, _record(card)))
        else:
            texts.append(image)
            if len(image) != LENGTH:
                long_cards.append((place, len(image)))
    return pack_payload(("".join(texts), tuple(long_cards), tuple(set_cards)), previous)


def pack_payload(payload: Payload, previous: TravellingHeader | None = None) -> TravellingHeader:
    """Make a travelling header of cards in their packed form."""
    # Version 2 of marshal: the bytes depend on the values only, not on which objects are shared.
    content = marshal.dumps(payload, 2)
    digest = hashlib.blake2b(content, digest_size=16).digest()
    if previous is not None and previous.digest == digest:
        return previous
    return TravellingHeader(None, digest, payload)


def is_plain_text(key: str, value: str) -> bool:
    """Tell whether a text can be set under a keyword without astropy having a look at it."""
    # A string with a colon may become a record-valued card.
    return is_plain_keyword(key) and value.isascii() and value.isprintable() and ": " not in value


def _untouched(card: Card) -> str | None:
    """Return the card's text if that says all there is, else None."""
    state = card.__dict__
    if state["_invalid"]:
        return None
    image = state["_image"]
    if image is not None and not (state["_modified"] or state["_valuemodified"]):
        if not state["_verified"] or state["_value"] is None or state["_valuestring"] is not None:
            return cast("str", image)  # its value, if it was parsed, came from this text
        raw = state["_rawvalue"]  # of a record-valued card
        says_value = state["_value"] is UNDEFINED or (raw is not None and raw in image)
        comment = card.comment
        if says_value and image.rstrip().endswith(comment) and comment[:1] != " ":
            return cast("str", image)
    keyword, value = state["_keyword"], state["_value"]
    if keyword not in COMMENTARY or type(value) is not str or state["_comment"]:
        return None
    # Text and value of a HISTORY card say the same: one form, whether it was formatted or not.
    fits_on_one = len(value) <= LENGTH - 8 and value == value.rstrip()
    return f"{keyword:8}{value:{LENGTH - 8}}" if fits_on_one else None


def _record(card: Card) -> tuple[Any, ...]:
    """Return keyword, value and comment; of a card that has more to it, its whole state."""
    state = card.__dict__
    if state["_invalid"]:
        return state["_keyword"], state["_image"]
    keyword = state["_keyword"] if state["_keyword"] is not None else card.keyword
    unread = state["_value"] is None and state["_image"] is not None
    if unread or state["_valuestring"] or state["_hierarch"] or state["_field_specifier"]:
        return (tuple(sorted((name, _encoded(value)) for name, value in state.items())),)
    value = state["_value"] if state["_value"] is not None else card.value
    comment = state["_comment"] if state["_comment"] is not None else card.comment
    return keyword, _encoded(value), comment


def _encoded(value: Any) -> Any:
    """Return a value as marshal takes it: what is no plain Python value becomes a tuple."""
    if type(value) in _EXACT or value is None:
        return value
    if isinstance(value, Undefined):
        return ()
    if isinstance(value, np.generic) and not isinstance(value, str):
        return (value.dtype.str, value.tobytes())
    return (pickle.dumps(value),)


def _decoded(value: Any) -> Any:
    match value:
        case ():
            return UNDEFINED
        case (dtype, content):
            return np.frombuffer(content, dtype)[0]
        case (content,):
            return pickle.loads(content)
        case _:
            return value


def header_of_text(text: str) -> Header:
    """Return the header of some cards of 80 characters, none of which goes on in the next."""
    return _header_of([_text_card(image) for image in _images(text, (), ())])


def _images(
    text: str, long_cards: tuple[tuple[int, int], ...], set_cards: tuple[Place, ...]
) -> list[str]:
    """Cut the text into cards."""
    if not long_cards:
        return [text[start : start + LENGTH] for start in range(0, len(text), LENGTH)]
    lengths = dict(long_cards)
    elsewhere = {place for place, _ in set_cards}
    images = []
    start = place = 0
    while start < len(text):
        if place not in elsewhere:
            length = lengths.get(place, LENGTH)
            images.append(text[start : start + length])
            start += length
        place += 1
    return images


_TEXT_STATE = dict(Card.fromstring(" " * LENGTH).__dict__)
SET_STATE = dict(Card().__dict__)


def _text_card(image: str) -> Card:
    """Return a card as if it had just been read; its keyword is known if it is a plain one."""
    card = Card.__new__(Card)
    card.__dict__ = state = {**_TEXT_STATE, "_image": image}
    if image[8:10] == "= ":
        keyword = image[:8].rstrip()
        # A string with a colon may be a record-valued card: astropy looks at that when asked.
        if ": " not in image and is_plain_keyword(keyword):
            state["_keyword"] = keyword
    elif (keyword := image[:8].rstrip()) in COMMENTARY:
        state["_keyword"] = keyword
    return card


@functools.lru_cache(maxsize=4096)
def is_plain_keyword(keyword: str) -> bool:
    """Tell whether a keyword is one of the standard, without spaces."""
    return _PLAIN_KEY.fullmatch(keyword) is not None


def _set_card(record: tuple[Any, ...]) -> Card:
    """Return a card as it was set in memory."""
    card = Card.__new__(Card)
    match record:
        case (keyword, value, comment):
            new = {"_keyword": keyword, "_value": _decoded(value), "_comment": comment}
            card.__dict__ = {**SET_STATE, **new}
        case (keyword, image):  # astropy has warned of it once
            card.__dict__ = {**_TEXT_STATE, "_keyword": keyword, "_image": image, "_invalid": True}
        case (state,):
            card.__dict__ = {name: _decoded(value) for name, value in state}
    return card


def _header_of(cards: list[Card]) -> Header:
    """Return a header of these very cards, in this order, duplicates and all."""
    header = Header()
    header._cards = cards
    indices, records = header._keyword_indices, header._rvkc_indices
    for place, card in enumerate(cards):
        keyword = card.__dict__["_keyword"]
        if keyword is None or len(keyword) > 8:
            keyword = Card.normalize_keyword(card.keyword)
            if card.field_specifier is not None:
                records[card.rawkeyword].append(place)
        indices[keyword].append(place)
    header._modified = False
    return header


def _find_plain(payload: Payload, name: str) -> Any:
    """Look for a plain keyword; give up where a full parser has to decide."""
    text, long_cards, set_cards = payload
    records = [record for _, record in set_cards if len(record) < 3 or record[0] == name]
    upper = _upper(text)
    if name not in upper:
        if not records:
            return _ABSENT
        if len(records) == 1 and len(records[0]) == 3:
            value = records[0][1]
            if type(value) in (int, float, bool):
                return value
            value = _set_card(records[0]).value
            return None if value is UNDEFINED else value
        return UNCLEAR
    if records or not text.isascii():
        return UNCLEAR
    for image in _images_with(name, text, upper, long_cards, set_cards):
        if image[:8] == f"{name:8}" and image[8:10] == "= ":
            value = plain_value(image)
            if value is not UNCLEAR:
                return value
            card = Card.fromstring(image)
            if card.field_specifier is not None:
                return UNCLEAR
            value = card.value
            return None if value is UNDEFINED else value
        if _may_be(image, name):
            return UNCLEAR
    return _ABSENT


def _images_with(
    name: str,
    text: str,
    upper: str,
    long_cards: tuple[tuple[int, int], ...],
    set_cards: tuple[Place, ...],
) -> Iterator[str]:
    """Give the cards in whose text a keyword occurs, wherever it does."""
    if long_cards:
        yield from (i for i in _images(text, long_cards, set_cards) if name in i.upper())
        return
    position = upper.find(name)
    while position >= 0:
        start = position - position % LENGTH
        yield text[start : start + LENGTH]
        position = upper.find(name, start + LENGTH)


def _may_be(image: str, name: str) -> bool:
    """Tell whether astropy may find a keyword in a card that is not written as it should be."""
    head = image[:8].rstrip()
    if head == "HIERARCH" and image[8] == " " and "=" in image:
        return image.split("=", 1)[0][9:].strip().upper() == name
    plain = head in COMMENTARY or (image[8:10] == "= " and is_plain_keyword(head))
    return not plain and name in image[:16].upper()
