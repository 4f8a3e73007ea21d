"""Headers as they come from files: read without pixels, odd cards mended without a warning."""

from __future__ import annotations

import cmath
import re
from itertools import islice
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError

from mirar_dask.data.headers import header_of_text
from mirar_dask.data.quiet import quietly
from mirar_dask.io.hdu import CARD, Hdu
from mirar_dask.io.structure import FitsFile

# What is not printable ASCII has no place in a header; some cameras fill with NUL.
_PRINTABLE = bytes(32 if b < 32 else b if b < 127 else ord("?") for b in range(256))
_COMMENTARY = (b"COMMENT ", b"HISTORY ", b"CONTINUE", b" " * 8)
_CONTINUED = re.compile(rb"CONTINUE +'(?:[^']|'')*' *(?:/|$)")
_CROWDED = re.compile(rb"^(?=.{8}=)([A-Z0-9_-]+ *)=([^ ])")
_KEYWORD = re.compile(rb"[A-Z0-9_-]+ *= ")
_NUMBER = rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[ED][+-]?\d+)?"
_PERHAPS_INFINITE = re.compile(rb"[ED][+-]?\d{3}")
_VALUE = re.compile(
    rb" *(?:'(?:[^']|'')*'|[TF]|%b|\( *%b *, *%b *\))? *(?:/.*)?" % (_NUMBER, _NUMBER, _NUMBER)
)
_HIERARCH = re.compile(rb"HIERARCH(?: [A-Z0-9_-]+)+ *= ")
# TFIELDS is of tables; astropy counts as far as it says whenever it copies a header.
_OF_THE_FILE = (
    "BSCALE",
    "BZERO",
    "BLANK",
    "CHECKSUM",
    "DATASUM",
    "PCOUNT",
    "GCOUNT",
    "GROUPS",
    "TFIELDS",
)
_SIMPLE = b"SIMPLE  =                    T / conforms to FITS standard".ljust(CARD)
_STRUCTURE = frozenset({*_OF_THE_FILE, "SIMPLE", "XTENSION", "BITPIX", "NAXIS", "EXTEND", "END"})
_OF_ITS_FILE = frozenset(key.encode() for key in _STRUCTURE - {"EXTEND", "END"})
_OF_ONE_HDU = ("", "EXTNAME", "EXTVER", "EXTLEVEL", "INHERIT", "NEXTEND")


def is_plain_card(card: bytes, before: bytes = b"&'") -> bool:
    """Tell whether 80 bytes are a card as the standard has it, at a glance.

    False means that it deserves a closer look, not that it is wrong. ``before`` is the card before
    it, which a CONTINUE continues.
    """
    if card[:8] in _COMMENTARY:
        return card[:8] != b"CONTINUE" or _continues(card, before)
    hierarch = _HIERARCH.match(card)
    start = hierarch.end() if hierarch else 10
    keyword = hierarch or _KEYWORD.fullmatch(card, 0, start)
    return keyword is not None and _VALUE.fullmatch(card, start) is not None


def parse_header(raw: bytes) -> fits.Header:
    """Parse a header's cards; odd ones are mended, or kept as text where that is impossible."""
    text = raw.translate(_PRINTABLE)
    cards = [text[i : i + CARD] for i in range(0, len(text), CARD)]
    if all(map(is_plain_card, cards, [b"", *cards])) and not _PERHAPS_INFINITE.search(text):
        if b"CONTINUE" in text or b"HIERARCH" in text:
            return fits.Header.fromstring(text)
        return header_of_text(text.decode().ljust(CARD * len(cards)))
    text = b"".join(map(_tidied, cards, [b"", *cards]))
    with quietly():  # about what is mended next
        header = fits.Header.fromstring(text)
    mend(header)
    return header


def _continues(card: bytes, before: bytes) -> bool:
    return b"&'" in before and _CONTINUED.match(card) is not None


def _tidied(card: bytes, before: bytes) -> bytes:
    """Mend what misleads astropy about where a card and its value begin."""
    if card.startswith(b"CONTINUE") and not _continues(card, before):
        return b"COMMENT " + card[8:]
    if card[:8] in _COMMENTARY:
        return card
    return _CROWDED.sub(rb"\1= \2", card)[:CARD]


def mend(header: fits.Header) -> None:
    """Repair what can be repaired in a header, in place and silently."""
    for index, card in enumerate(list(header.cards)):
        plain = is_plain_text(card._image) and not _PERHAPS_INFINITE.search(card._image.encode())
        if not plain and not _is_sound(card):
            _replace_by_text(header, index, card)


def is_plain_text(image: str | None) -> bool:
    """Tell whether a card's text, with its continuations, is as the standard has it."""
    if not image or not image.isascii():
        return False
    text = image.encode().ljust(CARD)
    cards = [text[i : i + CARD] for i in range(0, len(text), CARD)]
    return all(map(is_plain_card, cards, [b"", *cards]))


def _is_sound(card: fits.Card) -> bool:
    """Mend a card in place, and tell whether it can then be read and written."""
    with quietly():
        try:
            card.verify("silentfix+ignore")
            _ = card.comment
            if isinstance(card.value, float | complex) and not cmath.isfinite(card.value):
                return False
            return is_plain_text(card.image)
        except (VerifyError, ValueError, IndexError):
            return False


def _replace_by_text(header: fits.Header, index: int, card: fits.Card) -> None:
    """Keep an unreadable value as the string that stands in the file."""
    image = str(card._image or "").ljust(CARD)
    keyword = re.sub(r"[^A-Z0-9_-]", "_", image[:8].strip().upper())
    del header[index]
    if keyword in ("", "HIERARCH", "CONTINUE", "END"):
        header.insert(index, ("COMMENT", image.strip()[:70]))
    else:
        with quietly():  # that there are two of that name
            # astropy misreads some texts with quotes in them, which it writes itself.
            text = image[8:].lstrip("= ").rstrip()[:60].replace("'", '"')
            header.insert(index, (keyword, text))


def read_header(path: Path | str, hdu: int = 0) -> fits.Header:
    """Read one header of a file, and no pixel.

    Parameters
    ----------
    path : Path
        A FITS file, plain or compressed; of ``.gz`` and ``.bz2`` no more than the header is
        decompressed.
    hdu : int
        Which header; 0 is the primary one, or the image's where the file's one image is
        tile-compressed and the primary HDU is empty.

    Raises
    ------
    InvalidFitsError
        If it is not a FITS file, or has no such header.
    """
    with FitsFile(path) as file:
        hdus = list(islice(file.hdus(), max(hdu + 1, 1)))
        if hdu == 0 and hdus[0].kind == "empty":
            images = [h for h in file.hdus() if h.kind in ("image", "compressed")]
            if [h.kind for h in images] == ["compressed"]:
                return image_header(file, images[0])
        if not 0 <= hdu < len(hdus):
            raise file.error(f"has no HDU {hdu}: it has {len(hdus)}")
        return image_header(file, hdus[hdu])


def image_header(file: FitsFile, hdu: Hdu) -> fits.Header:
    """Return an HDU's header; of a compressed image the one it had before compression."""
    if hdu.kind != "compressed":
        return parse_header(hdu.raw)
    with quietly():
        try:
            with fits.open(file.path, memmap=False, lazy_load_hdus=True) as hdus:
                header: fits.Header = hdus[hdu.index].header.copy()
        except MemoryError:
            raise
        except Exception as error:  # astropy raises errors of many kinds about tables
            raise file.error(f"holds a compressed image that cannot be read: {error}") from error
        mend(header)
    return header


def describing_header(
    file: FitsFile, hdu: Hdu, shape: tuple[int, ...], dtype: np.dtype
) -> fits.Header:
    """Return an HDU's header so that it describes the array that the image presents.

    The keys that only say how the file stored it (BZERO, BSCALE, BLANK, checksums) go: beside
    floats they would be applied a second time, or warned of.
    """
    if hdu.kind != "compressed":
        # Done to the text: astropy takes longer to take out two cards than to parse them all.
        return parse_header(_describing_cards(hdu.raw, shape, dtype))
    header = image_header(file, hdu)
    describe_pixels(header, shape, dtype)
    return header


def _describing_cards(raw: bytes, shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    wanted = {b"BITPIX": bitpix_of(dtype), b"NAXIS": len(shape)}
    wanted.update({b"NAXIS%d" % (i + 1): n for i, n in enumerate(reversed(shape))})
    cards = [_SIMPLE]
    for start in range(0, len(raw), CARD):
        card = raw[start : start + CARD]
        keyword = card[:8].rstrip()
        if keyword in wanted:
            comment = card[10:].partition(b"/")[2].strip()
            card = b"%-8b= %20d" % (keyword, wanted.pop(keyword))
            card = (card + (b" / " + comment if comment else b""))[:CARD].ljust(CARD)
        elif keyword in _OF_ITS_FILE or (keyword.startswith(b"NAXIS") and keyword[5:].isdigit()):
            continue
        cards.append(card)
    return b"".join(cards)


def describe_pixels(header: fits.Header, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Make a header read from a file describe an array instead, in place."""
    for key in _OF_THE_FILE:
        header.remove(key, ignore_missing=True, remove_all=True)
    for i in range(len(shape) + 1, header.get("NAXIS", 0) + 1):
        header.remove(f"NAXIS{i}", ignore_missing=True)
    if header.get("EXTNAME") == "COMPRESSED_IMAGE":
        del header["EXTNAME"]
    for key in ("XTENSION", "SIMPLE"):
        header.remove(key, ignore_missing=True)
    header.insert(0, ("SIMPLE", True, "conforms to FITS standard"))
    _set_if_new(header, "BITPIX", bitpix_of(dtype))
    _set_if_new(header, "NAXIS", len(shape))
    for i, length in enumerate(reversed(shape)):
        _set_if_new(header, f"NAXIS{i + 1}", length)


def bitpix_of(dtype: np.dtype) -> int:
    """Return how FITS codes a type; an unsigned integer is stored as a signed one of its size."""
    bits = dtype.itemsize * 8
    return -bits if dtype.kind == "f" else bits


def _set_if_new(header: fits.Header, key: str, value: int) -> None:
    # A card that is left alone keeps its text and need not be formatted again.
    if header.get(key) != value:
        header[key] = value


def add_primary_keys(header: fits.Header, primary_header: fits.Header) -> None:
    """Append to an extension's header what the primary header knows beyond it, in place."""
    primary = primary_header.copy()
    drop_structure(primary)
    texts = {key: {str(x) for x in header[key]} for key in ("COMMENT", "HISTORY") if key in header}
    known = set(header.keys())
    for card in primary.cards:
        if card.keyword in ("COMMENT", "HISTORY"):
            new = str(card.value) not in texts.get(card.keyword, ())
        else:
            new = card.keyword not in known and card.keyword not in _OF_ONE_HDU
        if new:
            header.append(card, end=True)


def drop_structure(header: fits.Header) -> None:
    """Remove the keys that say how a file stores an HDU, in place."""
    for key in list(header.keys()):
        if is_structural(key):
            header.remove(key, ignore_missing=True, remove_all=True)


def is_structural(key: str) -> bool:
    """Tell whether a key says how a file stores an HDU, and nothing about what it holds."""
    return key in _STRUCTURE or (key.startswith("NAXIS") and key[5:].isdecimal())
