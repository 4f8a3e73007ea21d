"""Alignment by WCS."""

import numpy as np
import pytest
from astropy.wcs import WCS
from scipy import ndimage

from mirar_dask.processors.align.resample import resample
from mirar_dask.processors.align.sky import resample_by_wcs, transform_by_wcs
from mirar_dask.processors.align.transform import AlignmentError

SHAPE = (150, 200)


def make_wcs(
    ra: float = 150.0,
    dec: float = 30.0,
    x: float = 100.5,
    y: float = 75.5,
    scale: float = 1e-4,
    angle: float = 0.0,
    distorted: float = 0.0,
) -> WCS:
    wcs = WCS(naxis=2)
    kind = "-SIP" if distorted else ""
    wcs.wcs.ctype = [f"RA---TAN{kind}", f"DEC--TAN{kind}"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra, dec], [x, y]
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    wcs.wcs.cd = scale * np.array([[-c, s], [s, c]])
    if distorted:
        from astropy.wcs import Sip

        a, b = np.zeros((3, 3)), np.zeros((3, 3))
        a[2, 0] = b[0, 2] = distorted
        wcs.sip = Sip(a, b, None, None, [x, y])
    wcs.wcs.set()
    return wcs


def test_the_linear_map_agrees_with_the_wcs():
    """Pixels of one sky position are brought together."""
    ref, other = make_wcs(), make_wcs(x=112.3, y=70.1, angle=2.0)
    transform, misfit = transform_by_wcs(ref, other, SHAPE, SHAPE)
    for x, y in ((0, 0), (199, 149), (40, 120)):
        sky = ref.pixel_to_world(x, y)
        expected = [float(value) for value in other.world_to_pixel(sky)]
        assert list(transform.at(x, y)) == pytest.approx(expected, abs=0.01)
    assert misfit < 0.01
    assert abs(transform.rotation) == pytest.approx(2.0, abs=0.01)


def test_other_pixel_scales_are_seen():
    """A frame with pixels of half the size has twice the scale."""
    transform, _ = transform_by_wcs(make_wcs(), make_wcs(scale=5e-5), SHAPE, SHAPE)
    assert transform.scale == pytest.approx(2.0, rel=1e-4)


def test_frames_that_do_not_overlap_are_refused():
    """A degree away there is nothing in common."""
    with pytest.raises(AlignmentError, match="does not overlap"):
        transform_by_wcs(make_wcs(), make_wcs(dec=31.0), SHAPE, SHAPE)


def test_the_other_side_of_the_sky_is_refused():
    """Positions that have no pixel at all are no error of another kind."""
    with pytest.raises(AlignmentError):
        transform_by_wcs(make_wcs(), make_wcs(ra=330.0, dec=-30.0), SHAPE, SHAPE)


def test_distortion_is_noticed_and_taken_out():
    """The frame is resampled point by point, and stars come to lie where the WCS says."""
    ref, other = make_wcs(), make_wcs(x=103.7, y=71.2, distorted=2e-4)
    transform, misfit = transform_by_wcs(ref, other, SHAPE, SHAPE)
    assert misfit > 0.1
    frame = np.zeros(SHAPE, np.float32)
    for x, y in ((30, 40), (170, 110), (100, 20)):
        frame[y, x] = 1000
    frame = ndimage.gaussian_filter(frame, 1.5)
    result = resample_by_wcs(frame, other, ref, SHAPE)
    for x, y in ((30, 40), (170, 110), (100, 20)):
        wx, wy = (float(value) for value in ref.world_to_pixel(other.pixel_to_world(x, y)))
        j, i = round(wy), round(wx)
        part = np.nan_to_num(result[j - 6 : j + 7, i - 6 : i + 7])
        py, px = ndimage.center_of_mass(part)
        assert (px + i - 6, py + j - 6) == pytest.approx((wx, wy), abs=0.03)
    assert np.isnan(result).any()
    assert transform.scale == pytest.approx(1.0, abs=0.02)


def test_both_ways_of_resampling_agree():
    """Where there is no distortion, the map and reproject give the same pixels."""
    rng = np.random.default_rng(1)
    frame = ndimage.gaussian_filter(rng.normal(0, 100, SHAPE), 2).astype(np.float32)
    frame[50, 60] = np.nan
    ref, other = make_wcs(), make_wcs(x=104.3, y=72.9, angle=1.5)
    transform, _ = transform_by_wcs(ref, other, SHAPE, SHAPE)
    fast = resample(frame, transform, SHAPE)
    exact = resample_by_wcs(frame, other, ref, SHAPE)
    both = np.isfinite(fast) & np.isfinite(exact)
    inner = np.zeros_like(both)
    inner[12:-12, 12:-12] = True
    assert np.abs(fast - exact)[both & inner].max() < 0.1
    assert (np.isfinite(fast) ^ np.isfinite(exact))[inner].sum() <= 2
