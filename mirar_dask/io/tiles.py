"""Tile-compressed images: pixels without loss, and headers too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from mirar_dask.io.banded import card_texts, own_header, storable
from mirar_dask.io.hdu import CARD
from mirar_dask.io.structure import FitsFile


def create_compressed_fits(data: np.ndarray, header: fits.Header | None) -> fits.CompImageHDU:
    """Return an HDU that compresses an image by tiles, without loss, with a copy of a header.

    Integers by RICE. Floats by GZIP_2 (bytes shuffled, then deflate): RICE and HCOMPRESS would
    first round them to a fraction of the noise.
    """
    data = storable(data)
    if data.dtype.kind == "f":
        options = {"compression_type": "GZIP_2", "quantize_level": 0.0}
    else:
        options = {"compression_type": "RICE_1"}
    return fits.CompImageHDU(np.ascontiguousarray(data), own_header(header, data.dtype), **options)


def restore_floats(path: Path, header: fits.Header | None) -> None:
    """Overwrite, in a compressed file just written, the floats that astropy cut to 20 characters.

    A card always has 80 bytes, so nothing moves.
    """
    if header is None:
        return
    wanted = {_name(text): text for text in card_texts(header) if len(text) == CARD}
    with FitsFile(path) as file:
        hdu = list(file.hdus())[1]
        cards = [hdu.raw[i : i + CARD] for i in range(0, len(hdu.raw), CARD)]
        start = hdu.header_offset
    with path.open("r+b", buffering=0) as raw:
        for index, card in enumerate(cards):
            text = wanted.get(_name(card))
            if text is not None and text != card and _is_cut(card, text):
                raw.seek(start + index * CARD)
                raw.write(text)


def _name(card: bytes) -> bytes:
    return card.partition(b"= ")[0]


def _is_cut(card: bytes, whole: bytes) -> bool:
    """Tell whether two cards hold a float that differs in its last digits only."""
    cut, exact = (x.partition(b"= ")[2].partition(b" /")[0].strip() for x in (card, whole))
    try:
        return len(exact) > len(cut) >= 20 and abs(float(cut) / float(exact) - 1) < 1e-8
    except (ValueError, ZeroDivisionError):
        return False
