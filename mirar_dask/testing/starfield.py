"""The simulated sky: stars of known position and flux, their images, and their WCS.

Used by `mirar_dask.testing.night`. The tangent-plane projection is written out here, so that
tests can hold it against astropy's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mirar_dask.testing.camera import FloatImage, Shape, stream

FloatArray = NDArray[np.float64]

FAINTEST, BRIGHTEST = 30.0, 60_000.0
"""Range of the stars' rates, electrons a second."""


@dataclass(frozen=True, slots=True)
class StarField:
    """The stars of one target, and how the camera is turned towards them."""

    name: str
    """The target's name, as in the headers."""
    ra: float
    """Right ascension of the field's centre: degrees."""
    dec: float
    """Declination of the field's centre: degrees."""
    angle: float
    """Position angle of the camera: degrees."""
    scale: float
    """Pixel scale: degrees."""
    u: FloatArray
    """Offsets of the stars from the centre along the rows: pixels."""
    v: FloatArray
    """Offsets of the stars from the centre along the columns: pixels."""
    rates: dict[str, FloatArray]
    """Electrons a second of each star, by filter."""

    @property
    def cd(self) -> FloatArray:
        """The matrix from pixels to degrees on the tangent plane (east to the left)."""
        turn = math.radians(self.angle)
        return self.scale * np.array(
            [[-math.cos(turn), math.sin(turn)], [math.sin(turn), math.cos(turn)]]
        )

    def sky_positions(self) -> tuple[FloatArray, FloatArray]:
        """Right ascension and declination of every star: degrees (inverse gnomonic)."""
        xi, eta = np.radians(self.cd @ np.stack([self.u, self.v]))
        dec0 = math.radians(self.dec)
        depth = math.cos(dec0) - eta * math.sin(dec0)
        ra = math.radians(self.ra) + np.arctan2(xi, depth)
        dec = np.arctan2(math.sin(dec0) + eta * math.cos(dec0), np.hypot(xi, depth))
        return np.degrees(ra) % 360.0, np.degrees(dec)

    def pixel_positions(
        self, shape: Shape, dither: tuple[float, float]
    ) -> tuple[FloatArray, FloatArray]:
        """Where the stars fall in a frame: x and y in pixels, counted from zero."""
        return (
            self.u + (shape[1] - 1) / 2 + dither[0],
            self.v + (shape[0] - 1) / 2 + dither[1],
        )

    def wcs_cards(self, shape: Shape, dither: tuple[float, float]) -> dict[str, str | float]:
        """Header values of the TAN WCS of a frame with that dither (exposed area)."""
        cd = self.cd
        return {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CUNIT1": "deg",
            "CUNIT2": "deg",
            "CRVAL1": self.ra,
            "CRVAL2": self.dec,
            "CRPIX1": (shape[1] + 1) / 2 + dither[0],
            "CRPIX2": (shape[0] + 1) / 2 + dither[1],
            "CD1_1": float(cd[0, 0]),
            "CD1_2": float(cd[0, 1]),
            "CD2_1": float(cd[1, 0]),
            "CD2_2": float(cd[1, 1]),
            "RADESYS": "ICRS",
            "EQUINOX": 2000.0,
        }


def make_field(
    name: str, shape: Shape, filters: tuple[str, ...], seed: int, *, stars: int, scale: float
) -> StarField:
    """Draw a target's field: many faint stars, few bright ones, the brightest saturated."""
    rng = stream(seed, "field", name)
    ra, dec = float(rng.uniform(0, 360)), float(rng.uniform(-50, 70))
    angle = float(rng.uniform(-10, 10))
    # Beyond the edges too: a dithered frame has stars all over.
    u = rng.uniform(-0.55, 0.55, stars) * shape[1]
    v = rng.uniform(-0.55, 0.55, stars) * shape[0]
    rate = np.minimum(FAINTEST * rng.random(stars) ** (-1 / 0.9), BRIGHTEST / 3)
    if stars:
        rate[0] = BRIGHTEST
        u[0], v[0] = 0.6 * u[0], 0.6 * v[0]
    rates = {
        band: rate * np.exp(stream(seed, "colour", name, band).normal(0, 0.2, stars))
        for band in filters
    }
    return StarField(name, ra, dec, angle, scale / 3600.0, u, v, rates)


def add_stars(
    image: FloatImage, x: FloatArray, y: FloatArray, flux: FloatArray, fwhm: float
) -> None:
    """Add Gaussian stars to an image in place, integrated over the pixels' area.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        Changed in place.
    x, y : ndarray
        Centres in pixels, counted from zero; a star beyond the edge adds what falls inside.
    flux : ndarray
        Total of each star, in the image's unit.
    fwhm : float
        Full width at half maximum: pixels.
    """
    ny, nx = image.shape
    sigma = fwhm / 2.3548200450309493
    reach = math.ceil(6 * sigma)
    for cx, cy, total in zip(x.tolist(), y.tolist(), flux.tolist(), strict=True):
        x0, x1 = max(round(cx) - reach, 0), min(round(cx) + reach + 1, nx)
        y0, y1 = max(round(cy) - reach, 0), min(round(cy) + reach + 1, ny)
        if x0 < x1 and y0 < y1:
            columns = _shares(x0, x1, cx, sigma)
            rows = _shares(y0, y1, cy, sigma)
            image[y0:y1, x0:x1] += (total * rows[:, None] * columns).astype(np.float32)


def _shares(start: int, stop: int, centre: float, sigma: float) -> FloatArray:
    """Fraction of a Gaussian's light that falls on each of the pixels start..stop."""
    width = sigma * math.sqrt(2)
    edges = [math.erf((edge - 0.5 - centre) / width) for edge in range(start, stop + 1)]
    return np.diff(edges) / 2


def add_cosmic_rays(image: FloatImage, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Add straight tracks of cosmic rays in place (electrons); flat indices of their pixels."""
    ny, nx = image.shape
    lengths = rng.geometric(0.25, count)
    starts = rng.uniform(0, 1, (count, 2)) * (ny, nx)
    angles = rng.uniform(0, 2 * math.pi, count)
    charge = rng.lognormal(math.log(2500.0), 0.6, count)
    hit = []
    for (y, x), length, angle, electrons in zip(starts, lengths, angles, charge, strict=True):
        steps = np.arange(length)
        rows = np.floor(y + steps * math.sin(angle)).astype(np.int64)
        columns = np.floor(x + steps * math.cos(angle)).astype(np.int64)
        inside = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
        index = np.unique(rows[inside] * nx + columns[inside])
        image.reshape(-1)[index] += np.float32(electrons)
        hit.append(index)
    return np.unique(np.concatenate(hit)) if hit else np.empty(0, np.int64)
