"""Saving: whole or not at all, and the caller's header is left alone."""

from __future__ import annotations

import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.data import Image
from mirar_dask.errors import InvalidFitsError, WriteError
from mirar_dask.io import (
    MissingCoreFieldError,
    check_image_has_core_fields,
    create_compressed_fits,
    create_fits,
    open_raw_image,
    save_fits,
    save_hdu_as_fits,
    save_to_path,
)


@contextmanager
def disk_of(n_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def image(counts, core_header) -> Image:
    core_header["BASENAME"], core_header["RAWPATH"] = "a.fits", "/raw/a.fits"
    return Image(np.tile(counts, (30, 30)).astype("f4"), core_header)


def names(folder: Path) -> list[str]:
    return sorted(x.name for x in folder.iterdir() if x.is_file())


def test_an_image_knows_where_it_was_saved(image: Image, tmp_path: Path):
    """SAVEPATH, in the image and in the file; a product can be loaded like a raw frame."""
    path = save_fits(image, str(tmp_path / "p.fits"))
    assert path == tmp_path / "p.fits"
    assert image["SAVEPATH"] == fits.getheader(path)["SAVEPATH"] == str(path)
    again = open_raw_image(path)
    assert np.array_equal(again.get_data(), image.get_data())
    assert again["BASENAME"] == "a.fits"


@pytest.mark.parametrize("suffix", [".fits", ".fits.gz", ".fits.fz"])
def test_a_full_disk_leaves_what_was_there(suffix: str, image: Image, tmp_path: Path):
    """One clear error, no temporary file, and an image that is as it was."""
    path = tmp_path / f"p{suffix}"
    path.write_text("the old one")
    image.set_data(np.random.default_rng(0).normal(size=(100, 100)).astype("f4"))
    with disk_of(9000), pytest.raises(WriteError, match=r"cannot write .*p\.fits"):
        save_fits(image, path)
    assert path.read_text() == "the old one"
    assert names(tmp_path) == [path.name]
    assert "SAVEPATH" not in image.header


def test_astropys_own_words_for_a_full_disk_are_understood(counts, tmp_path: Path):
    """It looks at the free space itself, and raises an error without a number."""

    class Full(fits.PrimaryHDU):
        def writeto(self, *args: object, **keys: object) -> None:
            raise OSError("Not enough space on disk: requested 9, available 0. ")

    with pytest.raises(WriteError, match=r"cannot write .*a\.fits: no space is left on the disk"):
        save_hdu_as_fits(Full(counts), tmp_path / "a.fits")


def test_an_earlier_savepath_comes_back_when_saving_fails(image: Image, tmp_path: Path):
    """It still names the file that is there."""
    save_fits(image, tmp_path / "first.fits")
    with pytest.raises(WriteError, match="its folder does not exist"):
        save_fits(image, tmp_path / "no folder" / "second.fits")
    assert image["SAVEPATH"] == str(tmp_path / "first.fits")


@pytest.mark.parametrize("compress", [False, True])
def test_the_callers_header_is_left_as_it_is(compress: bool, counts, core_header, tmp_path: Path):
    """Whatever is wrong in it about the pixels."""
    core_header["BITPIX"], core_header["BZERO"], core_header["CHECKSUM"] = 16, 32768, "stale"
    core_header["XTENSION"], core_header["NAXIS3"] = "IMAGE", 7
    before = core_header.tostring()
    path = save_to_path(counts.astype("f4"), core_header, tmp_path / "a.fits", compress=compress)
    assert core_header.tostring() == before
    with fits.open(path, checksum=True) as hdus:
        found = hdus[1 if compress else 0]
        assert np.array_equal(found.data, counts)
        assert found.header["BITPIX"] == -32
        assert not {"BZERO", "CHECKSUM", "NAXIS3"} & set(found.header)
        assert found.header["TARGET"] == "M13"


def test_keys_of_raw_integers_do_not_spoil_floats(tmp_path: Path):
    """A BLANK or BZERO that survived would be applied to the product, or warned of."""
    hdu = fits.PrimaryHDU(np.full((3, 3), 7, "u2"))
    hdu.header["BLANK"] = 3
    path = save_to_path(np.full((3, 3), 3, "f4"), hdu.header, tmp_path / "a.fits")
    assert np.array_equal(fits.getdata(path), np.full((3, 3), 3, "f4"))
    blank = fits.Header({"BLANK": 3})
    path = save_to_path(np.full((3, 3), 3, "i2"), blank, tmp_path / "b.fits")
    assert fits.getheader(path)["BLANK"] == 3


def test_odd_cards_of_other_programs_are_mended_in_the_file_alone(tmp_path: Path):
    """What astropy would mend in the caller's header."""
    header = fits.Header.fromstring("exptime =                 30.0".ljust(80))
    path = save_to_path(np.zeros((2, 2), "f4"), header, tmp_path / "a.fits")
    with fits.open(path) as hdus:
        hdus.verify("exception")
        assert hdus[0].header["EXPTIME"] == 30.0


def test_a_card_that_fits_cannot_hold_is_named(tmp_path: Path):
    """And no file is left."""
    header = fits.Header.fromstring("OBSERVER= 'José'".ljust(80))
    with pytest.raises(InvalidFitsError, match="header key 'OBSERVER' cannot be written"):
        save_to_path(np.zeros((2, 2), "f4"), header, tmp_path / "a.fits")
    assert names(tmp_path) == []


def test_a_file_may_be_kept(counts, tmp_path: Path):
    """overwrite=False, compressed or not."""
    path = save_to_path(counts, None, tmp_path / "a.fits")
    for compress in (False, True):
        with pytest.raises(OSError, match="it exists already"):
            save_to_path(counts + 1, None, path, overwrite=False, compress=compress)
    assert np.array_equal(fits.getdata(path), counts)


def test_hdus_are_copies_of_their_header(counts, core_header):
    """Those of mirar share it."""
    for make in (create_fits, create_compressed_fits):
        hdu = make(counts, core_header)
        hdu.header["TARGET"] = "changed"
        assert core_header["TARGET"] == "M13"
    assert create_fits(None, None).data is None


def test_astropys_own_hdus_can_be_saved(counts, tmp_path: Path):
    """As mirar's processors do; errors are the same."""
    path = save_hdu_as_fits(fits.PrimaryHDU(counts), tmp_path / "a.fits")
    assert np.array_equal(fits.getdata(path), counts)
    with pytest.raises(WriteError, match="it exists already"):
        save_hdu_as_fits(fits.PrimaryHDU(counts), path, overwrite=False)
    with disk_of(1000), pytest.raises(WriteError, match=r"cannot write .*a\.fits"):
        save_hdu_as_fits(fits.PrimaryHDU(counts), path)
    assert names(tmp_path) == ["a.fits"]


def test_writing_copies_no_more_than_a_band(tmp_path: Path):
    """16 MB are written with 1 MB of memory."""
    data = np.zeros((2048, 2048), "f4")
    tracemalloc.start()
    save_to_path(data, fits.Header({"A": 1}), tmp_path / "a.fits")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


def test_the_same_image_gives_the_same_bytes(counts, core_header, tmp_path: Path):
    """Compressed files hold neither name nor time."""
    for suffix in (".fits", ".fits.gz"):
        one = save_to_path(counts, core_header, tmp_path / f"one{suffix}").read_bytes()
        assert save_to_path(counts, core_header, tmp_path / f"two{suffix}").read_bytes() == one


def test_an_image_can_be_saved_over_the_file_that_backs_it(counts, core_header, tmp_path: Path):
    """It reads the old file to the end while the new one is written beside it."""
    path = save_to_path(counts.astype("f4"), core_header, tmp_path / "a.fits")
    save_fits(open_raw_image(path), path)
    assert np.array_equal(fits.getdata(path), counts)


def test_missing_core_fields_are_all_named(image: Image, tmp_path: Path):
    """And the file, also where BASENAME is among them; mirar names one, and the wrong one."""
    check_image_has_core_fields(image)
    for key in ("EXPTIME", "GAIN"):
        del image.header[key]
    with pytest.raises(MissingCoreFieldError) as info:
        save_fits(image, tmp_path / "a.fits")
    assert str(info.value).startswith("image a.fits lacks the core fields GAIN, EXPTIME")
    assert isinstance(info.value, KeyError)
    assert names(tmp_path) == []
    del image.header["BASENAME"]
    with pytest.raises(MissingCoreFieldError, match=r"/raw/a.fits lacks .*BASENAME"):
        check_image_has_core_fields(image)
