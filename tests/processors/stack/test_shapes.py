"""The width and roundness of stars, against stars of a known shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mirar_dask.io import open_image
from mirar_dask.processors.align.cleaning import detection_image
from mirar_dask.processors.align.shapes import StarShape, star_shape
from mirar_dask.processors.align.starlist import best_kernel, find_stars
from mirar_dask.testing.starfield import add_stars


def frame(fwhm: float, *, seed: int = 3, stars: int = 120) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.full((512, 512), 500, np.float32)
    x, y = rng.uniform(12, 500, (2, stars))
    add_stars(image, x, y, 10 ** rng.uniform(2.8, 5, stars), fwhm)
    return image + rng.normal(0, 12, image.shape).astype(np.float32)


def look(image: np.ndarray) -> StarShape | None:
    clean = detection_image(image)
    return star_shape(clean, find_stars(clean, best_kernel([clean])))


@pytest.mark.parametrize("fwhm", [2.0, 3.2, 5.0, 8.0])
def test_the_width_of_stars_is_found(fwhm: float):
    """Within a few percent, a pixel's own width included."""
    found = look(frame(fwhm))
    assert found is not None and found.n_stars >= 20
    assert found.fwhm == pytest.approx(np.hypot(fwhm, 0.68), rel=0.03)
    assert found.ellipticity < 0.04


def test_trailed_stars_are_not_round():
    """A frame added to itself, moved by 3 pixels, has longer stars than round ones."""
    round_ = frame(4.0)
    found = look((round_ + np.roll(round_, 3, axis=1)) / 2)
    assert found is not None
    along = np.hypot(4.0 / 2.3548, 1.5)
    assert found.ellipticity == pytest.approx(1 - 4.0 / 2.3548 / along, abs=0.06)


def test_a_frame_without_stars_has_no_seeing():
    """Noise is not measured as stars."""
    noise = np.random.default_rng(1).normal(500, 12, (256, 256)).astype(np.float32)
    assert look(noise) is None


def test_the_core_of_a_cluster_is_no_star():
    """A crowd without stars of its own has no seeing, rather than a wrong one."""
    rng = np.random.default_rng(4)
    image = np.full((512, 512), 500, np.float32)
    x, y = rng.normal(256, 45, (2, 3000)).clip(10, 500)
    add_stars(image, x, y, np.full(3000, 3000.0), 12.0)
    assert look(image + rng.normal(0, 12, image.shape).astype(np.float32)) is None


def test_real_frames_of_a_cluster_tell_no_seeing(real_frames: list[Path]):
    """Their few bright spots are the cluster itself."""
    for path in real_frames[:2]:
        assert look(np.asarray(open_image(path).view_data())) is None
