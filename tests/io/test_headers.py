"""Headers as they come from files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.errors import InvalidFitsError
from mirar_dask.io import open_lazy, read_header
from mirar_dask.io.headers import is_plain_card, parse_header

DATA = np.zeros((4, 3), "i2")


@pytest.mark.parametrize("kind", ["plain", "gz", "bz2"])
def test_the_header_is_the_one_that_astropy_reads(write_as, kind, tmp_path, core_header):
    """Card by card."""
    core_header["HIERARCH ESO DET CHIP"] = ("long keyword", "comment")
    core_header["LONGTEXT"] = "x" * 150
    core_header["UNDEF"] = None
    core_header["HISTORY"] = "first"
    core_header["COMMENT"] = "second"
    core_header["FLOAT"] = (0.1 + 0.2, "not 0.3")
    path = write_as(kind, tmp_path / "a.fits", DATA, core_header)
    assert repr(read_header(path)) == repr(fits.getheader(path))
    assert read_header(path)["FLOAT"] == fits.getheader(path)["FLOAT"]


def test_the_header_of_a_compressed_image_is_the_images(write_as, tmp_path: Path, core_header):
    """As astropy presents it, whether HDU 0 or 1 is asked for."""
    path = write_as("tiles", tmp_path / "a.fits", DATA, core_header)
    expected = fits.getheader(path, 1)
    assert expected["NAXIS1"] == 3
    assert read_header(path) == expected == read_header(path, hdu=1)


def test_any_header_of_a_file_can_be_read(tmp_path: Path):
    """By number, also of tables; a primary header before several images is itself."""
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])], name="TAB")
    hdus = [fits.PrimaryHDU(), fits.CompImageHDU(DATA, name="A"), table]
    hdus.append(fits.CompImageHDU(DATA, name="B"))
    hdus[0].header["TELESCOP"] = "Hale"
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    found = [read_header(tmp_path / "a.fits", hdu=i) for i in range(4)]
    assert found[0]["TELESCOP"] == "Hale"
    assert [h["EXTNAME"] for h in found[1:]] == ["A", "TAB", "B"]


def test_no_more_than_the_header_is_decompressed(tmp_path: Path, core_header):
    """A header can be read where the pixels are damaged."""
    data = np.random.default_rng(0).integers(0, 2**15, (500, 500), dtype="i2")
    fits.PrimaryHDU(data, core_header).writeto(tmp_path / "a.fits")
    whole = gzip.compress((tmp_path / "a.fits").read_bytes())
    (tmp_path / "a.fits.gz").write_bytes(whole[:100_000])
    assert read_header(tmp_path / "a.fits.gz")["TARGET"] == "M13"


ODD = {
    "lower case": (b"exptime =                 30.0", "EXPTIME", 30.0),
    "no blank after =": (b"EXPTIME =30.0", "EXPTIME", 30.0),
    "no blank before comment": (b"EXPTIME =                 30.0/seconds", "EXPTIME", 30.0),
    "fortran double": (b"EXPTIME =              3.0D+01", "EXPTIME", 30.0),
    "small exponent": (b"EXPTIME =              3.0e+01", "EXPTIME", 30.0),
    "leading zeros": (b"EXPTIME =               00030.", "EXPTIME", 30.0),
    "string without end": (b"OBJECT  = 'M13", "OBJECT", ...),
    "word without quotes": (b"OBJECT  = M13", "OBJECT", "M13"),
    "time without quotes": (b"OBJECT  = 2026-01-02T03:04:05", "OBJECT", "2026-01-02T03:04:05"),
    "number without sense": (b"EXPTIME = 30.0.1", "EXPTIME", "30.0.1"),
    "nan": (b"EXPTIME =                  NaN", "EXPTIME", ...),
    "infinite": (b"EXPTIME =                  inf", "EXPTIME", ...),
    "degrees": (b"OBJECT  = 'M13 \xb0C'", "OBJECT", "M13 ?C"),
    "utf-8": ("OBJECT  = 'é'".encode(), "OBJECT", "??"),
    "tab": (b"OBJECT  = 'M\t13'", "OBJECT", "M 13"),
    "zeros": (b"OBJECT  = 'M13'\0\0\0", "OBJECT", "M13"),
    "newline": (b"COMMENT one\ntwo", "COMMENT", ...),
    "no value": (b"OBJECT  =", "OBJECT", None),
    "no equal sign": (b"SOMETEXT that is nothing", "EXTRA", 1),
    "space in keyword": (b"MY KEY  = 3", "EXTRA", 1),
    "character in keyword": (b"KEY.ONE = 3", "EXTRA", 1),
    "no keyword": (b"        = 3", "EXTRA", 1),
    "too long comment": (b"EXPTIME =                 30.0 / " + b"x" * 47, "EXPTIME", 30.0),
    "only a slash": (b"EXPTIME = /", "EXPTIME", None),
    "stray continue": (b"CONTINUE  'nothing before'", "EXTRA", 1),
    "hierarch without value": (b"HIERARCH ESO DET", "EXTRA", 1),
    "complex": (b"EXPTIME = (1.0, 2.0)", "EXPTIME", 1 + 2j),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_cards_are_mended_or_kept_as_text_without_a_warning(name: str, tmp_path: Path):
    """Every key of the header can then be read, and the header written by astropy."""
    odd, key, value = ODD[name]
    head = fits.PrimaryHDU(DATA).header
    cards = head.tostring(endcard=False, padding=False).encode() + odd.ljust(80)
    cards += b"EXTRA   =                    1".ljust(80) + b"END"
    body = DATA.tobytes().ljust(2880, b"\0")
    path = tmp_path / "a.fits"
    path.write_bytes(cards.ljust(2880) + body)
    for header in (read_header(path), open_lazy(path)[1]):
        for card in header.cards:
            _ = card.keyword, card.value, card.comment
        assert header["EXTRA"] == 1
        assert key in header
        if value is ...:
            assert str(header[key])
        else:
            assert header[key] == value
        fits.PrimaryHDU(DATA, header).writeto(tmp_path / "b.fits", overwrite=True)
        fits.Header.fromstring(header.tostring())


def test_plain_cards_are_told_at_a_glance():
    """What astropy writes needs no second look."""
    header = fits.Header(
        {"A": 1, "B": -1.5e-300, "C": True, "D": "it's", "E": None, "F": "", "LONG_KEY": 3}
    )
    header["G"] = (1, "comment / with slash")
    header["LONG"] = "x" * 100
    header["HIERARCH ESO DET CHIP1 NAME"] = ("it's", "chip")
    header["HIERARCH ESO DET GAIN"] = 1.5
    header["HISTORY"] = "text"
    header["COMMENT"] = "= text"
    text = header.tostring(endcard=False, padding=False).encode()
    assert all(is_plain_card(text[i : i + 80]) for i in range(0, len(text), 80))
    for odd in (b"exptime = 3", b"A =3", b"OBJECT  = M13", b"HIERARCH eso = 3"):
        assert not is_plain_card(odd.ljust(80))


def test_untouched_cards_keep_their_text():
    """Alignment and spelling of numbers included."""
    text = b"EXPTIME = 3.00E1 / by hand".ljust(80) + b"GAIN    =   1.50 / e-/ADU".ljust(80)
    assert parse_header(text).tostring(endcard=False, padding=False).encode() == text


def test_a_header_without_image_is_a_header(tmp_path: Path):
    """But of a file that is FITS."""
    fits.PrimaryHDU(header=fits.Header({"A": 1})).writeto(tmp_path / "a.fits")
    assert read_header(tmp_path / "a.fits")["A"] == 1
    (tmp_path / "b.fits").write_text("nothing")
    with pytest.raises(InvalidFitsError, match="not a FITS file"):
        read_header(tmp_path / "b.fits")


def test_a_header_describes_the_array_and_keeps_every_other_card(tmp_path, core_header):
    """A cube of one plane, of integers with an offset, twice the same odd key, and comments."""
    core_header["BLANK"] = -1
    core_header["BITPIX"] = (16, "bits")
    core_header.append(("TWICE", 1, "first"))
    core_header.append(("TWICE", 2, "second"))
    core_header.add_history("was read / out")
    path = tmp_path / "cube.fits"
    fits.PrimaryHDU(np.ones((1, 4, 6), np.int16), core_header).writeto(path)
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["BZERO"] = 32768
    before = fits.getheader(path)
    _, header = open_lazy(path)
    assert tuple(header.cards[0]) == ("SIMPLE", True, "conforms to FITS standard")
    described = [("BITPIX", -32), ("NAXIS", 2), ("NAXIS1", 6), ("NAXIS2", 4)]
    assert [(c.keyword, c.value) for c in header.cards[1:5]] == described
    assert header.comments["BITPIX"] == before.comments["BITPIX"]
    of_the_file = {"SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "BZERO", "BLANK"}
    others = [tuple(card) for card in before.cards if card.keyword not in of_the_file]
    assert [tuple(card) for card in header.cards[5:]] == others


def test_numbers_that_are_infinite_stay_text():
    """FITS knows no infinity: a header that held one could not be written again."""
    text = b"".join(
        card.ljust(80)
        for card in (b"GAIN    =             1.0E999", b"ZP      =             2.5E-101")
    )
    header = parse_header(text)
    assert header["GAIN"] == "1.0E999"
    assert header["ZP"] == 2.5e-101
    header["COPY"] = header["GAIN"]
