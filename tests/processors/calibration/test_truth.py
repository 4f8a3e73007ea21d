"""Calibrated images against known truth, formulas in float64, and ccdproc."""

from __future__ import annotations

import numpy as np
import pytest

from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.errors import ProcessorError, UsageError
from mirar_dask.processors.bias import BiasCalibrator
from mirar_dask.processors.dark import DarkCalibrator, MissingDarkError
from mirar_dask.processors.flat import FlatCalibrator, MissingFlatError, SkyFlatCalibrator
from mirar_dask.processors.sky import NightSkyMedianCalibrator


def apply(processor, batch: ImageBatch) -> ImageBatch:
    processor.set_night("camera/20240101")
    dataset, errors = processor.base_apply(Dataset([batch]))
    assert len(errors) == 0, [report.get_error_message() for report in errors]
    return dataset[0]


def agree(found: np.ndarray, expected: np.ndarray) -> bool:
    """Within what the calibrators of mirar, in float64, are to be reproduced."""
    close = np.abs(found - expected) <= 2e-6 * np.maximum(1, np.abs(expected))
    return bool(close.mean() >= 0.9999)


@pytest.fixture
def noisy(night, make_image):
    """Raw frames as a camera writes them: noise of electrons and of the converter, integers."""
    rng = np.random.default_rng(8)
    images = []
    for image in night.batch:
        photons = image.get_data() - night.truth.bias
        data = night.truth.bias + rng.poisson(photons) + rng.normal(0, 4, photons.shape)
        keys = (image.get_name(), image["OBSCLASS"], image["EXPTIME"])
        images.append(make_image(data.round().astype("f4"), *keys, SATURATE=65535.0))
    return ImageBatch(images)


def test_a_night_without_noise_gives_back_the_truth(night):
    """Bias, dark current and flat are divided out of the sky to float32's precision."""
    batch = night.batch
    for processor in (BiasCalibrator(), DarkCalibrator(), FlatCalibrator()):
        batch = apply(processor, batch)
    normal = night.truth.flat / np.median(night.truth.flat)
    expected = night.sky * night.truth.flat / normal
    for image in batch[9:]:
        assert np.allclose(image.get_data(), expected, rtol=1e-6)
    assert np.allclose(batch[0].get_data(), 0)
    assert batch[9]["SATURATE"] == pytest.approx(
        60000 - np.median(night.truth.bias) - 100 * np.median(night.truth.dark)
    )
    assert batch[9]["CALSTEPS"] == "bias,dark,flat,"


def test_each_step_is_its_formula_in_float64(noisy):
    """Median of frames, dark per second, flats by their medians: to 2e-6 of the value or of 1."""
    raw = [image.get_data().astype("f8") for image in noisy]
    seconds = [image["EXPTIME"] for image in noisy]
    batch = apply(BiasCalibrator(), noisy)
    bias = np.nanmedian(raw[:3], axis=0)
    step = [data - bias for data in raw]
    assert all(agree(a.get_data(), b) for a, b in zip(batch, step, strict=True))

    batch = apply(DarkCalibrator(), batch)
    dark = np.nanmedian([step[i] / seconds[i] for i in (3, 4, 5)], axis=0)
    step = [data - dark * exptime for data, exptime in zip(step, seconds, strict=True)]
    assert all(agree(a.get_data(), b) for a, b in zip(batch[6:], step[6:], strict=True))
    # What is left of a dark itself is the difference of two equal numbers: a last digit of them.
    assert all(
        np.allclose(a.get_data(), b, atol=2e-5) for a, b in zip(batch[:6], step[:6], strict=True)
    )

    batch = apply(FlatCalibrator(x_min=2, x_max=20, y_min=4, y_max=28), batch)
    flat = np.nanmedian([step[i] / np.nanmedian(step[i][2:20, 4:28]) for i in (6, 7, 8)], axis=0)
    step = [data / flat for data in step]
    assert all(agree(a.get_data(), b) for a, b in zip(batch[6:], step[6:], strict=True))

    batch = apply(NightSkyMedianCalibrator(), batch)
    sky = np.nanmedian([step[i] / np.nanmedian(step[i]) for i in (9, 10)], axis=0)
    for image, data in zip(batch[9:], step[9:], strict=True):
        assert np.allclose(image.get_data(), data - np.nanmedian(data) * sky, atol=1e-3)
        assert image["SKMEDSUB"] == pytest.approx(np.nanmedian(data), rel=1e-6)


def test_saturation_is_lowered_by_what_is_subtracted(noisy):
    """By the median of the bias, of the scaled dark, and of the sky; the flat leaves it."""
    levels = [65535.0]
    batch = noisy
    for kind in (BiasCalibrator, DarkCalibrator, FlatCalibrator, NightSkyMedianCalibrator):
        batch = apply(kind(), batch)
        levels.append(batch[-1]["SATURATE"])
    bias, dark, flat, sky = -np.diff(levels)
    assert bias == pytest.approx(1000, abs=3)
    assert dark == pytest.approx(100 * 1.25, rel=0.3)
    assert flat == 0
    assert sky == pytest.approx(batch[-1]["SKMEDSUB"], abs=1e-9)


def test_saturation_is_left_out_where_the_header_has_none(night):
    """No key is invented."""
    assert "SATURATE" not in apply(BiasCalibrator(), night.batch)[0]


def test_median_flats_do_not_depend_on_the_lamp(night):
    """Flats of 8,000 and of 24,000 ADU count alike."""
    batch = apply(DarkCalibrator(), apply(BiasCalibrator(), night.batch))
    master = FlatCalibrator().make_image(batch)
    expected = night.truth.flat / np.median(night.truth.flat)
    assert np.allclose(master.get_data(), expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["mean", "sigma_clip"])
def test_other_methods_reach_the_same_truth(night, method):
    """Without noise all means agree."""
    batch = night.batch
    for kind in (BiasCalibrator, DarkCalibrator, FlatCalibrator):
        median = kind().make_image(batch).get_data()
        other = kind(method=method).make_image(batch).get_data()
        assert np.allclose(other, median, rtol=1e-6)
        batch = apply(kind(), batch)


def test_sigma_clip_takes_a_cosmic_ray_out_of_a_master(night):
    """The option reaches the combination."""
    data = night.batch[4].get_data()
    data[3, 3] += 30_000
    night.batch[4].set_data(data)
    clipped = DarkCalibrator(method="sigma_clip").make_image(night.batch).get_data()
    mean = DarkCalibrator(method="mean").make_image(night.batch).get_data()
    assert mean[3, 3] - clipped[3, 3] == pytest.approx(30_000 / 20 / 3, rel=0.05)


def test_a_dark_of_no_exposure_is_left_out_of_the_master_and_says_so(night):
    """It is corrected like any image, and its record has the reason."""
    night.batch[4]["EXPTIME"] = 0.0
    processor = DarkCalibrator()
    processor.set_night("camera/20240101")
    done = processor.process(night.batch)
    assert len(done.batch) == 11
    (record,) = done.records
    assert record.names == ("dark1.fits",)
    assert "left out of the master dark: 'dark1.fits' has EXPTIME=0.0" in record.reason
    assert np.isfinite(done.batch[3].get_data()).all()


def test_darks_without_exposure_time_are_no_darks(night):
    """If none is left the error counts them out."""
    for image in night.batch[3:6]:
        del image.header["EXPTIME"]
    with pytest.raises(MissingDarkError, match="found 0 dark frames"):
        DarkCalibrator().prepare(night.batch)


def test_an_image_without_exposure_time_fails_alone(night):
    """A dark cannot be scaled to it; the message names image and key."""
    night.batch[9]["EXPTIME"] = "long"
    processor = DarkCalibrator()
    processor.set_night("camera/20240101")
    done = processor.process(night.batch)
    (record,) = done.records
    assert record.status == "failed"
    assert "'sci0.fits' has EXPTIME='long', not a finite number" in record.reason
    assert len(done.batch) == 10
    assert "DARKNAME" not in night.batch[9]


def test_a_master_dark_is_for_one_second(night):
    """Its header says so, in its exposure time and its unit."""
    for image in night.batch:
        image["BUNIT"] = "adu"
    batch = apply(BiasCalibrator(), night.batch)
    master = DarkCalibrator().make_image(batch)
    assert np.allclose(master.get_data(), night.truth.dark)
    assert (master["EXPTIME"], master["INDIVEXP"]) == (1.0, "20.0,20.0,60.0")
    assert master["BUNIT"] == "adu/s"
    flat = FlatCalibrator().make_image(batch)
    assert (flat["BUNIT"], flat["INDIVEXP"]) == ("", "4.0")


def test_pixels_where_the_flat_is_not_above_the_threshold_become_nan(night):
    """By default those at or below zero."""
    for image in night.batch[6:9]:
        data = image.get_data()
        data[0, 0], data[0, 1], data[0, 2] = 0, -40, 300
        image.set_data(data)
    master = FlatCalibrator(flat_nan_threshold=0.1).make_image(night.batch).get_data()
    assert np.isnan(master[0, :3]).all()
    assert np.isnan(master).sum() == 3
    plain = apply(FlatCalibrator(), night.batch)[10].get_data()
    assert list(np.isnan(plain[0, :3])) == [True, True, False]


def test_a_flat_without_light_is_left_out_of_the_master(night):
    """Nothing can be divided by the median of its window."""
    night.batch[7].set_data(np.zeros((24, 30), "f4"))
    processor = FlatCalibrator()
    processor.set_night("camera/20240101")
    done = processor.process(night.batch)
    (record,) = done.records
    assert record.status == "succeeded with caveats"
    assert "left out of the master flat: 'flat1.fits' has a median of 0.0" in record.reason
    assert np.isfinite(done.batch[10].get_data()).all()
    for image in night.batch[6:9]:
        image.set_data(np.full((24, 30), np.nan, "f4"))
    with pytest.raises(MissingFlatError, match=r"0 usable flat frames among 3, need 1: 'flat0\."):
        FlatCalibrator().make_image(night.batch)


def test_masked_pixels_of_flats_do_not_count(night, tmp_path, make_image):
    """Neither in the median of the window nor in the combination."""
    processor = SkyFlatCalibrator(flat_mask_key="STARMASK", y_max=10)
    star = np.zeros((24, 30), bool)
    star[2:20, 2:9] = True
    for number, image in enumerate(night.batch[9:]):
        image.set_data(np.where(star, 9e4, 500 * (number + 1)).astype("f4"))
        path = tmp_path / f"mask{number}.fits"
        processor.save_fits(make_image((~star).astype("f4"), SAVEPATH=""), path)
        image["STARMASK"] = str(path)
    master = processor.make_image(night.batch).get_data()
    assert np.isnan(master[star]).all()
    assert np.array_equal(master[~star], np.ones((~star).sum()))
    assert not processor.combines_rows


def test_a_mask_that_is_not_there_is_named(night, tmp_path, make_image):
    """The key, the file, or its shape."""
    with pytest.raises(MissingFlatError, match=r"'flat0\.fits' has no STARMASK"):
        FlatCalibrator(flat_mask_key="STARMASK").make_image(night.batch)
    for image in night.batch:
        image["STARMASK"] = str(tmp_path / "none.fits")
    with pytest.raises(MissingFlatError, match="no mask at"):
        FlatCalibrator(flat_mask_key="STARMASK").make_image(night.batch)
    FlatCalibrator.save_fits(make_image(np.ones((2, 2), "f4"), SAVEPATH=""), tmp_path / "none.fits")
    with pytest.raises(MissingFlatError, match=r"\(24, 30\), its mask \(2, 2\)"):
        FlatCalibrator(flat_mask_key="STARMASK").make_image(night.batch)


def test_an_unknown_mode_or_method_is_refused():
    """When the processor is made."""
    with pytest.raises(UsageError, match="flat_mode='mode': expected one of median"):
        FlatCalibrator(flat_mode="mode")
    with pytest.raises(ValueError, match="method='mode'"):
        BiasCalibrator(method="mode")


def test_the_sky_of_a_masked_image_is_an_error(night):
    """It has no median to scale the pattern by; the image is as it was."""
    master = NightSkyMedianCalibrator().make_image(night.batch)
    master["SAVEPATH"] = "here"
    night.batch[9].set_data(np.full((24, 30), np.nan))
    with pytest.raises(ProcessorError, match=r"'sci0\.fits' has no median"):
        NightSkyMedianCalibrator().apply_to_image(night.batch[9], master)
    assert "SKMEDSUB" not in night.batch[9]


def test_the_sky_is_subtracted_and_noted_once(night):
    """A second run writes the key anew instead of adding another."""
    batch = apply(NightSkyMedianCalibrator(), night.batch)
    image = batch[10]
    assert abs(np.median(image.get_data())) < 1e-3
    image.set_data(image.get_data() + 100)
    batch = apply(NightSkyMedianCalibrator(try_load_cache=False), batch)
    assert image.header.count("SKMEDSUB") == 1
    assert image["SKMEDSUB"] == pytest.approx(100, abs=0.01)


def test_ccdproc_gives_the_same_images(noisy):
    """Median bias, dark scaled by exposure, flat by its median; ccdproc divides by the mean."""
    ccdproc = pytest.importorskip("ccdproc")
    import warnings

    from astropy import units as u
    from astropy.nddata import CCDData

    raw = [CCDData(image.get_data().astype("f8"), unit="adu") for image in noisy]
    times = [image["EXPTIME"] * u.s for image in noisy]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies
        bias = ccdproc.combine(raw[:3], method="median")
        raw = [ccdproc.subtract_bias(frame, bias) for frame in raw]
        rates = [CCDData(raw[i].data / times[i].value, unit="adu") for i in (3, 4, 5)]
        dark = ccdproc.combine(rates, method="median")
        raw = [
            ccdproc.subtract_dark(
                frame, dark, dark_exposure=1 * u.s, data_exposure=time, scale=True
            )
            for frame, time in zip(raw, times, strict=True)
        ]
        flats = [raw[i] for i in (6, 7, 8)]
        flat = ccdproc.combine(
            flats, method="median", scale=lambda data: 1 / np.ma.median(data), unit="adu"
        )
        expected = [ccdproc.flat_correct(frame, flat, norm_value=1.0) for frame in raw]
    batch = noisy
    for kind in (BiasCalibrator, DarkCalibrator, FlatCalibrator):
        batch = apply(kind(), batch)
    for image, frame in zip(batch[6:], expected[6:], strict=True):
        assert agree(image.get_data(), frame.data)


def test_ccdproc_clips_the_same_values(make_image):
    """A sigma-clipped mean of many frames, of which some hit by cosmic rays."""
    ccdproc = pytest.importorskip("ccdproc")
    import warnings

    from astropy.nddata import CCDData
    from astropy.stats import mad_std

    rng = np.random.default_rng(4)
    frames = rng.normal(1000, 5, (15, 12, 14)).astype("f4")
    frames[rng.random(frames.shape) < 0.02] += 3000
    images = [make_image(data, f"{i}.fits", "bias") for i, data in enumerate(frames)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies
        combiner = ccdproc.Combiner([CCDData(data.astype("f8"), unit="adu") for data in frames])
        combiner.sigma_clipping(low_thresh=5, high_thresh=5, func=np.ma.median, dev_func=mad_std)
        expected = combiner.average_combine().data
    found = BiasCalibrator(method="sigma_clip", sigma=5.0, max_iterations=1)
    data = found.make_image(ImageBatch(images)).get_data()
    assert np.allclose(data, expected, rtol=1e-6)
