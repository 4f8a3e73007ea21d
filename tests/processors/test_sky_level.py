"""Level and noise of the sky that saved images tell of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mirar_dask.io import read_header
from mirar_dask.paths import Roots, use_roots
from mirar_dask.processors.sky_level import sky_cards
from mirar_dask.processors.utils import ImageSaver
from mirar_dask.testing.images import make_image


def sky(shape: tuple[int, int] = (600, 500), tilt: float = 0.0) -> np.ndarray:
    noise = np.random.default_rng(7).normal(400, 9, shape)
    return (noise + np.linspace(-tilt, tilt, shape[1])).astype(np.float32)


@pytest.mark.parametrize("tilt", [0.0, 200.0])
def test_level_and_noise_are_those_of_the_sky(tilt: float):
    """A gradient is no noise, and stars and masked pixels are neither."""
    data = sky(tilt=tilt)
    data[100:120, 100:150] += 20_000
    data[:40] = np.nan
    cards = sky_cards(data)
    assert cards["SKYMED"][0] == pytest.approx(400, abs=max(1.0, tilt / 20))
    assert cards["SKYRMS"][0] == pytest.approx(9, rel=0.04)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nothing_is_said_of_a_frame_without_pixels(value: float):
    """FITS headers hold no NaN."""
    assert sky_cards(np.full((20, 20), value, np.float32)) == {}


def test_columns_of_a_detector_do_not_count_alone():
    """The sample goes over all columns, whatever the width of a frame."""
    data = np.zeros((1024, 1024), np.float32)
    data[:, ::2] = 100.0
    assert sky_cards(data)["SKYRMS"][0] == pytest.approx(100 * np.sqrt(np.pi) / 2, rel=1e-6)


@pytest.mark.parametrize("noise", [1.5, 3.0])
def test_the_noise_of_whole_counts_is_no_whole_number(noise: float):
    """Integers tell their noise to a few percent, rounding included."""
    counts = np.random.default_rng(2).normal(500, noise, (600, 500)).round().astype(np.int16)
    assert sky_cards(counts)["SKYRMS"][0] == pytest.approx(np.hypot(noise, 0.29), rel=0.06)


def test_a_saver_writes_what_it_measured(tmp_path: Path):
    """SKYMED and SKYRMS are in file and image if they were asked for, and nowhere else."""
    with use_roots(Roots(tmp_path, tmp_path)):
        for measure in (True, False):
            image = make_image("a.fits", sky())
            saver = ImageSaver("reduced", measure_sky=measure)
            saver.set_night("night")
            saver.apply_to_image(image)
            header = read_header(image["SAVEPATH"])
            for held in (header, image.header):
                assert ("SKYMED" in held) is measure
            if measure:
                assert header["SKYRMS"] == image["SKYRMS"] == sky_cards(sky())["SKYRMS"][0]
            assert ("SKYMED" in (saver.changes_keys() or ())) is measure
