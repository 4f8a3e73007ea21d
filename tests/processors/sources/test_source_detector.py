"""SourceDetector: what is found is there, and measured right."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mirar_dask.data import Dataset, ImageBatch, SourceTable
from mirar_dask.errors import UsageError
from mirar_dask.paths import core_source_fields
from mirar_dask.processors.base_processor import (
    BaseCandidateGenerator,
    BaseSourceGenerator,
    Processed,
    Status,
)
from mirar_dask.processors.sources import SourceDetector
from mirar_dask.testing.contracts import check_processor

CARDS = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.0,
    "CRVAL2": 20.0,
    "CRPIX1": 180.5,
    "CRPIX2": 150.5,
    "CD1_1": -2e-4,
    "CD1_2": 0.0,
    "CD2_1": 0.0,
    "CD2_2": 2e-4,
}


def detect(*images, **options) -> Processed:
    detector = SourceDetector(**options)
    detector.set_night("pipe/n1")
    return detector.process(ImageBatch(list(images)))


def table_of(done: Processed) -> SourceTable:
    assert done.batch is not None
    (table,) = done.batch
    return table


def test_every_star_is_found_and_nothing_else(scene):
    """All sixty, each within a tenth of a pixel or three times its error."""
    table = table_of(detect(scene.image())).get_data()
    assert len(table) == 60
    for row in table.itertuples():
        _, distance = scene.nearest(row.xpos, row.ypos)
        assert distance < max(0.1, 3 * np.hypot(row.xposunc, row.yposunc))


def test_fluxes_are_right_within_their_errors(scene):
    """Of large apertures and elliptical ones; deviations over errors scatter by one."""
    data = table_of(detect(scene.image(), aper_diameters=[6, 14])).get_data()
    truth = np.array([scene.flux[scene.nearest(r.xpos, r.ypos)[0]] for r in data.itertuples()])
    pull = (data["fluxap14"] - truth) / np.hypot(data["fluxuncap14"], 0.01 * truth)
    assert abs(np.median(pull)) < 0.5
    assert 0.5 < np.std(pull) < 1.5
    ratio = data["fluxapauto"] / truth
    assert 0.96 < np.median(ratio) < 1.01
    assert np.std((ratio - np.median(ratio)) * data["fluxapauto"] / data["fluxuncapauto"]) < 2
    missing = 0.5 ** ((2 * 3.0 / scene.fwhm) ** 2)  # of a Gaussian, beyond three pixels
    assert np.median(data["fluxap6"] / truth) == pytest.approx(1 - missing, abs=0.01)


def test_fluxes_and_errors_are_those_of_photutils(scene):
    """In the same apertures on the same background."""
    from photutils.aperture import CircularAperture, aperture_photometry

    done = table_of(detect(scene.image(), aper_diameters=[10]))
    data = done.get_data()
    flat = scene.data - done["SKYMED"]
    error = np.full(flat.shape, done["SKYRMS"])
    apertures = CircularAperture(list(zip(data["xpos"], data["ypos"], strict=True)), r=5)
    theirs = aperture_photometry(flat, apertures, error=error)
    mine = data["fluxap10"].to_numpy()
    assert np.abs(mine / theirs["aperture_sum"] - 1).max() < 0.06
    bright = mine > 10000
    assert np.abs(mine / theirs["aperture_sum"] - 1)[bright].max() < 0.01
    expected = np.sqrt(theirs["aperture_sum_err"] ** 2 + np.maximum(mine, 0) / scene.gain)
    np.testing.assert_allclose(data["fluxuncap10"], expected, rtol=0.05)


def test_magnitudes_are_instrumental(scene):
    """-2.5 log10 of the flux, with the error that belongs to it."""
    data = table_of(detect(scene.image())).get_data()
    np.testing.assert_allclose(data["magap8"], -2.5 * np.log10(data["fluxap8"]))
    relative = data["fluxuncap8"] / data["fluxap8"]
    np.testing.assert_allclose(data["sigmagap8"], 1.0857 * relative, rtol=1e-3)


@pytest.mark.parametrize("fwhm", [2.5, 4.0, 7.0])
def test_the_width_of_stars_is_measured(make_scene, fwhm: float):
    """Median FWHM and ellipticity, in the table and in the metadata."""
    table = table_of(detect(make_scene(fwhm=fwhm, faintest=20000, n=30).image()))
    assert table["FWHM_PIX"] == pytest.approx(fwhm, rel=0.1)
    assert np.median(table.get_data()["fwhm"]) == pytest.approx(fwhm, rel=0.1)
    assert table["ELLIPMED"] < 0.1


def test_elongated_sources_are_described(make_scene):
    """Axes and angle of what is stretched along the diagonal."""
    scene = make_scene(n=12, faintest=50000)
    smeared = scene.data.astype(float)
    for _ in range(3):
        smeared = (
            smeared + np.roll(smeared, (1, 1), (0, 1)) + np.roll(smeared, (-1, -1), (0, 1))
        ) / 3
    scene.data = smeared.astype(np.float32)
    data = table_of(detect(scene.image())).get_data()
    assert np.median(data["ellipticity"]) > 0.25
    assert np.median(data["theta"]) == pytest.approx(np.pi / 4, abs=0.1)


def test_sky_and_noise_are_measured(make_scene):
    """Median and standard deviation of the background, and the number of sources."""
    table = table_of(detect(make_scene(n=20).image()))
    assert table["SKYMED"] == pytest.approx(300, abs=1)
    assert table["SKYRMS"] == pytest.approx(5, rel=0.1)
    assert table["NSOURCES"] == len(table) == 20


def test_a_gradient_of_the_sky_does_no_harm(make_scene):
    """All sources are found on it, with the same fluxes."""
    flat, tilted = (make_scene(3, faintest=2000, gradient=g) for g in (0, 150))
    first, second = (table_of(detect(s.image())).get_data() for s in (flat, tilted))
    assert len(first) == len(second)
    np.testing.assert_allclose(first["fluxap8"], second["fluxap8"], rtol=0.15, atol=200)


def test_positions_are_turned_into_coordinates(scene):
    """Coordinates by the WCS of the image; the pixel scale gives the seeing in arcseconds."""
    image = scene.image(**CARDS)
    table = table_of(detect(image))
    data = table.get_data()
    x, y = image.wcs.world_to_pixel_values(data["ra"], data["dec"])
    np.testing.assert_allclose(x, data["xpos"], atol=1e-6)
    np.testing.assert_allclose(y, data["ypos"], atol=1e-6)
    assert table["FWHM_MED"] == pytest.approx(table["FWHM_PIX"] * 0.72, rel=1e-3)


def test_coordinates_are_nan_without_a_wcs(scene):
    """The columns are there."""
    table = table_of(detect(scene.image()))
    assert table.get_data()[["ra", "dec"]].isna().all().all()
    assert "FWHM_MED" not in table


def test_the_table_has_what_every_table_has(scene):
    """Core columns, names that tell the image, the header as metadata."""
    table = table_of(detect(scene.image("a.b.fits", FILTER="r")))
    data = table.get_data()
    assert set(core_source_fields) <= set(data.columns)
    assert data["objectid"].is_unique
    assert data["objectid"][0] == "a.b_0001"
    assert list(data["prv_candidates"][:2]) == [[], []]
    assert (table["FILTER"], table["BASENAME"]) == ("r", "a.b.fits")
    assert table["CALSTEPS"] == "DETSEP,"
    assert (np.diff(data["fluxapauto"]) <= 0).all()


def test_masked_pixels_belong_to_no_source(scene):
    """Nothing is found in them, and what they touch is flagged."""
    image = scene.image()
    data = image.get_data()
    bright = int(np.argmax(scene.flux))
    x, y = round(scene.x[bright]), round(scene.y[bright])
    data[y - 15 : y + 16, x - 15 : x + 16] = np.nan
    other = int(np.argsort(scene.flux)[-2])
    ox, oy = round(scene.x[other]), round(scene.y[other])
    data[oy + 3, ox] = np.nan
    image.set_data(data)
    table = table_of(detect(image)).get_data()
    assert len(table) == 59
    assert np.hypot(table["xpos"] - x, table["ypos"] - y).min() > 15
    touched = np.hypot(table["xpos"] - ox, table["ypos"] - oy).argmin()
    assert table["flags"][touched] & 32
    assert table["fluxap16"][touched] == pytest.approx(scene.flux[other], rel=0.05)
    assert np.isnan(image.get_data()[oy + 3, ox])


def test_saturated_sources_are_flagged(scene):
    """From SATURATE of the header on."""
    limit = float(np.sort(scene.data.ravel())[-200])
    table = table_of(detect(scene.image(SATURATE=limit))).get_data()
    flagged = (table["flags"] & 4) > 0
    assert 0 < flagged.sum() < len(table)
    assert table["fluxapauto"][flagged].min() > table["fluxapauto"][~flagged].median()


def test_sources_at_the_edge_are_flagged(make_scene):
    """Their apertures are cut."""
    scene = make_scene()
    scene.data = np.ascontiguousarray(scene.data[:, round(scene.x[0]) :])
    table = table_of(detect(scene.image())).get_data()
    edge = table["xpos"] < 2
    assert edge.any()
    assert (table["flags"][edge] & (2 | 16) > 0).all()


def test_neighbours_are_told_apart_and_flagged(make_scene):
    """Two stars that touch are two sources."""
    scene = make_scene(n=4, faintest=50000)
    scene.data = scene.data + ndimage.shift(scene.data - 300, (0, 6))
    table = table_of(detect(scene.image())).get_data()
    assert len(table) == 8
    assert (table["flags"] & 1).any()
    assert len(table_of(detect(scene.image(), deblend_contrast=1.0)).get_data()) == 4


@pytest.mark.parametrize(
    "data",
    [
        np.random.default_rng(1).normal(100, 3, (120, 130)).astype(np.float32),
        np.full((60, 70), 7.0, np.float32),
        np.full((60, 70), np.nan, np.float32),
    ],
    ids=["noise", "constant", "masked"],
)
def test_an_image_without_sources_has_no_table(scene, data):
    """It is named in a caveat, the other images go on, and empty batches are dropped."""
    empty = scene.image("empty.fits")
    empty.set_data(data)
    done = detect(scene.image(), empty)
    assert [table.get_name() for table in done.batch] == ["field.fits"]
    (record,) = done.records
    assert (record.names, record.status) == (("empty.fits",), Status.CAVEATS)
    assert "no source over 5 sigma in 'empty.fits'" in record.reason
    dataset, errors = SourceDetector().base_apply(Dataset([ImageBatch([empty])]))
    assert len(dataset) == 0
    assert len(errors.get_all_reports()) == 0


def test_fainter_sources_are_found_with_a_lower_threshold(make_scene):
    """More sources, and the bright ones the same."""
    scene = make_scene(faintest=100, brightest=5000)
    high, low = (
        table_of(detect(scene.image(), threshold=t, min_area=3)).get_data() for t in (10, 2)
    )
    assert len(low) > len(high)


def test_integers_of_any_byte_order_are_accepted(scene):
    """Cameras' own types too."""
    expected = len(table_of(detect(scene.image())))
    for dtype in (">i4", "<u2", ">f8"):
        image = scene.image()
        image.set_data(scene.data.clip(0).astype(dtype))
        assert len(table_of(detect(image))) == pytest.approx(expected, abs=1)


def test_the_image_is_left_alone(scene):
    """Pixels and header stay as they are; a repetition gives the same table."""
    image = scene.image()
    before = image.header.tostring()
    first, second = (table_of(detect(image)).get_data() for _ in range(2))
    np.testing.assert_array_equal(image.get_data(), scene.data)
    assert image.header.tostring() == before
    assert first.equals(second)


def test_it_keeps_the_promises_of_every_processor(scene, tmp_path):
    """Picklable, unchanged by its work, the same result each time, no file written."""
    check_processor(SourceDetector(), ImageBatch([scene.image()]), folder=tmp_path)


def test_wrong_parameters_are_refused():
    """With what is expected."""
    with pytest.raises(UsageError, match="must be positive"):
        SourceDetector(threshold=0)
    with pytest.raises(UsageError, match="must be positive"):
        SourceDetector(aper_diameters=[4.0, -1.0])


def test_it_is_a_source_generator():
    """Under both names of that base class."""
    assert BaseCandidateGenerator is BaseSourceGenerator
    assert issubclass(SourceDetector, BaseSourceGenerator)
    assert SourceDetector(aper_diameters=5).aper_diameters == [5.0]
