"""Simulated images with sources of known position and flux."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from mirar_dask.data import Image
from mirar_dask.testing.images import make_header

LEVEL = 300.0


@dataclass
class Scene:
    """An image, and what is in it."""

    data: np.ndarray
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    fwhm: float
    gain: float
    noise: float

    def image(self, name: str = "field.fits", **keys: object) -> Image:
        """Return it as an Image."""
        return Image(self.data, make_header(name, GAIN=self.gain, **keys))

    def nearest(self, x: float, y: float) -> tuple[int, float]:
        """Which source is nearest to a place, and how far it is."""
        distance = np.hypot(self.x - x, self.y - y)
        return int(np.argmin(distance)), float(distance.min())


def make_scene(
    seed: int = 0,
    *,
    n: int = 60,
    shape: tuple[int, int] = (300, 360),
    fwhm: float = 3.2,
    noise: float = 5.0,
    gain: float = 2.0,
    faintest: float = 800.0,
    brightest: float = 60000.0,
    gradient: float = 0.0,
) -> Scene:
    """Stars on a jittered grid, so that none has a near neighbour."""
    rng = np.random.default_rng(seed)
    ny, nx = shape
    columns = int(np.ceil(np.sqrt(n * nx / ny)))
    rows = int(np.ceil(n / columns))
    gy, gx = np.divmod(np.arange(n), columns)
    x = (gx + 0.5 + rng.uniform(-0.2, 0.2, n)) * nx / columns
    y = (gy + 0.5 + rng.uniform(-0.2, 0.2, n)) * ny / rows
    flux = np.exp(rng.uniform(np.log(faintest), np.log(brightest), n))
    sigma = fwhm / 2.3548
    image = np.full(shape, LEVEL) + gradient * np.linspace(0, 1, nx)
    yy, xx = np.mgrid[:ny, :nx]
    for cx, cy, f in zip(x, y, flux, strict=True):
        window = (np.abs(yy - cy) < 20) & (np.abs(xx - cx) < 20)
        radius2 = (xx[window] - cx) ** 2 + (yy[window] - cy) ** 2
        image[window] += f / (2 * np.pi * sigma**2) * np.exp(-radius2 / (2 * sigma**2))
    photons = np.sqrt(np.maximum(image - LEVEL, 0) / gain)
    image = rng.normal(image, np.hypot(noise, photons))
    return Scene(image.astype(np.float32), x, y, flux, fwhm, gain, noise)


@pytest.fixture
def scene() -> Scene:
    """Return sixty stars on a flat sky."""
    return make_scene()


@pytest.fixture(name="make_scene")
def make_scene_fixture():
    """Return the function that makes scenes."""
    return make_scene
