"""The picture in which stars are looked for, and the stars that are found in it."""

import numpy as np
import pytest

from mirar_dask.processors.align.cleaning import detection_image, thin_out
from mirar_dask.processors.align.starlist import KERNELS, best_kernel, find_stars


def test_hot_and_dead_pixels_vanish_and_stars_stay(simulator):
    """Single pixels are replaced, stars as narrow as 1.6 pixels keep their height."""
    sky = simulator.sky(15, bright=4000)
    frame = simulator.frame(sky, fwhm=1.6, noise=5)
    spoilt = frame + simulator.pattern(hot=0)
    rng = np.random.default_rng(3)
    y, x = rng.integers(3, 297, 200), rng.integers(3, 397, 200)
    spoilt[y, x] += 900
    spoilt[y[:50], x[:50]] = 0
    clean, cured = detection_image(frame), detection_image(spoilt)
    peaks = np.argsort(clean.ravel())[-10:]
    assert np.abs(cured.ravel()[peaks] / clean.ravel()[peaks] - 1).max() < 0.1
    far = np.ones(frame.shape, bool)
    for sx, sy in zip(sky.x, sky.y, strict=True):
        if -9 < sx < 409 and -9 < sy < 309:
            far[max(0, int(sy) - 8) : int(sy) + 9, max(0, int(sx) - 8) : int(sx) + 9] = False
    hot = np.zeros_like(far)
    hot[y, x] = True
    assert np.abs(cured[far & hot]).max() < 50


def test_the_sky_is_flat_and_zero(simulator):
    """Gradients and offsets of rows and columns are removed."""
    frame = simulator.frame(None, gradient=3000, rows=20)
    clean = detection_image(frame)
    cells = np.median(clean.reshape(10, 30, 10, 40), axis=(1, 3))
    assert np.abs(cells).max() < 8.0
    assert np.abs(np.median(clean, axis=1)).max() < 4.0


def test_the_frame_itself_is_left_alone(simulator):
    """Masked pixels are filled in the copy; the frame keeps its NaN and values."""
    frame = simulator.frame(simulator.sky(10))
    frame[100:110, 50:60] = np.nan
    before = frame.copy()
    assert np.isfinite(detection_image(frame)).all()
    np.testing.assert_array_equal(frame, before)


def test_a_frame_without_any_pixel_is_black():
    """All masked, or all the same, gives nothing to find."""
    nothing = detection_image(np.full((80, 90), np.nan, np.float32))
    same = detection_image(np.full((80, 90), 7.0, np.float32))
    assert not nothing.any()
    assert not same.any()
    assert len(find_stars(nothing, 1.5)) == len(find_stars(same, 1.5)) == 0


def test_saturated_pixels_count_as_no_spike():
    """The core of an undersampled bright star is kept where saturation is known."""
    rng = np.random.default_rng(0)
    frame = rng.normal(100, 2, (100, 100)).astype(np.float32)
    frame[50, 50] = 65535
    assert detection_image(frame)[50, 50] < 1000
    assert detection_image(frame, saturate=60000)[50, 50] > 60000


def test_medians_of_a_sample_see_all_columns():
    """Thinning out never takes the same columns of every row."""
    ramp = np.broadcast_to(np.arange(1024, dtype=np.float32), (1024, 1024))
    assert float(np.median(thin_out(ramp))) == pytest.approx(511.5, abs=3)


@pytest.mark.parametrize(("fwhm", "tolerance"), [(1.8, 0.1), (3.0, 0.1), (7.0, 0.3)])
def test_stars_are_found_where_they_are(simulator, fwhm: float, tolerance: float):
    """Positions of the ten brightest are right to a fraction of a pixel."""
    sky = simulator.seed(5).sky(12, bright=20000)
    sky.flux[12:] = 0
    image = detection_image(simulator.frame(sky, fwhm=fwhm, noise=5))
    stars = find_stars(image, best_kernel([image]))
    for x, y in zip(stars.x[:10], stars.y[:10], strict=True):
        assert np.hypot(sky.x[:12] - x, sky.y[:12] - y).min() < tolerance
    assert (np.diff(stars.snr) <= 0).all()


@pytest.mark.parametrize(("fwhm", "sigma"), [(2.2, 1.0), (3.8, 1.6), (6.0, 2.5), (9.0, 3.8)])
def test_the_width_of_the_stars_is_recognised(simulator, fwhm: float, sigma: float):
    """The kernel that suits them best is chosen, or the next to it."""
    image = detection_image(simulator.frame(simulator.sky(20, bright=20000), fwhm=fwhm))
    assert abs(KERNELS.index(best_kernel([image])) - KERNELS.index(sigma)) <= 1


def test_columns_and_trails_are_no_stars(simulator):
    """What is long and thin is left out."""
    frame = simulator.frame(None)
    frame[100:200, 222] += 300
    frame[40, 50:300] += 300
    stars = find_stars(detection_image(frame), 1.6)
    assert len(stars) <= 4  # their ends at most
