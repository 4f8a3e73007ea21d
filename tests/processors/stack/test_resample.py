"""Frames on the pixels of others: values, masks, flux."""

import numpy as np
import pytest
from scipy import ndimage

from mirar_dask.errors import UsageError
from mirar_dask.processors.align.resample import resample
from mirar_dask.processors.align.transform import Transform


@pytest.fixture
def smooth() -> np.ndarray:
    """Return structure that pixels sample well."""
    rng = np.random.default_rng(2)
    return ndimage.gaussian_filter(rng.normal(0, 100, (120, 160)), 2).astype(np.float32)


@pytest.mark.parametrize(("interpolation", "order"), [("cubic", 3), ("linear", 1)])
@pytest.mark.parametrize(("dx", "dy"), [(3.3, -4.7), (-0.25, 0.5), (-12.9, 7.4)])
def test_a_shift_is_what_scipy_makes_of_it(smooth, interpolation, order, dx, dy):
    """Splines of scipy give the same values, wherever the frame has any."""
    mine = resample(smooth, Transform.shift(dx, dy), smooth.shape, interpolation)
    theirs = ndimage.shift(smooth.astype(float), (-dy, -dx), order=order, mode="mirror")
    inside = np.isfinite(mine)
    np.testing.assert_allclose(mine[inside], theirs[inside], atol=2e-4)
    assert inside.sum() == (120 - int(np.ceil(abs(dy)))) * (160 - int(np.ceil(abs(dx))))


@pytest.mark.parametrize("interpolation", ["cubic", "linear", "nearest"])
def test_whole_pixels_are_copied(interpolation):
    """A shift by whole pixels changes no value, not even beside masked ones."""
    rng = np.random.default_rng(0)
    frame = rng.normal(0, 1, (50, 60)).astype(np.float32)
    frame[20, 30] = np.nan
    moved = resample(frame, Transform.shift(4, -7), frame.shape, interpolation)
    np.testing.assert_array_equal(moved[7:, :-4], frame[:-7, 4:])
    assert np.isnan(moved[:7]).all()
    assert np.isnan(moved[:, -4:]).all()


@pytest.mark.parametrize("interpolation", ["cubic", "linear"])
def test_a_turned_frame_lies_where_its_map_says(smooth, interpolation):
    """A turn there and back gives what was there."""
    turn = Transform.similarity(2.2, -1.4, rotation=20, pivot=(80, 60))
    back = resample(resample(smooth, turn, smooth.shape, interpolation), turn.inverse, smooth.shape)
    middle = slice(45, 75), slice(60, 100)
    limit = 0.3 if interpolation == "cubic" else 4.0
    assert np.abs(back[middle] - smooth[middle]).max() < limit


def test_nearest_takes_pixels_as_they_are():
    """No value is made that was not there, turned frames included."""
    frame = np.arange(1200, dtype=np.float32).reshape(30, 40)
    turn = Transform.similarity(0.3, 0.4, rotation=5, pivot=(20, 15))
    turned = resample(frame, turn, frame.shape, "nearest")
    assert set(turned[np.isfinite(turned)]) <= set(frame.ravel())


@pytest.mark.parametrize("rotation", [0.0, 10.0])
def test_masked_pixels_do_not_reach_others(smooth, rotation):
    """What has more than a tenth of a masked pixel in it is masked, the rest is as it would be."""
    turn = Transform.similarity(0.5, 0.25, rotation=rotation, pivot=(80, 60))
    spoilt = smooth.copy()
    spoilt[60, 80] = np.nan
    spoilt[30:34, 40:45] = np.nan
    whole, masked = (resample(frame, turn, smooth.shape) for frame in (smooth, spoilt))
    lost = np.isnan(masked) & np.isfinite(whole)
    assert 21 <= lost.sum() <= 60
    kept = np.isfinite(masked)
    assert np.abs(masked[kept] - whole[kept]).max() < 6.0
    far = kept.copy()
    far[20:45, 30:56] = far[52:70, 70:92] = False
    np.testing.assert_allclose(masked[far], whole[far], atol=0.02)


def test_flux_is_conserved_where_scales_differ():
    """A star has the same sum on pixels of half the size."""
    y, x = np.mgrid[:60, :60]
    star = np.exp(-((x - 30) ** 2 + (y - 29) ** 2) / (2 * 3.0**2)).astype(np.float32)
    finer = resample(star, Transform(xx=0.5, yy=0.5), (118, 118))
    assert np.nansum(finer) == pytest.approx(star.sum(), rel=1e-4)


def test_a_stack_may_be_larger_than_its_frames(smooth):
    """What the frame does not cover is masked."""
    larger = resample(smooth, Transform.shift(-10, -20), (160, 200))
    np.testing.assert_array_equal(larger[20:140, 10:170], smooth)
    assert np.isnan(larger).sum() == 160 * 200 - smooth.size


def test_a_frame_without_pixels_stays_so():
    """All masked in, all masked out."""
    nothing = np.full((20, 20), np.nan, np.float32)
    assert np.isnan(resample(nothing, Transform.shift(0.4, 0.4), (20, 20))).all()


def test_an_unknown_interpolation_is_named():
    """With those that are known."""
    with pytest.raises(UsageError, match="cubic, linear, nearest"):
        resample(np.zeros((5, 5)), Transform(), (5, 5), "lanczos")  # type: ignore[arg-type]
