"""Writes an uncompressed FITS image: header bytes, then the pixels in bands of about 1 MB.

A band is converted while it is in the processor's cache, so the image is never copied whole.
"""

from __future__ import annotations

import math
import re
from typing import IO

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError

from mirar_dask.data.quiet import quietly
from mirar_dask.errors import InvalidFitsError
from mirar_dask.io.hdu import BLOCK, CARD
from mirar_dask.io.headers import bitpix_of, is_plain_text, is_structural

BAND_BYTES = 1 << 20
_SIGNED = ("i2", "i4", "i8", "f4", "f8")
_NO_WARNING = 45  # characters of value and comment that certainly fit on a card
_LONG_FLOAT = re.compile(rb"= *([+-]?[0-9][0-9.E+-]{18,19})(?![^ ])")
_OFFSETS = {"u2": 2**15, "u4": 2**31, "u8": 2**63, "i1": -(2**7)}


def storable(data: np.ndarray) -> np.ndarray:
    """Return an array of a type that FITS has: booleans as bytes, other floats as the next size."""
    data = np.asanyarray(data)
    if isinstance(data, np.ma.MaskedArray):
        data = data.filled(np.nan) if data.dtype.kind == "f" else data.filled()
    name = data.dtype.str[1:]
    if name in _SIGNED or name in _OFFSETS or name == "u1":
        return data
    if data.dtype.kind == "b":
        return data.astype(np.uint8)
    if data.dtype.kind == "f":
        return data.astype(np.float32 if data.dtype.itemsize < 4 else np.float64)
    raise InvalidFitsError(f"FITS has no images of type {data.dtype}")


def header_block(header: fits.Header | None, shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """Return a primary header of whole blocks for an image, with the other cards of `header`.

    Cards that nobody touched keep their text. Keys that say how a file stores its pixels are
    those of this file, whatever `header` says.

    Raises
    ------
    InvalidFitsError
        If a card cannot be written; the message names the key.
    """
    cards = [_fixed("SIMPLE", True, "conforms to FITS standard")]
    cards.append(_fixed("BITPIX", bitpix_of(dtype), "array data type"))
    cards.append(_fixed("NAXIS", len(shape), "number of array dimensions"))
    cards += [_fixed(f"NAXIS{i + 1}", n) for i, n in enumerate(reversed(shape))]
    offset = _OFFSETS.get(dtype.str[1:])
    if offset is not None:
        cards.append(_fixed("BSCALE", 1))
        cards.append(_fixed("BZERO", offset))
    if header is not None:
        cards += card_texts(header, blank=dtype.kind in "iu")
    text = b"".join(cards) + b"END".ljust(CARD)
    return text.ljust(-(-len(text) // BLOCK) * BLOCK)


def card_texts(header: fits.Header, *, blank: bool = False) -> list[bytes]:
    """Return the text of each card, but of those that say how a file stores its pixels.

    Parameters
    ----------
    header : Header
        Left as it is.
    blank : bool
        Whether to keep BLANK, which belongs to integers alone.
    """
    return [
        _image(card)
        for card in header.cards
        if not is_structural(card.keyword) or (blank and card.keyword == "BLANK")
    ]


def own_header(header: fits.Header | None, dtype: np.dtype | None = None) -> fits.Header | None:
    """Copy a header without the keys that say how another file stores its pixels."""
    if header is None:
        return None
    blank = dtype is not None and dtype.kind in "iu"
    return fits.Header.fromstring(b"".join(card_texts(header, blank=blank)))


def write_pixels(file: IO[bytes], data: np.ndarray) -> None:
    """Write an image's pixels as FITS stores them, and pad them to whole blocks."""
    rows = data.reshape(-1, data.shape[-1]) if data.size else data.reshape(0, 1)
    disk = _disk_type(data.dtype)
    n_rows = max(1, BAND_BYTES // max(1, rows.shape[1] * disk.itemsize))
    band = np.empty((min(n_rows, rows.shape[0]), rows.shape[1]), disk)
    for start in range(0, rows.shape[0], n_rows):
        part = rows[start : start + n_rows]
        piece = band[: part.shape[0]]
        if data.dtype.str[1:] in _OFFSETS:
            piece[...] = _shifted(part)
        else:
            piece[...] = part  # swaps bytes
        _write_all(file, piece)
    n_bytes = math.prod(data.shape) * disk.itemsize
    _write_all(file, b"\0" * (-n_bytes % BLOCK))


def _disk_type(dtype: np.dtype) -> np.dtype:
    if dtype.str[1:] == "i1":
        return np.dtype("u1")
    return np.dtype(f">{dtype.str[1:]}".replace("u", "i") if dtype.itemsize > 1 else "u1")


def _shifted(part: np.ndarray) -> np.ndarray:
    """Subtract the offset of an unsigned type: flips the highest bit, and no value overflows."""
    native = part.astype(part.dtype.newbyteorder("="), copy=False)
    flipped = native.view(f"u{native.itemsize}") ^ (1 << (native.itemsize * 8 - 1))
    return flipped.view("u1" if native.itemsize == 1 else f"i{native.itemsize}")


def _write_all(file: IO[bytes], content: np.ndarray | bytes) -> None:
    if len(content) == 0:
        return  # a view of nothing cannot be cast
    room = memoryview(content).cast("B")  # type: ignore[arg-type]
    while len(room):
        written = file.write(room)
        room = room[written:]


def _fixed(key: str, value: bool | int, comment: str = "") -> bytes:
    text = ("T" if value else "F") if isinstance(value, bool) else str(value)
    return f"{key:8}= {text:>20}{' / ' + comment if comment else ''}".ljust(CARD).encode()


def _image(card: fits.Card) -> bytes:
    """Return a card's text, which is a multiple of 80 bytes; the card is left as it is."""
    untouched = None if card._modified else card._image
    if untouched is not None and is_plain_text(untouched):
        return _exact(card, _whole_cards(untouched))  # astropy keeps the text that it cut
    try:
        if untouched is None and len(str(card.value)) + len(card.comment) < _NO_WARNING:
            return _exact(card, _whole_cards(card.image))
        with quietly():  # of comments that are cut
            copy = fits.Card.fromstring(card.image if untouched is None else untouched)
            copy.verify("silentfix+exception")
            return _exact(card, _whole_cards(copy.image))
    except (VerifyError, ValueError) as error:
        raise InvalidFitsError(
            f"the header key {card.keyword!r} cannot be written to FITS: {error}"
        ) from error


def _whole_cards(image: str) -> bytes:
    return image.encode("ascii").ljust(-(-len(image) // CARD) * CARD)


def _exact(card: fits.Card, image: bytes) -> bytes:
    """Give a float the digits that it needs: astropy cuts it to 20 characters."""
    number = _LONG_FLOAT.search(image)
    if number is None or not isinstance(card.value, (float, np.floating)):
        return image
    if float(number[1]) == card.value:
        return image
    text = repr(float(card.value)).upper().encode()
    longer = image[: number.start(1)] + text + image[number.end(1) :].rstrip()
    return longer[:CARD].ljust(CARD)
