"""Opening images without reading their pixels."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.data import FitsFilePixels, FitsPixels, Image
from mirar_dask.errors import UsageError
from mirar_dask.io import open_fits, open_image, open_lazy, open_raw_image, saved_pixels

KINDS = ["plain", "gz", "bz2", "tiles", "extension"]
TYPES = ["u1", "i2", "u2", "i4", "u4", "f4", "f8"]
WIDE = {"i4", "u4", "f8"}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_that_astropy_reads(write_as, kind, dtype, tmp_path, counts, core_header):
    """For every type and compression, as floats wide enough to hold them."""
    data = (counts % 200).astype(dtype)
    if dtype in ("u2", "i4", "u4"):
        data += np.array(2 ** (data.itemsize * 8 - 1) - 201).astype(dtype)
    if dtype.startswith("f"):
        data = (data / 7 - 3).astype(dtype)
    if kind == "tiles" and dtype.startswith("f"):
        pytest.skip("astropy rounds floats when it compresses them by default")
    path = write_as(kind, tmp_path / "a.fits", data, core_header)
    pixels, header = open_lazy(path)
    assert pixels.dtype == np.dtype("f8" if dtype in WIDE else "f4")
    assert pixels.shape == data.shape
    assert np.array_equal(pixels.read(), data)
    assert (header["BITPIX"], header["NAXIS1"], header["NAXIS2"]) == (
        -8 * pixels.dtype.itemsize,
        *data.shape[::-1],
    )
    assert not {"BZERO", "BSCALE"} & set(header)
    assert header["TARGET"] == "M13"


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_open_fits_gives_the_files_own_type(write_as, kind, dtype, tmp_path, counts, core_header):
    """In native byte order, with a header that describes the array."""
    data = (counts % 200).astype(dtype)
    path = write_as(kind, tmp_path / "a.fits", data, core_header)
    array, header = open_fits(path)
    assert array.dtype == np.dtype(dtype)
    assert np.array_equal(array, data) or (kind == "tiles" and dtype.startswith("f"))
    assert array.flags.writeable
    assert header["BASENAME"] == "a.fits"
    assert header["RAWPATH"] == str(path)
    assert abs(header["BITPIX"]) == 8 * array.dtype.itemsize


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_plain_files_can_be_read_alone(write_as, kind, tmp_path, counts, core_header):
    """Compressed ones are read whole."""
    pixels, _ = open_lazy(write_as(kind, tmp_path / "a.fits", counts, core_header))
    plain = kind in ("plain", "extension")
    assert type(pixels) is (FitsPixels if plain else FitsFilePixels)
    assert pixels.rows_readable is plain
    assert np.array_equal(pixels.read_rows(2, 4), counts[2:4])


def test_no_pixel_is_read_and_nothing_of_their_size_allocated(tmp_path: Path, core_header):
    """A sparse file of 1 GB opens at once."""
    header = fits.PrimaryHDU(np.zeros((1, 1), "f4"), core_header).header
    header["NAXIS1"] = header["NAXIS2"] = 16_000
    path = tmp_path / "huge.fits"
    path.write_bytes(header.tostring().encode())
    os.truncate(path, len(header.tostring()) + 4 * 16_000**2)
    image = open_raw_image(path)
    assert image.shape == (16_000, 16_000)
    assert np.array_equal(image.pixels.read_rows(15_999, None)[0, :3], [0, 0, 0])


def test_undefined_integers_become_nan(tmp_path: Path, counts, core_header):
    """BLANK, which is a value before scaling."""
    header = core_header.copy()
    header["BLANK"] = int(counts[1, 1])
    header["BZERO"], header["BSCALE"] = 100.0, 0.5
    hdu = fits.PrimaryHDU(counts, header, do_not_scale_image_data=True)
    hdu.header.update({"BZERO": 100.0, "BSCALE": 0.5, "BLANK": int(counts[1, 1])})
    (tmp_path / "a.fits").write_bytes(
        hdu.header.tostring().encode() + counts.astype(">i2").tobytes().ljust(2880, b"\0")
    )
    expected = np.where(counts == counts[1, 1], np.nan, counts * 0.5 + 100).astype("f4")
    pixels, header = open_lazy(tmp_path / "a.fits")
    assert np.array_equal(pixels.read(), expected, equal_nan=True)
    assert np.array_equal(open_fits(tmp_path / "a.fits")[0], expected, equal_nan=True)
    assert not {"BLANK", "BZERO", "BSCALE"} & set(header)


def test_the_type_can_be_chosen(write_as, tmp_path: Path, counts, core_header):
    """float64 for everything is what mirar does."""
    path = write_as("plain", tmp_path / "a.fits", counts, core_header)
    assert open_lazy(path, dtype="f8")[0].read().dtype == np.float64
    assert open_raw_image(path, dtype=np.float64).get_data().dtype == np.float64
    with pytest.raises(UsageError, match="float32 or float64, not as int16"):
        open_lazy(path, dtype="i2")


def test_one_plane_of_three_axes_is_an_image(write_as, tmp_path: Path, counts, core_header):
    """Some cameras write a third axis of length 1."""
    fits.PrimaryHDU(counts[None], core_header).writeto(tmp_path / "a.fits")
    pixels, header = open_lazy(tmp_path / "a.fits")
    assert np.array_equal(pixels.read(), counts)
    assert header["NAXIS"] == 2
    assert "NAXIS3" not in header
    packed = write_as("gz", tmp_path / "b.fits", counts[None], core_header)
    assert np.array_equal(open_lazy(packed)[0].read(), counts)


def test_a_raw_image_keeps_its_pixels_in_its_file(write_as, tmp_path: Path, counts, core_header):
    """BASENAME and RAWPATH are filled in, and the pickle is small."""
    path = write_as("plain", tmp_path / "a.fits", np.tile(counts, (50, 50)), core_header)
    image = open_raw_image(str(path))
    assert isinstance(image, Image)
    assert image.get_name() == image["BASENAME"] == "a.fits"
    assert image["RAWPATH"] == str(path)
    assert image.pixels.path == path
    assert len(pickle.dumps(image)) < 10_000
    assert np.array_equal(pickle.loads(pickle.dumps(image)).get_data(), image.get_data())


@pytest.mark.parametrize("kind", ["gz", "bz2", "tiles"])
def test_a_compressed_frame_is_named_without_its_compression(
    write_as, kind, tmp_path, counts, core_header
):
    """Its products are not compressed."""
    image = open_raw_image(write_as(kind, tmp_path / "a.fits", counts, core_header))
    assert image["BASENAME"] == "a.fits"


def test_names_in_the_header_are_kept(write_as, tmp_path: Path, counts, core_header):
    """A product that is loaded again belongs to its raw frames."""
    core_header["BASENAME"], core_header["RAWPATH"] = "raw.fits", "/raw/raw.fits"
    image = open_image(write_as("plain", tmp_path / "a.fits", counts, core_header))
    assert (image["BASENAME"], image["RAWPATH"]) == ("raw.fits", "/raw/raw.fits")


def test_relative_paths_hold_when_the_working_folder_changes(
    write_as, tmp_path, counts, core_header, monkeypatch
):
    """A worker has another one."""
    write_as("plain", tmp_path / "a.fits", counts, core_header)
    monkeypatch.chdir(tmp_path)
    image = open_raw_image(Path("a.fits"))
    monkeypatch.chdir("/")
    assert np.array_equal(image.get_data(), counts)


def test_a_users_function_is_called_and_its_array_promoted(tmp_path: Path, counts, core_header):
    """As mirar's instruments load their frames."""
    called = []

    def load(path: Path) -> tuple[np.ndarray, fits.Header]:
        called.append(path)
        return counts, core_header.copy()

    image = open_raw_image(tmp_path / "never read.fits", load)
    assert called == [tmp_path / "never read.fits"]
    assert image["BASENAME"] == "never read.fits"
    assert image.dtype == np.float32
    assert np.array_equal(image.get_data(), counts)


def test_the_header_of_the_only_extension_gets_the_primary_headers_keys(tmp_path, counts):
    """Cameras put what they know into the primary header."""
    primary = fits.PrimaryHDU()
    primary.header["TELESCOP"] = "Hale"
    primary.header["OBJECT"] = "of the primary"
    primary.header["HISTORY"] = "was exposed"
    extension = fits.ImageHDU(counts, name="CHIP1")
    extension.header["OBJECT"] = "of the extension"
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])])
    fits.HDUList([primary, table, extension]).writeto(tmp_path / "a.fits")
    pixels, header = open_lazy(tmp_path / "a.fits")
    assert np.array_equal(pixels.read(), counts)
    assert header["TELESCOP"] == "Hale"
    assert header["OBJECT"] == "of the extension"
    assert list(header["HISTORY"]) == ["was exposed"]
    assert next(iter(header)) == "SIMPLE"
    assert not {"XTENSION", "PCOUNT", "GCOUNT"} & set(header)


def test_an_hdu_can_be_asked_for_by_number(tmp_path: Path, counts, core_header):
    """0 is the primary one."""
    hdus = [fits.PrimaryHDU(counts, core_header), fits.ImageHDU(counts + 1), fits.ImageHDU(counts)]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    assert np.array_equal(open_lazy(tmp_path / "a.fits", hdu=1)[0].read(), counts + 1)
    assert np.array_equal(open_lazy(tmp_path / "a.fits")[0].read(), counts)


def test_a_product_backs_the_image_that_was_saved(tmp_path: Path, counts):
    """Nothing is read to know where the pixels lie."""
    from mirar_dask.io import save_to_path

    data = counts.astype("f4")
    path = save_to_path(data, None, tmp_path / "p.fits")
    pixels = saved_pixels(path)
    assert isinstance(pixels, FitsPixels)
    assert pixels.dtype == data.dtype
    assert np.array_equal(pixels.read(), data)


def test_real_frames_open(real_frames):
    """Frames as a camera wrote them, almost without keys."""
    for path in real_frames:
        image = open_image(path)
        expected = fits.getdata(path)
        assert image.shape == expected.shape
        assert np.array_equal(image.get_data(), expected.astype("f4"))
