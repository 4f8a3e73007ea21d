"""Smoothing of flats and the masks of the modes 'pixel' and 'structure'."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.convolution import Tophat2DKernel, convolve_fft

from mirar_dask.data import ImageBatch
from mirar_dask.processors import flat as flat_module
from mirar_dask.processors.flat import FlatCalibrator
from mirar_dask.processors.illumination import (
    construct_smooth_gradient_for_image,
    get_convolution,
    get_outlier_pixel_mask,
    get_smoothened_outlier_pixel_mask_from_list,
    get_structure_mask,
    smooth_and_normalize_image,
)


@pytest.fixture
def small_kernel(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let the modes smooth by a few pixels, as the images of the tests are small."""
    monkeypatch.setattr("mirar_dask.processors.illumination.SMOOTHING_WIDTH", 6)
    return 6


def vignetted(seed: int = 0, shape=(40, 50)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    return (
        20000 * (1 - ((x - 25) ** 2 + (y - 20) ** 2) / 9000) * rng.normal(1, 0.002, shape)
    ).astype("f4")


@pytest.mark.parametrize("masked", [0.0, 0.1])
@pytest.mark.parametrize("width", [1, 3, 8])
def test_smoothing_is_astropys_with_a_tophat(width: int, masked: float):
    """Over borders that are continued by their pixels; NaNs are interpolated."""
    data = vignetted()
    data[np.random.default_rng(1).random(data.shape) < masked] = np.nan
    padded = np.pad(data.astype("f8"), width, mode="edge")
    expected = convolve_fft(padded, Tophat2DKernel(width), nan_treatment="interpolate")
    expected = expected[width:-width, width:-width]
    assert np.allclose(get_convolution(data, width), expected, rtol=1e-9)


def test_where_all_pixels_around_are_masked_there_is_nothing_to_smooth():
    """NaN, without a warning."""
    data = vignetted()
    data[10:30, 10:30] = np.nan
    smooth = get_convolution(data, 3)
    assert np.isnan(smooth[20, 20])
    assert np.isfinite(smooth[:7]).all()
    assert np.isnan(get_convolution(np.full((5, 5), np.nan), 2)).all()


def test_outliers_are_told_from_clipped_statistics():
    """Three standard deviations of what is left; a NaN is none."""
    data = np.random.default_rng(2).normal(100, 1, (50, 50))
    data[3, 3], data[4, 4], data[5, 5] = 120, 80, np.nan
    mask = get_outlier_pixel_mask(data, thresh=6.0)
    assert {tuple(index) for index in np.argwhere(mask)} == {(3, 3), (4, 4)}
    assert not get_outlier_pixel_mask(np.full((3, 3), np.nan)).any()


def test_pixels_have_to_stand_out_in_every_image(small_kernel):
    """A star in one of them does not."""
    images = [vignetted(i) for i in range(3)]
    for image in images:
        image[12, 13] *= 0.5
    images[1][30, 30] *= 2
    mask = get_smoothened_outlier_pixel_mask_from_list(iter(images), threshold=5.0)
    assert {tuple(index) for index in np.argwhere(mask)} == {(12, 13)}
    with pytest.raises(ValueError, match="no images"):
        get_smoothened_outlier_pixel_mask_from_list([])


def test_dividing_by_the_gradient_leaves_small_structure(monkeypatch):
    """By the width of mirar, 100 pixels, unless told otherwise."""
    asked = []

    def smooth(data, width):
        asked.append(width)
        return data * 2

    monkeypatch.setattr("mirar_dask.processors.illumination.get_convolution", smooth)
    assert np.array_equal(smooth_and_normalize_image(np.ones((2, 2))), np.full((2, 2), 0.5))
    assert np.array_equal(construct_smooth_gradient_for_image(np.ones((2, 2))), np.full((2, 2), 2))
    assert asked == [100, 100]


def test_mode_structure_masks_what_stands_out_of_the_combined_flats(small_kernel, make_image):
    """The master is 1, and NaN more than one standard deviation from the surroundings."""
    frames = [make_image(vignetted(i), f"{i}", "flat") for i in range(3)]
    median = FlatCalibrator().make_image(ImageBatch(frames)).get_data()
    master = FlatCalibrator(flat_mode="structure").make_image(ImageBatch(frames)).get_data()
    variation = median / get_convolution(median, small_kernel)
    expected = np.abs(variation - np.median(variation)) / np.std(variation) > 1
    assert np.array_equal(np.isnan(master), expected)
    assert np.array_equal(master[~expected], np.ones((~expected).sum()))
    assert master.dtype == np.float32
    assert not get_structure_mask(np.full((4, 4), np.nan)).any()


def test_mode_pixel_masks_what_stands_out_of_every_flat(small_kernel, make_image):
    """The master is 1, and NaN there."""
    frames = [make_image(vignetted(i), f"{i}", "flat") for i in range(3)]
    for frame in frames:
        data = frame.get_data()
        data[12, 13] *= 0.5
        frame.set_data(data)
    processor = FlatCalibrator(flat_mode="pixel")
    master = processor.make_image(ImageBatch(frames)).get_data()
    expected = get_smoothened_outlier_pixel_mask_from_list(f.get_data() for f in frames)
    assert np.isnan(master[12, 13])
    assert np.array_equal(np.isnan(master), expected)
    assert not processor.combines_rows


def test_the_functions_are_importable_from_mirars_place():
    """Pipelines written for mirar import them from the flat module."""
    for name in (
        "get_convolution",
        "get_outlier_pixel_mask",
        "construct_smooth_gradient_for_image",
        "smooth_and_normalize_image",
        "get_smoothened_outlier_pixel_mask_from_list",
    ):
        assert name in flat_module.__all__
