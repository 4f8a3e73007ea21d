"""What we write is read back identically, by us, by astropy and by fitsio."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import fitsio
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mirar_dask.io import open_fits, open_lazy, read_header, save_to_path

DTYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]
SUFFIXES = [".fits", ".fits.gz", ".fits.bz2", ".fits.fz"]
COMPRESSIBLE = ["u1", "i2", "u2", "i4", "f4", "f8"]

quick = settings(derandomize=True, max_examples=40, deadline=None)
arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: npst.arrays(
        dtype=dtype, shape=npst.array_shapes(min_dims=2, max_dims=2, max_side=40)
    )
)
text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=150).map(str.rstrip)
values = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    text,
    st.none(),
)
keywords = st.from_regex(r"\AX[A-Z0-9_-]{1,7}\Z")


def bits(array: np.ndarray) -> bytes:
    return array.astype(array.dtype.newbyteorder("=")).tobytes()


@quick
@given(arrays)
def test_pixels_come_back_bit_for_bit(data: np.ndarray):
    """NaNs with their payload, infinities and signed zeros too, read by astropy and by us."""
    with TemporaryDirectory() as folder:
        path = save_to_path(data, None, Path(folder) / "a.fits")
        assert path.stat().st_size % 2880 == 0
        with fits.open(path, memmap=False) as hdus:
            hdus.verify("exception")
            assert bits(hdus[0].data) == bits(data)
        ours, _ = open_fits(path)
        assert ours.dtype == data.dtype
        assert bits(ours) == bits(data)


@quick
@given(st.dictionaries(keywords, values, max_size=12))
def test_header_values_come_back_equal(entries: dict[str, object]):
    """Strings whole, undefined values, floats to the last bit (astropy writes 20 characters)."""
    header = fits.Header()
    for key, value in entries.items():
        header[key] = value
    with TemporaryDirectory() as folder:
        data = np.zeros((2, 2), "f4")
        path = save_to_path(data, header, Path(folder) / "a.fits")
        tiles = save_to_path(data, header, Path(folder) / "a.fits.fz")
        ours = (read_header(path), open_lazy(path)[1], open_lazy(tiles)[1])
        for found in (fits.getheader(path), fits.getheader(tiles, 1), *ours):
            for key, value in entries.items():
                assert found[key] == value
                assert type(found[key]) is type(value)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_type_and_compression_is_lossless(suffix: str, dtype: str, tmp_path: Path):
    """Compression by tiles too, which rounds floats in most programs' defaults."""
    if suffix == ".fits.fz" and dtype not in COMPRESSIBLE:
        pytest.skip("tile compression has no such type")
    rng = np.random.default_rng(0)
    data = rng.normal(100, 30, (33, 21)).astype(dtype)
    if dtype.startswith("f"):
        data[3, 4], data[5, 6], data[7, 8] = np.nan, np.inf, -0.0
    header = fits.Header({"OBJECT": "M13", "EXPTIME": 30.1, "GOOD": True, "N": 3})
    path = save_to_path(data, header, tmp_path / f"a{suffix}")
    extension = 1 if suffix == ".fits.fz" else 0
    with fits.open(path, memmap=False) as hdus:
        assert bits(hdus[extension].data) == bits(data)
        assert hdus[extension].data.dtype.kind == data.dtype.kind
    ours, found = open_fits(path)
    assert (ours.dtype, bits(ours)) == (data.dtype, bits(data))
    assert (found["OBJECT"], found["EXPTIME"], found["GOOD"], found["N"]) == ("M13", 30.1, True, 3)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "u8"])
@pytest.mark.parametrize("suffix", [".fits", ".fits.gz", ".fits.fz"])
def test_fitsio_reads_the_same(suffix: str, dtype: str, tmp_path: Path):
    """Another library, built on CFITSIO."""
    if suffix == ".fits.fz" and dtype not in COMPRESSIBLE:
        pytest.skip("tile compression has no such type")
    data = np.random.default_rng(1).normal(100, 30, (33, 21)).astype(dtype)
    if dtype.startswith("f"):
        data[3, 4] = np.nan
    header = fits.Header()
    header["OBJECT"] = ("it's M13", "with a quote")
    header["LONGTEXT"] = "x" * 100
    header["EXPTIME"] = (0.1 + 0.2, "not 0.3")
    header["GOOD"], header["N"] = True, -3
    header["HISTORY"] = "was reduced"
    path = save_to_path(data, header, tmp_path / f"a{suffix}")
    extension = 1 if suffix == ".fits.fz" else 0
    with fitsio.FITS(str(path)) as file:
        found = file[extension].read()
        keys = file[extension].read_header()
    assert bits(found) == bits(data)
    assert found.dtype.kind == data.dtype.kind
    assert keys["OBJECT"] == "it's M13"
    assert keys["LONGTEXT"] == "x" * 100
    assert keys["EXPTIME"] == header["EXPTIME"]
    assert (keys["GOOD"], keys["N"]) == (True, -3)


def test_the_fast_path_writes_what_astropy_writes(tmp_path: Path):
    """Header and pixels, byte by byte."""
    header = fits.Header({"OBJECT": "M13", "EXPTIME": 1e-7, "UNDEF": None})
    header["HIERARCH ESO DET GAIN"] = (1.5, "comment")
    header["LONGTEXT"] = ("x" * 100, "and a comment")
    header["HISTORY"] = "text"
    for dtype in ("f4", "f8", "i2", "u2", "u1"):
        data = np.arange(600).reshape(20, 30).astype(dtype)
        fits.PrimaryHDU(data, header).writeto(tmp_path / "theirs.fits", overwrite=True)
        ours = save_to_path(data, header, tmp_path / "ours.fits").read_bytes()
        theirs = (tmp_path / "theirs.fits").read_bytes()
        cards = [[x[i : i + 80] for i in range(0, 2880, 80)] for x in (ours, theirs)]
        assert sorted(cards[0]) == sorted(cards[1])
        assert ours[2880:] == theirs[2880:]


@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "swapped", "readonly"])
def test_any_layout_in_memory_is_written_right(layout: str, tmp_path: Path):
    """Views, transposes and the other byte order."""
    data = np.random.default_rng(2).normal(size=(30, 40)).astype("f4")
    view = {
        "fortran": np.asfortranarray(data),
        "strided": np.repeat(data, 2, axis=1)[:, ::2],
        "reversed": data[::-1, ::-1].copy()[::-1, ::-1],
        "swapped": data.astype(">f4"),
        "readonly": data.copy(),
    }[layout]
    view.flags.writeable = layout != "readonly"
    path = save_to_path(view, None, tmp_path / "a.fits")
    assert np.array_equal(fits.getdata(path), data)


def test_types_that_fits_lacks_are_converted_or_refused(tmp_path: Path):
    """Masks become bytes, half floats floats; complex numbers are no image."""
    mask = np.eye(3, dtype=bool)
    assert fits.getdata(save_to_path(mask, None, tmp_path / "a.fits")).dtype == np.uint8
    half = np.full((2, 2), 1.5, np.float16)
    assert open_fits(save_to_path(half, None, tmp_path / "a.fits"))[0].dtype == np.float32
    with pytest.raises(OSError, match="FITS has no images of type complex64"):
        save_to_path(np.zeros((2, 2), "c8"), None, tmp_path / "a.fits")


def test_masked_pixels_are_written_as_nan(tmp_path: Path):
    """A masked array's hidden values are not data."""
    data = np.ma.masked_equal(np.array([[1.0, 2.0]], "f4"), 2.0)
    assert np.array_equal(
        fits.getdata(save_to_path(data, None, tmp_path / "a.fits")),
        np.array([[1, np.nan]], "f4"),
        equal_nan=True,
    )
