"""Combining registered frames: weights, clipping, masks, bands."""

import numpy as np
import pytest

from mirar_dask.processors.stack_combine import FrameWeights, combine_stack, stack_rows

EQUAL = FrameWeights((1.0,) * 5, (1.0,) * 5)


def band(n: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 1, (n, 20, 30)).astype(np.float32)


def test_the_median_is_numpys():
    """To the bit, NaN left out."""
    values = band()
    values[1, 3, 4] = np.nan
    data, weight = stack_rows(values, EQUAL, method="median")
    np.testing.assert_array_equal(data, np.nanmedian(values, axis=0))
    assert (weight[3, 4], weight[0, 0]) == (4.0, 5.0)


def test_the_mean_is_weighted_by_the_variance():
    """Noisy frames count less; the weight map is the sum of what went in."""
    values = band(3)
    known = FrameWeights((1.0, 0.25, 4.0), (1.0, 2.0, 0.5), level=100.0)
    values[2, 0, 0] = np.nan
    data, weight = stack_rows(values, known, method="mean")
    w = np.array([1.0, 0.25, 4.0])[:, None, None] * np.isfinite(values)
    expected = (np.nan_to_num(values) * w).sum(axis=0) / w.sum(axis=0)
    np.testing.assert_allclose(data, expected, rtol=1e-6)
    np.testing.assert_allclose(weight, w.sum(axis=0))


def test_a_weighted_mean_is_less_noisy_than_a_plain_one():
    """Of frames of which one is bad, by as much as theory says."""
    rng = np.random.default_rng(4)
    noises = (1.0, 1.0, 1.0, 5.0)
    values = np.stack([rng.normal(0, s, (200, 200)) for s in noises]).astype(np.float32)
    known = FrameWeights(tuple(s**-2 for s in noises), noises)
    plain = FrameWeights((1.0,) * 4, noises)
    weighted, total = stack_rows(values, known, method="mean")
    unweighted, _ = stack_rows(values, plain, method="mean")
    assert weighted.std() == pytest.approx(total[0, 0] ** -0.5, rel=0.02)
    assert weighted.std() < 0.5 * unweighted.std()


@pytest.mark.parametrize("n", [3, 5, 12])
def test_a_cosmic_ray_is_clipped(n: int):
    """One wild value of n is left out, and its weight with it."""
    values = band(n)
    values[1, 7, 8] = 5000
    data, weight = stack_rows(
        values, FrameWeights((1.0,) * n, (1.0,) * n, 100.0), method="sigma_clip"
    )
    assert data[7, 8] == pytest.approx(np.delete(values[:, 7, 8], 1).mean(), abs=0.01)
    assert weight[7, 8] == n - 1
    assert weight.sum() > 0.98 * n * weight.size


def test_cores_of_stars_are_not_clipped_when_the_seeing_changes():
    """Differences of some percent of a bright pixel are no reason."""
    values = band(5)
    values[:, 5, 5] = 100 + 10000 * np.array([1.0, 0.97, 1.02, 0.8, 1.01])
    known = FrameWeights((1.0,) * 5, (1.0,) * 5, level=100.0)
    data, weight = stack_rows(values, known, method="sigma_clip")
    assert weight[5, 5] == 5
    assert data[5, 5] == pytest.approx(values[:, 5, 5].mean(), rel=1e-6)


def test_clipping_in_two_frames_is_not_tried():
    """Of two values nobody knows which is wrong."""
    values = band(2)
    values[0, 0, 0] = 5000
    data, _ = stack_rows(values, FrameWeights((1.0, 1.0), (1.0, 1.0)), method="sigma_clip")
    assert data[0, 0] == pytest.approx(values[:, 0, 0].mean())


@pytest.mark.parametrize("method", ["median", "mean", "sigma_clip"])
def test_what_no_frame_shows_is_masked(method):
    """NaN in the stack, zero in the weight map."""
    values = band()
    values[:, 2, 3] = np.nan
    data, weight = stack_rows(values, EQUAL, method=method)
    assert np.isnan(data[2, 3])
    assert weight[2, 3] == 0
    assert np.isnan(data).sum() == 1


@pytest.mark.parametrize("method", ["median", "mean", "sigma_clip"])
def test_the_result_does_not_depend_on_the_bands(simulator, method):
    """A row at a time or all at once: the same bits."""
    values = band(6, seed=3)
    values[2, :, 7] = 4000
    frames = [simulator.image(f"{i}.fits", value) for i, value in enumerate(values)]
    known = FrameWeights((1.0, 2.0, 0.5, 1.0, 1.0, 3.0), (1.0,) * 6, 100.0)
    whole = combine_stack(frames, known, method=method)
    rows = combine_stack(frames, known, method=method, max_bytes=1)
    np.testing.assert_array_equal(whole[0], rows[0])
    np.testing.assert_array_equal(whole[1], rows[1])


def test_small_weights_on_a_bright_sky_lose_no_digits():
    """The mean is right to single precision whatever the units."""
    values = (60000 + band(4)).astype(np.float32)
    known = FrameWeights((1e-9, 2e-9, 3e-9, 1e-9), (1.0,) * 4, 60100.0)
    data, _ = stack_rows(values, known, method="mean")
    w = np.array(known.weights)[:, None, None]
    expected = (values.astype(np.float64) * w).sum(axis=0) / w.sum()
    assert np.abs(data - expected).max() < 0.005
