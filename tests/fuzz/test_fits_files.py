"""Headers and FITS files of any content: an image, or one documented error."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import example, given
from hypothesis import strategies as st

from mirar_dask.errors import ImageNotFoundError, InvalidFitsError
from mirar_dask.io import open_fits, open_lazy, read_header
from mirar_dask.io.headers import parse_header

from .junk import EDITS, damaged, limited

KEYWORDS = st.sampled_from(
    [
        *(
            b"OBJECT  ",
            b"EXPTIME ",
            b"HIERARCH",
            b"CONTINUE",
            b"COMMENT ",
            b"HISTORY ",
            b"END     ",
        ),
        *(
            b"        ",
            b"date-obs",
            b"A B     ",
            b"BLANK   ",
            b"NAXIS1  ",
            b"\0" * 8,
            b"TOOLONGKEY",
        ),
    ]
)
VALUES = st.sampled_from(
    [
        *(b"= 'it''s&'", b"= '", b"=  1.0E999", b"= NaN", b"= (1,2)", b"= T/x", b"='x'"),
        *(b"  'rest&' /", b"= 12345678901234567890123456789", b"= 1D5 / \xe9", b"", b"= -.5"),
        *(b"= '\0'", b"= ESO A = 3"),
    ]
)
CARDS = st.one_of(
    st.builds(
        lambda key, value, rest: (key + value + rest)[:80].ljust(80),
        *(KEYWORDS, VALUES, st.binary(max_size=20)),
    ),
    st.binary(min_size=80, max_size=80),
)
PIXELS = np.arange(64 * 48, dtype=np.int16).reshape(48, 64)


class Files(dict[str, bytes]):
    """Files by kind; hypothesis shows what a test is given."""

    def __repr__(self) -> str:
        return "the files"


def plain() -> bytes:
    header = fits.PrimaryHDU(PIXELS).header
    header["BZERO"], header["BSCALE"], header["BLANK"] = 32768, 1.0, -1
    header["EXPTIME"], header["OBJECT"] = 30.0, "M13"
    return header.tostring().encode() + PIXELS.astype(">i2").tobytes().ljust(8640, b"\0")


def file_of(tmp_path_factory: pytest.TempPathFactory, hdus: fits.HDUList) -> bytes:
    path = tmp_path_factory.mktemp("fits") / "a.fits"
    hdus.writeto(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Return good files of some kinds."""
    tiles = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(PIXELS)])
    extension = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(PIXELS.astype("f4"))])
    return Files(
        plain=plain(),
        gz=gzip.compress(plain(), mtime=0),
        tiles=file_of(tmp_path_factory, tiles),
        extension=file_of(tmp_path_factory, extension),
    )


@given(st.lists(CARDS, max_size=8))
@example([b"X" * 80])
@example([b"\0" * 7 + b"!" + b"\0" * 72] * 2)
@example([b"OBJECT    'rest&' /".ljust(80)])
@example([b"COMMENT ='x'".ljust(80), b"GAIN    =  1.0E999".ljust(80)])
@example([b"OBJECT  = 'a&'".ljust(80), b"CONTINUE= (1,2)".ljust(80)])
@example([b"OBJECT  = 'a&'".ljust(80), b"CONTINUE= '".ljust(80)])
def test_any_cards_make_a_header_that_can_be_written(cards: list[bytes]) -> None:
    """What cannot be understood stays text; written and read again, the values are the same."""
    header = parse_header(b"".join(cards))
    values = [(card.keyword, str(card.value), card.comment) for card in header.cards]
    again = parse_header(header.tostring(endcard=False, padding=False).encode("ascii"))
    assert [(card.keyword, str(card.value), card.comment) for card in again.cards] == values


def try_to_read(path: Path) -> None:
    for read in (
        lambda: open_lazy(path)[0].read(),
        lambda: open_fits(path),
        lambda: read_header(path),
    ):
        try:
            with limited():
                found = read()
        except (InvalidFitsError, ImageNotFoundError) as error:
            assert str(path) in str(error) or "path" in str(error)
            assert "\n" not in str(error)
        else:
            assert not isinstance(found, np.ndarray) or found.size < 1e6


@pytest.mark.parametrize("kind", ["plain", "gz", "tiles", "extension"])
@given(edits=EDITS)
def test_a_damaged_file_is_an_image_or_an_error(
    kind: str,
    files: Files,
    tmp_path_factory: pytest.TempPathFactory,
    edits: list[tuple[float, str, bytes]],
) -> None:
    """Nothing else comes out, whatever bytes are exchanged, put in or cut off."""
    path = tmp_path_factory.getbasetemp() / "damaged.fits"
    path.write_bytes(damaged(files[kind], edits))
    try_to_read(path)


STRUCTURE = [
    "SIMPLE",
    "BITPIX",
    "NAXIS",
    "NAXIS1",
    "NAXIS2",
    "PCOUNT",
    "GCOUNT",
    "BZERO",
    "BSCALE",
    "BLANK",
    "XTENSION",
    "TFIELDS",
    "TFORM1",
    "THEAP",
    "ZIMAGE",
    "ZBITPIX",
    "ZNAXIS",
    "ZNAXIS1",
    "ZNAXIS2",
    "ZTILE1",
    "ZTILE2",
    "ZCMPTYPE",
    "ZVAL1",
    "ZVAL2",
    "ZQUANTIZ",
    "ZBLANK",
    "ZSCALE",
]
ODD = """0 -1 1 2 3 7 16 -32 64 999 1000000 99999999999 NaN 1E400 1.5 T F 'x' '1PB(99999999)' ()
    'RICE_1' 'HCOMPRESS_1' 'PLIO_1' 'GZIP_2' 'NOCOMPRESS' 'BINTABLE' 'IMAGE'""".split()  # noqa: SIM905
ODD += ["", "9" * 60]
CHANGES = st.lists(
    st.tuples(st.sampled_from(STRUCTURE), st.sampled_from(ODD)), min_size=1, max_size=4
)


@pytest.mark.parametrize("kind", ["plain", "tiles", "extension"])
@given(changes=CHANGES)
@example(changes=[("TFIELDS", "9" * 60)])  # astropy counted so far
@example(changes=[("ZTILE1", "9" * 60)])
@example(changes=[("ZNAXIS", "-1")])
@example(changes=[("ZBLANK", "1")])
@example(changes=[("BZERO", "9" * 60)])
def test_a_header_that_lies_is_an_error_or_an_image(
    kind: str,
    files: Files,
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[str, str]],
) -> None:
    """Structural keywords with values that are wrong, absurd, or of another type."""
    raw = bytearray(files[kind])
    for key, value in changes:
        card = f"{key:8}= {value:>20}".ljust(80).encode()
        at = raw.rfind(f"{key:8}=".encode())
        if at >= 0:
            raw[at : at + 80] = card
        else:
            end = raw.rfind(b"END".ljust(80))
            raw[end : end + 160] = card + b"END".ljust(80)
    path = tmp_path_factory.getbasetemp() / "lying.fits"
    path.write_bytes(bytes(raw))
    try_to_read(path)
