"""The simulated camera: its properties, and the fixed patterns that every frame of it carries.

Used by `mirar_dask.testing.night`; what the sky adds lies in `starfield`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]
BoolImage = NDArray[np.bool_]
Shape = tuple[int, int]


def stream(seed: int, *name: object) -> np.random.Generator:
    """Give the random numbers that belong to one named part of a night.

    Each frame and each pattern has a stream of its own, so that a frame stays the same, to the
    bit, when the night gets more frames, filters or targets.
    """
    key = tuple(zlib.crc32(str(part).encode()) for part in name)
    # SFC64 is the fastest of NumPy's generators for normal deviates.
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=key)))


@dataclass(frozen=True, slots=True)
class Camera:
    """Properties of a simulated CCD camera; the defaults are those of an ordinary one."""

    gain: float = 1.5
    """Electrons per ADU."""
    read_noise: float = 6.0
    """Electrons, standard deviation."""
    bias_level: float = 1000.0
    """ADU."""
    column_structure: float = 4.0
    """Fixed offsets of the columns: ADU, standard deviation."""
    row_ramp: float = 6.0
    """Rise of the bias from the first row to the last: ADU."""
    bias_drift: float = 3.0
    """Change of the bias level from frame to frame: ADU, standard deviation. Only with an
    overscan, since nothing else can correct it."""
    dark_current: float = 0.2
    """Electrons per second and pixel."""
    glow: float = 1.0
    """Amplifier glow in a corner: electrons per second and pixel, on top of the dark current."""
    hot_fraction: float = 5e-4
    """Fraction of the pixels with a dark current about a hundred times as strong."""
    vignetting: float = 0.25
    """Loss of light in the corners, as a fraction."""
    response: float = 0.01
    """Scatter of the pixels' sensitivity, as a fraction."""
    dust: int = 8
    """Number of rings that dust on the filter throws on the detector."""
    dead_fraction: float = 2e-4
    """Fraction of the pixels that see hardly any light."""
    bad_columns: int = 1
    """Number of columns that are blind from some row upward."""
    saturation: int = 60_000
    """Highest value that a raw pixel takes: ADU."""
    cosmic_rate: float = 1.0
    """Cosmic rays a second and million pixels."""
    overscan: int = 0
    """Number of overscan columns (0: none, and no section keys in the header)."""
    overscan_side: Literal["left", "right"] = "right"
    """The side of the image on which the overscan lies."""
    pixel_scale: float = 0.6
    """Arcseconds."""

    def __post_init__(self) -> None:
        """Refuse what no camera has."""
        if self.gain <= 0 or self.read_noise < 0 or self.overscan < 0:
            raise ValueError(
                f"a camera needs gain > 0, read_noise >= 0 and overscan >= 0; "
                f"found {self.gain}, {self.read_noise}, {self.overscan}"
            )
        if not 0 < self.saturation <= 65_535:
            raise ValueError(f"saturation must fit 16 bits (1..65535), found {self.saturation}")

    def raw_shape(self, shape: Shape) -> Shape:
        """Shape of a raw frame whose exposed area has the given shape."""
        return shape[0], shape[1] + self.overscan

    def exposed(self, shape: Shape) -> tuple[slice, slice]:
        """Where the exposed area of that shape lies in a raw frame."""
        first = self.overscan if self.overscan_side == "left" else 0
        return slice(0, shape[0]), slice(first, first + shape[1])

    def sections(self, shape: Shape) -> dict[str, str]:
        """Header values of BIASSEC, TRIMSEC and DATASEC (counted from one, ends included)."""
        if not self.overscan:
            return {}
        ny, nx = shape
        first = self.overscan if self.overscan_side == "left" else 0
        data = f"[{first + 1}:{first + nx},1:{ny}]"
        start = 0 if self.overscan_side == "left" else nx
        return {
            "BIASSEC": f"[{start + 1}:{start + self.overscan},1:{ny}]",
            "TRIMSEC": data,
            "DATASEC": data,
        }


@dataclass(frozen=True, slots=True)
class Patterns:
    """What is the same in every frame of a camera; all arrays have the exposed area's shape."""

    bias: FloatImage
    """ADU, level included."""
    dark: FloatImage
    """Electrons per second, hot pixels included."""
    flats: dict[str, FloatImage]
    """Sensitivity by filter; its median is 1."""
    bad: BoolImage
    """True where a pixel cannot be calibrated (dead pixels, blind columns)."""


def make_patterns(camera: Camera, shape: Shape, filters: Iterable[str], seed: int) -> Patterns:
    """Draw the fixed patterns of a camera.

    Parameters
    ----------
    camera : Camera
        What to draw.
    shape : (ny, nx)
        The exposed area.
    filters : iterable of str
        A flat is made for each of them.
    seed : int
        The same seed gives the same patterns.
    """
    ny, nx = shape
    rng = stream(seed, "detector")
    rows = np.linspace(0, 1, ny, dtype=np.float32)[:, None]
    columns = rng.normal(0, camera.column_structure, nx).astype(np.float32)[None, :]
    bias = np.float32(camera.bias_level) + columns + np.float32(camera.row_ramp) * rows

    x = np.linspace(-1, 1, nx, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, ny, dtype=np.float32)[:, None]
    corner = ((x - 1) ** 2 + (y + 1) ** 2) / np.float32(0.4)
    dark = np.float32(camera.dark_current) + np.float32(camera.glow) * np.exp(-corner)
    hot = rng.random(shape, dtype=np.float32) < camera.hot_fraction
    dark[hot] += np.float32(camera.dark_current) * rng.uniform(50, 200, int(hot.sum())).astype("f4")

    dead = rng.random(shape, dtype=np.float32) < camera.dead_fraction
    for column in rng.integers(0, nx, camera.bad_columns):
        dead[int(rng.integers(ny // 4, ny // 2)) :, column] = True
    pixels = rng.standard_normal(shape, dtype=np.float32)
    lens = (1 - camera.vignetting * (x * x + y * y) / 2).astype(np.float32)

    flats = {}
    for name in filters:
        own = stream(seed, "filter", name)
        scatter = own.standard_normal(shape, dtype=np.float32)
        scatter *= np.float32(0.3)  # a part of a pixel's sensitivity depends on the colour
        scatter += pixels
        scatter *= np.float32(camera.response)
        scatter += 1
        flat = lens * scatter
        _cast_dust(flat, camera.dust, own)
        flat[dead] *= np.float32(0.01)
        flat /= np.median(flat)
        flats[name] = flat
    return Patterns(bias=bias, dark=dark, flats=flats, bad=dead)


def _cast_dust(flat: FloatImage, rings: int, rng: np.random.Generator) -> None:
    """Darken rings of the flat in place, as grains of dust out of focus do."""
    ny, nx = flat.shape
    for _ in range(rings):
        radius = float(rng.uniform(0.015, 0.04)) * min(nx, ny) + 3
        depth = float(rng.uniform(0.03, 0.1))
        cx, cy = float(rng.uniform(0, nx)), float(rng.uniform(0, ny))
        x0, x1 = max(int(cx - 2 * radius), 0), min(int(cx + 2 * radius) + 1, nx)
        y0, y1 = max(int(cy - 2 * radius), 0), min(int(cy + 2 * radius) + 1, ny)
        distance = np.hypot(np.arange(x0, x1)[None, :] - cx, np.arange(y0, y1)[:, None] - cy)
        ring = np.exp(-(((distance - radius) / (0.25 * radius)) ** 2))
        flat[y0:y1, x0:x1] *= (1 - depth * ring).astype(np.float32)
