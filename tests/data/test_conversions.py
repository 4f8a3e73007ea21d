"""Images as Dask arrays, CCDData and with world coordinates."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty

from mirar_dask.data import FitsFilePixels, FitsPixels, Image, cache, task_memory

MakeImage = Callable[..., Image]
WCS_KEYS = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 250.0,
    "CRVAL2": 36.0,
    "CRPIX1": 3.0,
    "CRPIX2": 3.5,
    "CD1_1": -1e-4,
    "CD1_2": 0.0,
    "CD2_1": 0.0,
    "CD2_2": 1e-4,
    "DATE-OBS": "2013/05/05",
}


# ---- Dask arrays ------------------------------------------------------------------------------


@pytest.fixture(params=["npy", "fits", "gz", "memory"])
def backed(
    request: pytest.FixtureRequest,
    header: Any,
    fits_pixels: Callable[..., FitsPixels],
    monkeypatch: pytest.MonkeyPatch,
) -> Image:
    """An image of 40 x 30 pixels, of every backing."""
    data = np.arange(1200, dtype=np.float32).reshape(40, 30)
    match request.param:
        case "memory":
            monkeypatch.setenv("USE_MIRAR_CACHE", "false")
            return Image(data, header())
        case "npy":
            return Image(data, header())
    pixels = fits_pixels(data)
    if request.param == "gz":
        path = pixels.path.with_suffix(".gz")
        path.write_bytes(gzip.compress(pixels.path.read_bytes()))
        status = path.stat()
        stamp = (status.st_size, status.st_mtime_ns, status.st_ino)
        return Image(FitsFilePixels(path, 0, data.shape, data.dtype, *stamp), header())
    return Image(pixels, header())


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (None, ((40,), (30,))),
        (7, ((7, 7, 7, 7, 7, 5), (7, 7, 7, 7, 2))),
        ((16, -1), ((16, 16, 8), (30,))),
        (((10, 30), (15, 15)), ((10, 30), (15, 15))),
        ("auto", ((40,), (30,))),
    ],
)
def test_a_dask_array_gives_the_pixels(backed: Image, chunks: Any, expected: Any):
    """In chunks as Dask takes them, from every backing."""
    import dask

    array = backed.to_dask_array(chunks=chunks)
    assert array.chunks == expected
    assert array.dtype == np.float32
    with dask.config.set(scheduler="synchronous"):
        np.testing.assert_array_equal(array.compute(), backed.get_data())
        assert array[5:9, 3].sum().compute() == backed.get_data()[5:9, 3].sum()


def test_a_block_reads_its_rows_only(
    fits_pixels: Callable[..., FitsPixels], header: Any, monkeypatch: pytest.MonkeyPatch
):
    """A band of a frame costs a band of its file."""
    read = []
    rows = FitsPixels.read_rows
    monkeypatch.setattr(
        FitsPixels, "read_rows", lambda self, *band: read.append(band) or rows(self, *band)
    )
    made = Image(fits_pixels(np.zeros((40, 30), np.float32)), header())
    array = made.to_dask_array(chunks=(10, -1))
    assert read == []
    array[10:15].compute(scheduler="synchronous")
    assert read == [(10, 20)]


def test_a_graph_travels_by_path_and_keeps_its_pixels(image: MakeImage):
    """It is small, and outlives the image; another generation has another name."""
    made = image(data=np.zeros((500, 400)))
    array = made.to_dask_array(chunks=(100, -1))
    assert array.name == made.to_dask_array(chunks=(100, -1)).name
    assert len(pickle.dumps(array)) < 10_000
    made.set_data(np.ones((500, 400)))
    assert made.to_dask_array(chunks=(100, -1)).name != array.name
    del made
    assert array.sum().compute(scheduler="synchronous") == 0


def test_a_dask_array_of_pixels_that_are_in_memory_in_a_task(image: MakeImage):
    """They get a file first."""
    with task_memory(None):
        made = image()
        array = made.to_dask_array()
        assert made.pixels.path in list(cache.get_cache_dir().iterdir())
        np.testing.assert_array_equal(array.compute(scheduler="synchronous"), made.get_data())


def test_a_file_that_must_be_read_whole_is_copied_once(
    tmp_path: Path, header: Any, fits_pixels: Callable[..., FitsPixels]
):
    """Its bands come from an npy file then."""
    pixels = fits_pixels(np.ones((20, 10), np.float32))
    path = pixels.path.with_suffix(".gz")
    path.write_bytes(gzip.compress(pixels.path.read_bytes()))
    status = path.stat()
    stamp = (status.st_size, status.st_mtime_ns, status.st_ino)
    made = Image(FitsFilePixels(path, 0, (20, 10), np.dtype("f4"), *stamp), header())
    array = made.to_dask_array(chunks=(5, -1))
    path.unlink()
    assert array.sum().compute(scheduler="synchronous") == 200


def test_images_can_be_stacked_by_dask(image: MakeImage):
    """What the method is for."""
    import dask.array as da

    images = [image(f"{n}.fits", np.full((20, 10), float(n))) for n in range(5)]
    stack = da.stack([one.to_dask_array(chunks=(10, -1)) for one in images])
    median = da.median(stack, axis=0).compute(scheduler="synchronous")
    np.testing.assert_array_equal(median, np.full((20, 10), 2.0))


# ---- world coordinates and CCDData --------------------------------------------------------------


def test_the_wcs_is_that_of_the_header(image: MakeImage):
    """It follows the header, and makes no fuss about old dates."""
    made = image(**WCS_KEYS)
    sky = made.wcs.pixel_to_world(2.0, 2.5)
    assert sky.ra.deg == pytest.approx(250.0)
    assert sky.dec.deg == pytest.approx(36.0)
    made["CRVAL1"] = 10.0
    assert made.wcs.pixel_to_world(2.0, 2.5).ra.deg == pytest.approx(10.0)
    assert image().wcs is None


def test_ccddata_has_mask_unit_and_wcs(image: MakeImage):
    """Bad pixels are True in its mask, as CCDData wants it."""
    data = np.ones((6, 5), np.float32)
    data[1, 2] = np.nan
    made = image(data=data, BUNIT="electron", **WCS_KEYS)
    ccd = made.to_ccddata()
    assert isinstance(ccd, CCDData)
    np.testing.assert_array_equal(ccd.mask, ~made.get_mask())
    assert ccd.unit == u.electron
    assert ccd.wcs.wcs.crval[0] == 250.0
    assert ccd.header["RAWPATH"] == "/raw/a.fits"
    ccd.header["RAWPATH"] = "other"
    ccd.data[:] = 0
    assert made["RAWPATH"] == "/raw/a.fits"
    assert made.get_data()[0, 0] == 1


@pytest.mark.parametrize(
    ("bunit", "expected"),
    [
        (None, u.adu),
        ("", u.adu),
        ("ADU", u.adu),
        ("adu", u.adu),
        ("electron/s", u.electron / u.s),
        ("Jy", u.Jy),
        ("counts of something", u.adu),
    ],
)
def test_the_unit_is_that_of_the_header(bunit: str | None, expected: Any, image: MakeImage):
    """Adu where it says nothing that is known."""
    made = image(BUNIT=bunit) if bunit is not None else image()
    assert made.to_ccddata().unit == expected


def test_integers_have_no_mask_in_ccddata(image: MakeImage):
    """There is nothing to mask."""
    assert image(data=np.ones((2, 2), np.uint16)).to_ccddata().mask is None


def test_ccddata_and_back(image: MakeImage):
    """Pixels, mask, unit, coordinates and header."""
    data = np.arange(30, dtype=np.float32).reshape(6, 5)
    data[1, 2] = np.nan
    made = image(data=data, EXPTIME=5.0, **WCS_KEYS)
    back = Image.from_ccddata(made.to_ccddata())
    np.testing.assert_array_equal(back.get_data(), data)
    assert back.dtype == np.float32
    assert back["BUNIT"] == "adu"
    assert back["EXPTIME"] == 5.0
    assert back.wcs.wcs.crval[0] == 250.0
    assert back.header is not made.header


def test_ccddata_of_another_origin(header: Any):
    """Masked pixels become NaN; the WCS enters the header; the uncertainty is left out."""
    wcs = Image(np.zeros((6, 5)), header(**WCS_KEYS)).wcs
    mask = np.zeros((6, 5), bool)
    mask[0, 0] = True
    ccd = CCDData(
        np.ones((6, 5)),
        unit="electron",
        mask=mask,
        wcs=wcs,
        uncertainty=StdDevUncertainty(np.ones((6, 5))),
        meta={"OBSERVER": "somebody"},
    )
    made = Image.from_ccddata(ccd, header("b.fits"))
    assert made.get_name() == "b.fits"
    assert made["BUNIT"] == "electron"
    np.testing.assert_array_equal(~made.get_mask(), mask)
    assert made.wcs.pixel_to_world(2.0, 2.5).ra.deg == pytest.approx(250.0)
    with pytest.raises(KeyError, match="RAWPATH"):
        Image.from_ccddata(ccd)


def test_ccddata_of_a_file(tmp_path: Path, header: Any):
    """Read by astropy, made an image with the keys that it needs."""
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(np.ones((6, 5), np.float32), header(**WCS_KEYS)).writeto(path)
    made = Image.from_ccddata(CCDData.read(path, unit="adu"))
    assert made.get_name() == "a.fits"
    assert made.wcs is not None
    assert made.get_data().sum() == 30
