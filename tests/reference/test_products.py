"""Calibrated frames are those that mirar, ccdproc and a plain script make of the same night."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from mirar_dask.testing import Camera, simulate_night

from .conftest import Night, reduce_night

pytestmark = pytest.mark.reference

TOLERANCE = 2e-6
"""Of max(1, |pixel|): what float32 arithmetic may differ from mirar's float64."""


def product(out: Path, name: str) -> np.ndarray:
    found = [path for path in sorted(out.rglob(name)) if path.is_file()]
    assert len(found) == 1, f"{name}: {found}"
    return fits.getdata(found[0]).astype(np.float64)


def agreement(a: np.ndarray, b: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """Fraction of the pixels that agree; NaN agrees with NaN."""
    near = np.abs(a - b) <= tolerance * np.maximum(1, np.abs(b))
    return float(np.mean(near | (np.isnan(a) & np.isnan(b))))


def test_products_are_those_of_mirar(simulated: Night, our_output: Path, mirar_output: Path):
    """Bias, dark and flat correction agree with mirar's own calibrators in 99.99 % of pixels."""
    for name in simulated.frames():
        ours, theirs = product(our_output, name), product(mirar_output, name)
        assert ours.shape == theirs.shape == simulated.truth.shape
        assert agreement(ours, theirs) >= 0.9999, name


def test_the_script_of_the_benchmarks_does_what_mirar_does(
    simulated: Night, numpy_output: Path, mirar_output: Path
):
    """The hand-written script is a fair opponent: its products agree with mirar's."""
    for name in simulated.frames():
        same = agreement(product(numpy_output, name), product(mirar_output, name))
        assert same >= 0.9999, name


def test_products_are_those_of_ccdproc_but_for_its_normalisation(
    simulated: Night, our_output: Path, ccdproc_output: Path
):
    """One factor a filter, the mean of the flat, is all that separates us from ccdproc."""
    factors: dict[str, list[float]] = {}
    for name in simulated.frames():
        ours, theirs = product(our_output, name), product(ccdproc_output, name)
        bright = theirs > 50
        factor = float(np.median(ours[bright] / theirs[bright]))
        factors.setdefault(simulated.truth.frames[name].filter, []).append(factor)
        assert agreement(ours, theirs * factor, 2 * TOLERANCE) >= 0.9999, name
    for band, found in factors.items():
        assert np.ptp(found) < 1e-6 * found[0]
        mean = float(simulated.truth.patterns.flats[band].mean(dtype=np.float64))
        assert found[0] == pytest.approx(1 / mean, rel=1e-3)


def test_products_are_the_truth_within_their_noise(simulated: Night, our_output: Path):
    """Every product deviates from the truth by the noise of photons and readout alone."""
    for name in simulated.frames():
        path = next(p for p in our_output.rglob(name) if p.is_file())
        assert simulated.truth.deviation(path) == pytest.approx(1, abs=0.02), name


@pytest.mark.parametrize(
    ("dialect", "side"), [("mirar", "left"), ("iraf", "right"), ("maxim", "left"), ("lco", "right")]
)
def test_the_truth_is_reached_from_every_dialect_with_an_overscan(
    tmp_path: Path, dialect: str, side: Literal["left", "right"]
):
    """Whatever a camera calls things, its drifting level is corrected and its overscan trimmed."""
    night = simulate_night(
        tmp_path / "raw",
        size=(160, 192),
        n_science=2,
        dialect=dialect,
        camera=Camera(overscan=32, overscan_side=side),
        seed=5,
    )
    reduce_night(tmp_path / "raw", tmp_path / "out")
    for name in night.names("science"):
        path = next(p for p in (tmp_path / "out").rglob(name) if p.is_file())
        assert fits.getdata(path).shape == night.shape
        assert night.deviation(path) == pytest.approx(1, abs=0.04), name
        header, stars = fits.getheader(path), night.stars(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)  # MJD-OBS derived from DATE-OBS
            x, y = WCS(header).all_world2pix(stars["ra"], stars["dec"], 0)
        assert np.allclose(x, stars["x"], atol=1e-6)
        assert np.allclose(y, stars["y"], atol=1e-6)
