"""Values of header cards at a fraction of what astropy needs for them.

astropy asks its configuration each time that a card is looked at, and a night's headers are looked
at hundreds of thousands of times. What is not plain is left to astropy.
"""

from __future__ import annotations

import re
from typing import Any

from astropy.io.fits import Card, Header

LENGTH = 80
COMMENTARY = {"", "COMMENT", "HISTORY"}
UNCLEAR = object()
_VALUE = re.compile(
    r" *(?:'(?P<text>(?:[^'&]|'')*)'|(?P<logical>[TF])"
    r"|(?P<integer>[+-]?(?:0|[1-9][0-9]{0,17}))"
    r"|(?P<real>[+-]?(?:0|[1-9][0-9]*)\.[0-9]*(?:E[+-]?[0-9]{1,3})?))"
    r" *(?:/.*)?"
)
_PLAIN_TYPES = {str, int, float, bool}


def plain_value(image: str) -> Any:
    """Return the value of a card of 80 characters, or UNCLEAR where astropy has to look at it.

    Examples
    --------
    >>> plain_value(f"{'EXPTIME =                 30.5 / seconds':80}")
    30.5
    """
    # A string with a colon may be a record-valued card.
    if len(image) != LENGTH or image[8:10] != "= " or ": " in image or not image.isascii():
        return UNCLEAR
    match = _VALUE.fullmatch(image, 10)
    if match is None:
        return UNCLEAR
    match match.lastgroup:
        case "text":
            return match["text"].replace("''", "'").rstrip()
        case "logical":
            return match["logical"] == "T"
        case "integer":
            return int(match["integer"])
        case _:
            return float(match["real"])


def read_value(header: Header, key: str) -> Any:
    """Return ``header[key]``.

    Raises
    ------
    KeyError
        If there is no such key.
    """
    places = header._keyword_indices.get(key) if type(header) is Header else None
    if places and key not in COMMENTARY:
        value = _value_of(header._cards[places[0]])
        if value is not UNCLEAR:
            return value
    return header[key]


def _value_of(card: Card) -> Any:
    state = card.__dict__
    if state["_invalid"] or state["_field_specifier"] or state["_rawvalue"] is not None:
        return UNCLEAR
    value = state["_value"]
    if value is None:
        image = state["_image"]
        return UNCLEAR if image is None or state["_modified"] else plain_value(image)
    if type(value) not in _PLAIN_TYPES:
        return UNCLEAR
    return value.rstrip() if type(value) is str else value
