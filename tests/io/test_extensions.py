"""Files of several images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.data import FitsFilePixels, FitsPixels
from mirar_dask.errors import InvalidFitsError
from mirar_dask.io import (
    ExtensionParsingError,
    MissingCoreFieldError,
    combine_mef_extension_file_headers,
    open_mef_fits,
    open_mef_image,
    save_mef_to_path,
    tag_mef_extension_file_headers,
)


def chips(counts: np.ndarray, header: fits.Header, kind: type = fits.ImageHDU) -> fits.HDUList:
    """Make a file of two chips with a table between them."""
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])])
    hdus = [fits.PrimaryHDU(header=header), kind(counts, name="N"), table]
    hdus += [kind(counts + 1, name="S"), fits.ImageHDU(name="EMPTY")]
    for hdu, chip in zip((hdus[1], hdus[3]), ("north", "south"), strict=True):
        hdu.header["CHIP"] = chip
        hdu.header["GAIN"] = 2.5 if chip == "south" else 1.25
    return fits.HDUList(hdus)


@pytest.fixture
def mosaic(tmp_path: Path, counts, core_header) -> Path:
    core_header["HISTORY"] = "exposed"
    chips(counts, core_header).writeto(tmp_path / "mosaic.fits")
    return tmp_path / "mosaic.fits"


def test_each_extension_is_an_image_of_its_own(mosaic: Path, counts):
    """Backed by the file, with the primary header's keys beside its own."""
    north, south = open_mef_image(mosaic)
    assert [x.get_name() for x in (north, south)] == ["mosaic_0.fits", "mosaic_2.fits"]
    assert all(isinstance(x.pixels, FitsPixels) for x in (north, south))
    assert np.array_equal(north.get_data(), counts)
    assert np.array_equal(south.get_data(), counts + 1)
    assert (north["GAIN"], south["GAIN"]) == (1.25, 2.5)
    assert (north["CHIP"], south["EXTNAME"]) == ("north", "S")
    assert south["TARGET"] == "M13"
    assert list(south.header["HISTORY"]) == ["exposed"]
    assert south["RAWPATH"] == str(mosaic)


def test_extensions_are_named_by_a_key_if_one_is_given(mosaic: Path):
    """A key whose values tell them apart."""
    names = [x.get_name() for x in open_mef_image(mosaic, extension_key="CHIP")]
    assert names == ["mosaic_north.fits", "mosaic_south.fits"]


def test_compressed_extensions_are_images_too(tmp_path: Path, counts, core_header):
    """And their names have no compression suffix."""
    path = tmp_path / "mosaic.fits.fz"
    chips(counts, core_header, fits.CompImageHDU).writeto(path)
    images = open_mef_image(path)
    assert [x.get_name() for x in images] == ["mosaic_0.fits", "mosaic_2.fits"]
    assert all(isinstance(x.pixels, FitsFilePixels) for x in images)
    assert np.array_equal(images[1].get_data(), counts + 1)


def test_headers_of_the_images_are_their_own(mosaic: Path):
    """What is changed in one is not in the other."""
    north, south = open_mef_image(mosaic)
    north["TARGET"] = "changed"
    assert south["TARGET"] == "M13"


def test_a_file_without_extensions_gives_its_primary_image(tmp_path: Path, counts, core_header):
    """A folder may hold both."""
    fits.PrimaryHDU(counts, core_header).writeto(tmp_path / "one.fits")
    (image,) = open_mef_image(tmp_path / "one.fits")
    assert image.get_name() == "one.fits"
    assert np.array_equal(image.get_data(), counts)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("TARGET", r"mosaic.fits: extensions 0, 2 lack the key 'TARGET'"),
        ("BITPIX", r"mosaic.fits: several extensions are named -32"),
    ],
)
def test_extensions_that_cannot_be_told_apart_are_an_error(mosaic: Path, key, words):
    """The key is missing, or says the same of two."""
    with pytest.raises(ExtensionParsingError, match=words):
        open_mef_image(mosaic, extension_key=key)


def test_missing_core_fields_and_cut_files_are_errors(tmp_path: Path, counts, core_header):
    """As for files of one image."""
    path = tmp_path / "a.fits"
    chips(counts, fits.Header()).writeto(path)
    with pytest.raises(MissingCoreFieldError, match=r"a_0.fits lacks the core fields OBSCLASS"):
        open_mef_image(path)
    path.write_bytes(path.read_bytes()[:-5800])
    with pytest.raises(InvalidFitsError, match="truncated"):
        open_mef_image(path)


def test_arrays_and_headers_can_be_read_directly(mosaic: Path, counts):
    """`open_mef_fits` reads all images and passes tables over."""
    primary, arrays, headers = open_mef_fits(mosaic)
    assert primary["BASENAME"] == "mosaic.fits"
    assert [a.dtype for a in arrays] == [np.float32] * 2
    assert np.array_equal(arrays[1], counts + 1)
    assert [h["CHIP"] for h in headers] == ["north", "south"]
    assert "TARGET" not in headers[0]


def test_a_users_function_is_called(mosaic: Path, counts):
    """With what it returns, images are made and named."""

    def load(path: Path):
        primary, arrays, headers = open_mef_fits(path)
        return primary, [a.astype("i4") for a in arrays], headers

    images = open_mef_image(mosaic, load)
    assert [x.get_name() for x in images] == ["mosaic_0.fits", "mosaic_1.fits"]
    assert images[0].dtype == np.float64
    assert np.array_equal(images[1].get_data(), counts + 1)


def test_combining_headers_leaves_both_as_they_were():
    """Where mirar's function changes the extension's header."""
    primary = fits.Header({"SIMPLE": True, "NAXIS": 0, "A": 1, "B": 2})
    primary.comments["A"] = "one"
    primary["BASENAME"] = "x.fits"
    extension = fits.Header({"XTENSION": "IMAGE", "NAXIS": 2, "B": 3})
    before = (primary.tostring(), extension.tostring())
    combined = combine_mef_extension_file_headers(primary, extension)
    assert (combined["A"], combined["B"], combined["NAXIS"]) == (1, 3, 2)
    assert combined.comments["A"] == "one"
    tagged = tag_mef_extension_file_headers(primary, [extension, extension])
    assert [h["BASENAME"] for h in tagged] == ["x_0.fits", "x_1.fits"]
    assert (primary.tostring(), extension.tostring()) == before


def test_several_images_are_written_to_one_file(tmp_path: Path, counts, core_header):
    """And read back; the headers are left as they are."""
    headers = [fits.Header({"CHIP": i, "EXTNAME": f"C{i}", "BZERO": 5.0}) for i in range(2)]
    before = [h.tostring() for h in headers]
    arrays = [counts.astype("f4"), counts.astype("u2")]
    path = save_mef_to_path(arrays, headers, core_header, tmp_path / "out.fits")
    assert [h.tostring() for h in headers] == before
    with fits.open(path) as hdus:
        assert [h.name for h in hdus[1:]] == ["C0", "C1"]
        assert hdus[0].header["TARGET"] == "M13"
        assert [h.data.dtype.kind for h in hdus[1:]] == ["f", "u"]
    images = open_mef_image(path, extension_key="CHIP")
    assert all(np.array_equal(x.get_data(), counts) for x in images)
    with pytest.raises(ValueError, match="shorter"):
        save_mef_to_path(arrays, headers[:1], core_header, path)
