"""Travelling headers in files: as JSON, so that reading one builds text and numbers and no more.

What travels between processes of a run goes as `marshal` and, for odd values, as pickle; neither
is ever read from a file.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from typing import Any

import numpy as np

from mirar_dask.data.headers import Payload, TravellingHeader, pack_payload

LARGEST = 1 << 26
"""No header is larger, in bytes, compressed or not."""
_NUMBERS = "biufc"
"""Kinds of NumPy values that a header may hold."""


def content_of(header: TravellingHeader) -> bytes | None:
    """Return the content of a header for a file; None if it has more than plain values."""
    text, long_cards, set_cards = header.payload()
    try:
        cards = [[place, _record_to_json(record)] for place, record in set_cards]
        content = json.dumps([text, long_cards, cards], allow_nan=False).encode()
    except (TypeError, ValueError):  # a value of another kind; a number of thousands of digits
        return None
    return zlib.compress(content, 1)


def header_of(content: bytes) -> TravellingHeader:
    """Return the header with a content that a file holds.

    Raises
    ------
    ValueError
        If it is not what `content_of` gave.
    """
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(content, LARGEST)
        if not stream.eof:
            raise ValueError("its text does not end")
        return pack_payload(_payload(json.loads(text)))
    except (zlib.error, TypeError, ValueError, LookupError, RecursionError) as error:
        raise ValueError(f"no packed header: {error}") from error


def _payload(value: Any) -> Payload:
    text, long_cards, set_cards = value
    lengths = tuple((_whole(place), _whole(length)) for place, length in long_cards)
    cards = tuple((_whole(place), _record(record)) for place, record in set_cards)
    return _text(text), lengths, cards


def _record_to_json(record: tuple[Any, ...]) -> list[Any]:
    if len(record) == 1:
        return [[[name, _to_json(value)] for name, value in record[0]]]
    if len(record) == 2:
        return [_text(part) for part in record]
    keyword, value, comment = record
    return [_text(keyword), _to_json(value), _text(comment)]


def _record(value: Any) -> tuple[Any, ...]:
    match value:
        case [list(state)]:
            return (tuple((_attribute(name), _value(item)) for name, item in state),)
        case [keyword, image]:
            return _text(keyword), _text(image)
        case [keyword, item, comment]:
            return _text(keyword), _value(item), _text(comment)
    raise ValueError("a card is in no known form")


def _to_json(value: Any) -> Any:
    """Return a value, as it travels, as JSON has it; exact."""
    kind = type(value)
    if value is None or kind in (str, bool, int):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if kind is complex:
        return {"complex": [repr(value.real), repr(value.imag)]}
    if kind is tuple and not value:
        return {"undefined": 0}
    if kind is tuple and len(value) == 2 and np.dtype(value[0]).kind in _NUMBERS:
        return {"numpy": [value[0], base64.b64encode(value[1]).decode("ascii")]}
    raise TypeError("a value that has no form as JSON")


def _value(value: Any) -> Any:
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise ValueError("a card holds a list")
        return value
    ((kind, inner),) = value.items()
    match kind:
        case "float":
            return float(_text(inner))
        case "complex":
            real, imaginary = inner
            return complex(float(_text(real)), float(_text(imaginary)))
        case "undefined":
            return ()
        case "numpy":
            dtype, content = np.dtype(_text(inner[0])), base64.b64decode(_text(inner[1]))
            if dtype.kind not in _NUMBERS or dtype.itemsize != len(content):
                raise ValueError("a card holds no number")
            return (dtype.str, content)
    raise ValueError(f"a card holds a {kind!r}")


def _attribute(name: Any) -> str:
    if not _text(name).startswith("_") or name.startswith("__"):
        raise ValueError(f"a card has no {name!r}")
    return str(name)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < LARGEST:
        raise ValueError(f"{value!r} is no place of a card")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError(f"{value!r:.40} is no text")
    return value
