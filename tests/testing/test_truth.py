"""The truth of a simulated night agrees with what a plain reduction finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from mirar_dask.testing import Camera, NightTruth, simulate_night

from .conftest import reduce_plainly


def save(path: Path, data: np.ndarray, **header: str) -> Path:
    fits.PrimaryHDU(data.astype(np.float32), fits.Header(header)).writeto(path)
    return path


@pytest.mark.parametrize("number", [0, 5, 6])
def test_a_plain_reduction_deviates_by_its_noise_alone(
    tmp_path: Path, raw: Path, night: NightTruth, number: int
):
    """Bias, dark and flat correction with NumPy give a deviation of one."""
    name = night.names("science")[number]
    product = save(tmp_path / name, reduce_plainly(raw, night, name))
    found = night.compare(product)
    assert night.deviation(product) == pytest.approx(1, abs=0.02)
    assert found.scatter == pytest.approx(1, abs=0.02)
    assert abs(found.offset) < 0.03
    assert found.outliers < 1e-4
    assert found.pixels > 0.99 * night.shape[0] * night.shape[1]


@pytest.mark.parametrize("step", ["bias", "dark", "flat"])
def test_a_step_left_out_shows_in_the_deviation(
    tmp_path: Path, raw: Path, night: NightTruth, step: str
):
    """Without one of the corrections the deviation is well above one."""
    name = night.names("science")[0]
    wrong = save(tmp_path / name, reduce_plainly(raw, night, name, **{step: False}))
    assert night.deviation(wrong) > 1.05


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_truth_of_a_night_with_overscan_is_that_of_the_exposed_area(tmp_path: Path, side: str):
    """An overscan is subtracted and trimmed before a product is compared."""
    camera = Camera(overscan=40, overscan_side=side, bias_drift=10.0)
    raw = tmp_path / "raw"
    night = simulate_night(
        raw, size=(128, 160), n_bias=8, n_dark=5, n_flat=5, n_science=1, filters=["r"],
        camera=camera, exptime=60.0,
    )  # fmt: skip
    name = night.names("science")[0]
    data = reduce_plainly(raw, night, name)
    assert night.deviation(save(tmp_path / "trimmed.fits", data), name) == pytest.approx(
        1, abs=0.05
    )
    untrimmed = np.full(camera.raw_shape(night.shape), np.nan)
    untrimmed[camera.exposed(night.shape)] = data
    whole = night.deviation(save(tmp_path / "whole.fits", untrimmed), name)
    assert whole == night.deviation(tmp_path / "trimmed.fits", name)


def test_a_product_is_recognised_by_its_basename(tmp_path: Path, raw: Path, night: NightTruth):
    """BASENAME in the header counts before the file's own name."""
    name = night.names("science")[1]
    product = save(tmp_path / "x.fits", night.expected(name), BASENAME=name)
    assert night.deviation(product) < 1e-3


def test_a_product_of_another_night_is_refused(tmp_path: Path, night: NightTruth):
    """A name or a shape that does not belong to the night raises an error that names it."""
    strange = save(tmp_path / "strange.fits", np.zeros(night.shape))
    with pytest.raises(KeyError, match="no science frame of this night"):
        night.deviation(strange)
    bias = save(tmp_path / "b.fits", np.zeros(night.shape), BASENAME=night.names("bias")[0])
    with pytest.raises(KeyError, match="no science frame"):
        night.deviation(bias)
    small = save(tmp_path / "s.fits", np.zeros((9, 9)), BASENAME=night.names("science")[0])
    with pytest.raises(ValueError, match=r"shape \(9, 9\)"):
        night.deviation(small)


def test_a_truth_that_was_saved_is_read_back_whole(raw: Path, night: NightTruth):
    """What is loaded from the folder answers every question as the original does."""
    assert night.folder is not None
    again = NightTruth.load(night.folder)
    assert again.camera == night.camera
    assert again.frames == night.frames
    for name in night.names("science")[::5]:
        assert np.array_equal(again.expected(name), night.expected(name))
        assert np.array_equal(again.noise(name), night.noise(name))
        assert np.array_equal(again.good(name), night.good(name))
        assert np.array_equal(again.stars(name), night.stars(name))


def test_stars_are_where_their_wcs_says(raw: Path, night: NightTruth):
    """Astropy's WCS of each header gives the pixel positions of the star table."""
    for name in night.names("science"):
        stars = night.stars(name)
        wcs = WCS(fits.getheader(raw / name))
        x, y = wcs.all_world2pix(stars["ra"], stars["dec"], 0)
        assert np.allclose(x, stars["x"], atol=1e-6)
        assert np.allclose(y, stars["y"], atol=1e-6)


def test_the_wcs_of_an_untrimmed_frame_counts_the_overscan(tmp_path: Path):
    """With the overscan on the left the reference pixel is shifted by its width."""
    camera = Camera(overscan=30, overscan_side="left")
    night = simulate_night(
        tmp_path, size=64, n_bias=0, n_dark=0, n_flat=0, n_science=1, filters=["r"], camera=camera
    )
    name = night.names("science")[0]
    stars = night.stars(name)
    x, y = WCS(fits.getheader(tmp_path / name)).all_world2pix(stars["ra"], stars["dec"], 0)
    assert np.allclose(x - 30, stars["x"], atol=1e-6)
    assert np.allclose(y, stars["y"], atol=1e-6)


def test_a_night_without_wcs_has_no_trace_of_one(tmp_path: Path):
    """No key of a world coordinate system is written when none is asked for."""
    night = simulate_night(
        tmp_path, size=64, n_bias=0, n_dark=0, n_flat=0, n_science=1, filters=["r"], wcs=False
    )
    header = fits.getheader(tmp_path / night.names("science")[0])
    assert not [key for key in header if key.startswith(("CTYPE", "CRVAL", "CRPIX", "CD1", "CD2"))]


def test_stars_are_found_with_their_positions_and_fluxes(raw: Path, night: NightTruth):
    """Aperture photometry of a reduced frame recovers the fluxes within their errors."""
    sep = pytest.importorskip("sep")
    for name in night.names("science")[:3]:
        data = reduce_plainly(raw, night, name)
        data = np.where(night.good(name), data, np.median(data))
        sky = sep.Background(data)
        data = data - sky
        stars = night.stars(name)
        stars = stars[~stars["saturated"]]
        edge = 12
        inside = (
            (stars["x"] > edge)
            & (stars["x"] < night.shape[1] - edge)
            & (stars["y"] > edge)
            & (stars["y"] < night.shape[0] - edge)
        )
        distance = np.hypot(
            stars["x"][:, None] - night.stars(name)["x"],
            stars["y"][:, None] - night.stars(name)["y"],
        )
        alone = np.sort(distance, axis=1)[:, 1] > 20
        stars = stars[inside & alone]
        assert len(stars) >= 5
        flux, error, _ = sep.sum_circle(
            data, stars["x"], stars["y"], 7.0, err=sky.globalrms, gain=night.camera.gain
        )
        pulls = (flux - stars["flux"]) / np.hypot(error, 0.01 * stars["flux"])
        assert np.all(np.abs(pulls) < 4.5)
        bright = stars[stars["flux"] > 2000]
        found = sep.extract(data, 5.0, err=sky.globalrms)
        apart = np.hypot(found["x"] - bright["x"][:, None], found["y"] - bright["y"][:, None])
        assert np.all(apart.min(axis=1) < 0.2)


def test_dithers_are_whole_and_fractional_in_turn(night: NightTruth):
    """The first frame of a series is not shifted; later ones are, and never too far."""
    shifts = [night.frames[name].dither for name in night.names("science")[:6]]
    assert shifts[0] == (0.0, 0.0)
    for number, shift in enumerate(shifts[1:], start=1):
        whole = all(float(value).is_integer() for value in shift)
        assert whole == bool(number % 2)
        assert max(map(abs, shift)) <= 8.5
    assert len(set(shifts)) == 6


def test_the_truth_of_calibration_frames_is_flat(night: NightTruth):
    """A bias or dark frame should show nothing, and a flat its lamp."""
    assert not night.expected(night.names("dark")[0]).any()
    name = night.names("flat")[0]
    lamp = night.frames[name].light / night.camera.gain
    assert np.allclose(night.expected(name), lamp)
