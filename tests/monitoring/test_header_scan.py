"""Some keys of a header, read without parsing the rest, against astropy's reading of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.errors import ImageNotFoundError, InvalidFitsError
from mirar_dask.monitoring.quality.header_scan import scan_header

VALUES = {
    "TEXT": "it's / a text", "EMPTY": "", "LONG": "word " * 40 + "end", "WHOLE": -17,
    "FLOAT": 1.5e-30, "TINY": 3.14159265358979, "YES": True, "NO": False,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["plain", "tiles", "gzip", "extension"])
def test_values_are_those_that_astropy_reads(tmp_path: Path, kind: str):
    """Texts with quotes and continuations, numbers and booleans; in the image's own header."""
    path = tmp_path / ("a.fits.gz" if kind == "gzip" else "a.fits")
    image = fits.PrimaryHDU(np.zeros((8, 8), "f4"))
    if kind == "tiles":
        image = fits.CompImageHDU(np.zeros((8, 8), "f4"))
    elif kind == "extension":
        image = fits.ImageHDU(np.zeros((8, 8), "f4"))
    image.header.update(VALUES)
    hdus = [image] if kind in ("plain", "gzip") else [fits.PrimaryHDU(), image]
    fits.HDUList(hdus).writeto(path)
    found = scan_header(path, VALUES)
    assert found == VALUES
    assert {key: type(value) for key, value in found.items()} == {
        key: type(value) for key, value in VALUES.items()
    }
    assert scan_header(path, ["WHOLE", "ABSENT"]) == {"WHOLE": -17}


def test_odd_cards_count_as_missing(tmp_path: Path):
    """What is undefined or no value is left out, and the first of two counts."""
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(np.zeros((8, 8), "f4")).writeto(path)
    cards = ["UNDEF   =", "BROKEN  = 1.2.3", "NOTANUM = nan", "TWICE   = 1", "TWICE   = 2"]
    raw = path.read_bytes()
    end = raw.index(b"END" + b" " * 77)
    lines = "".join(card.ljust(80) for card in [*cards, "END"]).encode()
    path.write_bytes(raw[:end] + lines + raw[end + len(lines) :])
    keys = ["UNDEF", "BROKEN", "NOTANUM", "TWICE"]
    assert scan_header(path, keys) == {"TWICE": 1}


def test_what_is_no_fits_file_is_named(tmp_path: Path):
    """The error names the file."""
    path = tmp_path / "a.fits"
    path.write_text("nothing")
    with pytest.raises(InvalidFitsError, match=r"a\.fits is not a FITS file"):
        scan_header(path, VALUES)
    with pytest.raises(ImageNotFoundError):
        scan_header(tmp_path / "b.fits", VALUES)
