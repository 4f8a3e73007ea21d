"""Overscan and trimming against detectors of known level."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS

from mirar_dask.errors import ProcessorError, UsageError
from mirar_dask.processors.overscan import OverscanCorrector, SectionTrimmer, overscan_levels
from mirar_dask.processors.sections import SectionError

NY, NX, WIDTH = 60, 80, 12
DRIFT = 1000 + 3 * np.sin(np.arange(NY) / 9)
"""Level of each row, ADU."""


@pytest.fixture
def frame(make_image):
    """A frame whose rows have levels of their own, and its exposed part."""
    rng = np.random.default_rng(3)
    sky = rng.poisson(200, (NY, NX)).astype(float)
    data = np.zeros((NY, NX + WIDTH))
    data[:, :NX] = sky
    data += DRIFT[:, None]
    image = make_image(
        data.astype("f4"),
        BIASSEC=f"[{NX + 1}:{NX + WIDTH},1:{NY}]",
        TRIMSEC=f"[1:{NX},1:{NY}]",
        SATURATE=60000.0,
    )
    return image, sky


@pytest.mark.parametrize("method", ["median", "mean"])
def test_each_row_loses_its_own_level(frame, method):
    """To the precision of the pixels; the saturation level follows."""
    image, sky = frame
    OverscanCorrector(method=method).apply_to_image(image)
    assert np.allclose(image.get_data()[:, :NX], sky, atol=2e-4)
    assert np.allclose(image.get_data()[:, NX:], 0, atol=2e-4)
    assert image["OVERSCAN"] == pytest.approx(np.median(DRIFT), abs=1e-3)
    assert image["SATURATE"] == pytest.approx(60000 - image["OVERSCAN"])
    assert image.dtype == np.float32


def test_a_polynomial_follows_the_drift_but_not_the_noise(frame, make_image):
    """Its residuals are far below those of single rows."""
    image, _ = frame
    rng = np.random.default_rng(9)
    noisy = image.get_data() + rng.normal(0, 8, image.shape)
    rows = overscan_levels(noisy[:, NX:], 0, NY)
    fit = overscan_levels(noisy[:, NX:], 0, NY, order=5)
    assert np.std(fit - DRIFT) < 0.5 * np.std(rows - DRIFT)
    constant = overscan_levels(noisy[:, NX:], 0, NY, order=0)
    assert np.ptp(constant) < 1e-9
    expected = np.polynomial.Polynomial.fit(np.arange(NY), rows, 5)(np.arange(NY))
    assert np.allclose(fit, expected, atol=1e-6)


def test_ccdproc_subtracts_the_same(frame):
    """By its median over columns, and by its fitted model."""
    ccdproc = pytest.importorskip("ccdproc")
    from astropy.modeling.models import Chebyshev1D
    from astropy.nddata import CCDData

    image, _ = frame
    ccd = CCDData(image.get_data().astype("f8"), unit="adu")
    strip = ccd[:, NX:]
    for order in (None, 3):
        model = None if order is None else Chebyshev1D(order)
        expected = ccdproc.subtract_overscan(ccd, overscan=strip, median=True, model=model)
        found = OverscanCorrector(order=order).apply_to_image(image.handle().open())
        assert np.allclose(found.get_data(), expected.data, atol=3e-4)


def test_masked_pixels_do_not_count_and_masked_rows_are_interpolated(frame):
    """A row without any other value gets its level from its neighbours."""
    image, sky = frame
    data = image.get_data()
    data[5, NX + 2] = 1e6
    data[10, NX:] = np.nan
    data[7, NX] = np.nan
    image.set_data(data)
    OverscanCorrector().apply_to_image(image)
    assert np.allclose(image.get_data()[:, :NX], sky, atol=0.1)
    assert np.isnan(image.get_data()).sum() == WIDTH + 1


def test_rows_beyond_the_section_get_the_level_of_its_end():
    """An overscan may be shorter than the image."""
    levels = overscan_levels(DRIFT[20:40, None] * np.ones(4), 20, NY)
    assert np.allclose(levels[20:40], DRIFT[20:40])
    assert np.all(levels[:20] == levels[20])
    assert np.all(levels[40:] == levels[39])


@pytest.mark.parametrize("keys", [{"TRIMSEC": True}, {"DATASEC": True}, {}])
def test_an_overscan_above_the_image_gives_levels_of_columns(make_image, keys):
    """It shares columns with the exposed part, or is wider than high."""
    columns = 1000 + np.arange(30) % 4
    data = np.tile(columns, (24, 1)).astype("f4")
    data[:20] += 77
    image = make_image(data, BIASSEC="[1:30,21:24]")
    for key in keys:
        image[key] = "[1:30,1:20]"
    OverscanCorrector().apply_to_image(image)
    assert np.array_equal(image.get_data()[:20], np.full((20, 30), 77))
    forced = make_image(data, BIASSEC="[1:30,21:24]")
    OverscanCorrector(axis="rows").apply_to_image(forced)
    assert np.ptp(forced.get_data()[0]) == 3


@pytest.mark.parametrize("text", [None, "UNKNOWN", "N/A"])
def test_a_frame_without_sections_passes_untouched(make_image, text):
    """By both processors."""
    image = make_image(np.ones((3, 4), "f4"), BIASSEC=text, TRIMSEC=text)
    before = image.pixels
    keys = list(image.keys())
    assert OverscanCorrector().apply_to_image(image) is image
    assert SectionTrimmer().apply_to_image(image) is image
    assert image.pixels is before
    assert list(image.keys()) == keys


def test_a_section_outside_of_the_image_leaves_it_as_it_was(make_image):
    """The error names image, key and section."""
    image = make_image(np.ones((3, 4), "f4"), BIASSEC="[5:9,1:3]", TRIMSEC="[1:40,1:3]")
    with pytest.raises(SectionError, match=r"BIASSEC of 'a\.fits'.*x goes from 1 to 4"):
        OverscanCorrector().apply_to_image(image)
    with pytest.raises(SectionError, match=r"TRIMSEC of 'a\.fits'.*x goes from 1 to 4"):
        SectionTrimmer().apply_to_image(image)
    assert np.array_equal(image.get_data(), np.ones((3, 4)))
    assert "OVERSCAN" not in image


def test_an_overscan_without_values_is_an_error(make_image):
    """All masked, or too few rows for the polynomial."""
    data = np.ones((6, 8), "f4")
    data[1:, 6:] = np.nan
    image = make_image(data, BIASSEC="[7:8,1:6]")
    with pytest.raises(ProcessorError, match=r"'a\.fits': 1 rows have pixels .* need 3"):
        OverscanCorrector(order=2).apply_to_image(image)
    image = make_image(np.full((6, 8), np.nan, "f4"), BIASSEC="[7:8,1:6]")
    with pytest.raises(ProcessorError, match="0 rows have pixels"):
        OverscanCorrector().apply_to_image(image)


@pytest.mark.parametrize("wrong", [{"method": "mode"}, {"axis": "y"}, {"order": -1}])
def test_nonsense_parameters_are_refused(wrong):
    """When the processor is made."""
    with pytest.raises(UsageError, match=next(iter(wrong))):
        OverscanCorrector(**wrong)


def test_trimming_keeps_the_exposed_part_and_the_sky_position_of_each_pixel(make_image):
    """The header follows: size, WCS, physical coordinates; the sections are gone."""
    data = np.arange(24 * 30, dtype="f4").reshape(24, 30)
    image = make_image(
        data,
        NAXIS1=30,
        NAXIS2=24,
        CTYPE1="RA---TAN",
        CTYPE2="DEC--TAN",
        CRPIX1=15.0,
        CRPIX2=12.0,
        CRVAL1=150.0,
        CRVAL2=30.0,
        CDELT1=-1e-3,
        CDELT2=1e-3,
        CRPIX1A=15.0,
        LTV2=2.0,
        TRIMSEC="[6:25,3:20]",
        DATASEC="[1:25,1:20]",
        BIASSEC="[26:30,1:24]",
    )
    del image.header["DATE-OBS"]  # astropy would warn that it adds MJD-OBS
    before = WCS(image.header)
    trimmed = SectionTrimmer().apply_to_image(image)
    assert np.array_equal(trimmed.get_data(), data[2:20, 5:25])
    assert trimmed.get_data().flags.c_contiguous
    assert (trimmed["NAXIS1"], trimmed["NAXIS2"]) == (20, 18)
    assert (trimmed["LTV1"], trimmed["LTV2"], trimmed["CRPIX1A"]) == (-5, 0, 10)
    assert not {"TRIMSEC", "DATASEC", "BIASSEC"} & set(trimmed.keys())
    after = WCS(trimmed.header)
    assert np.allclose(after.wcs_pix2world([[3, 4]], 0), before.wcs_pix2world([[8, 6]], 0))


def test_trimming_takes_datasec_where_there_is_no_trimsec(make_image):
    """Or the keys that it is told."""
    data = np.arange(12, dtype="f4").reshape(3, 4)
    image = make_image(data, TRIMSEC="N/A", DATASEC="[1:2,1:3]", MYSEC="[4:4,1:1]")
    own = SectionTrimmer(section_keys=["MYSEC"]).apply_to_image(image.handle().open())
    assert own.get_data() == [[3]]
    assert np.array_equal(SectionTrimmer().apply_to_image(image).get_data(), data[:, :2])


def test_trimming_to_the_whole_image_reads_no_pixel(make_image):
    """Only the sections go."""
    image = make_image(np.ones((3, 4), "f4"), TRIMSEC="[1:4,1:3]")
    before = image.pixels
    SectionTrimmer().apply_to_image(image)
    assert image.pixels is before
    assert "TRIMSEC" not in image
