"""Small frames of known bias, dark current and flat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io.fits import Header

from mirar_dask.data import Image, ImageBatch
from mirar_dask.paths import Roots, use_roots

MakeImage = Callable[..., Image]


@pytest.fixture(autouse=True)
def night_folder(tmp_path: Path) -> Iterator[Path]:
    """Let products of a test go to its own folder."""
    with use_roots(Roots(tmp_path / "raw", tmp_path / "out")):
        yield tmp_path / "out"


@pytest.fixture
def make_image() -> MakeImage:
    """Make an image of pixels and header values."""

    def make(data, name="a.fits", obsclass="science", exptime=1.0, **keys) -> Image:
        header = Header()
        header["BASENAME"], header["RAWPATH"] = name, f"raw/{name}"
        header["OBSCLASS"], header["TARGET"] = obsclass, "field"
        header["EXPTIME"], header["DATE-OBS"] = exptime, "2024-01-01T00:00:00"
        header["CALSTEPS"], header["PROCFAIL"] = "", ""
        header["COADDS"], header["GAIN"] = 1, 1.0
        for key, value in keys.items():
            header[key] = value
        return Image(np.array(data), header)

    return make


@dataclass
class Detector:
    """What a simulated detector adds, in ADU, and by what it multiplies."""

    bias: np.ndarray
    dark: np.ndarray
    flat: np.ndarray


@dataclass
class Night:
    """Frames without noise but rounding, and what they are made of."""

    truth: Detector
    sky: float
    batch: ImageBatch


@pytest.fixture
def night(make_image: MakeImage) -> Night:
    """Three biases, darks of two exposure times, flats of three levels, two science frames."""
    rng = np.random.default_rng(5)
    shape = (24, 30)
    truth = Detector(
        rng.normal(1000, 5, shape).round(),
        rng.integers(1, 9, shape) / 4.0,
        1 + 0.125 * rng.integers(-2, 3, shape),
    )
    images = [make_image(truth.bias.astype("f4"), f"bias{i}.fits", "bias", 0.0) for i in range(3)]
    for number, seconds in enumerate((20.0, 20.0, 60.0)):
        data = truth.bias + truth.dark * seconds
        images.append(make_image(data.astype("f4"), f"dark{number}.fits", "dark", seconds))
    for number, level in enumerate((8000.0, 16000.0, 24000.0)):
        data = truth.bias + truth.dark * 4 + level * truth.flat
        images.append(make_image(data.astype("f4"), f"flat{number}.fits", "flat", 4.0))
    for number in range(2):
        data = truth.bias + truth.dark * 100 + 512.0 * truth.flat
        image = make_image(data.astype("f4"), f"sci{number}.fits", "science", 100.0)
        image["SATURATE"] = 60000.0
        images.append(image)
    return Night(truth, 512.0, ImageBatch(images))
