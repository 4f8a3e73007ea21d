"""Bringing the frames of a stack to common pixels, sky level and flux.

One frame is in memory at a time; what is registered goes to the cache when it gets too much.
Used by `mirar_dask.processors.stack`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mirar_dask.data import Image, MemoryPixels
from mirar_dask.paths import EXPTIME_KEY
from mirar_dask.processors.align.cleaning import FloatImage, background, robust_noise, thin_out
from mirar_dask.processors.align.resample import Interpolation, resample
from mirar_dask.processors.align.sky import resample_by_wcs
from mirar_dask.processors.align.transform import Shape, Transform
from mirar_dask.processors.stack_place import Place, Places

Background = Literal["none", "level", "subtract"]

IN_MEMORY_BYTES = 128 * 2**20
"""Registered frames up to so many bytes stay in memory; others go to the cache."""
LARGEST_UNION = 9.0
"""A union may have so many times the pixels of the reference frame."""


@dataclass(frozen=True, slots=True)
class Level:
    """What a frame is before it is changed."""

    sky: float
    """Median: the frame's units."""
    noise: float
    """Standard deviation of pixels about their neighbours: the frame's units."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """The pixels of the stack."""

    shape: Shape
    """(ny, nx)."""
    origin: tuple[int, int] = (0, 0)
    """x and y of its first pixel in the reference frame."""


def measure_level(image: Image) -> Level:
    """Measure sky and noise of a frame."""
    data = np.asarray(image.view_data(), dtype=np.float32)
    sample = thin_out(data)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return Level(0.0, 0.0)
    rows = data[:: max(1, data.shape[0] // 256)]
    # Differences of neighbours do not see gradients.
    return Level(float(np.median(sample)), robust_noise(np.diff(rows, axis=1)) / math.sqrt(2))


def union_canvas(shapes: Sequence[Shape], places: Places) -> Canvas | None:
    """The pixels that any placed frame covers; None if they are too many to be meant."""
    shape = shapes[places.ref]
    x, y = [0.0, shape[1] - 1.0], [0.0, shape[0] - 1.0]
    for (ny, nx), place in zip(shapes, places.found, strict=True):
        if not isinstance(place, Place):
            continue
        back = place.solution.transform.inverse
        for corner in ((0, 0), (nx - 1, 0), (0, ny - 1), (nx - 1, ny - 1)):
            cx, cy = back.at(*corner)
            x.append(cx)
            y.append(cy)
    x0, y0 = math.floor(min(x) + 0.01), math.floor(min(y) + 0.01)
    wanted = (math.ceil(max(y) - 0.01) - y0 + 1, math.ceil(max(x) - 0.01) - x0 + 1)
    if wanted[0] * wanted[1] > LARGEST_UNION * shape[0] * shape[1]:
        return None
    return Canvas(wanted, (x0, y0))


def prepare_pixels(
    image: Image, own: Level, factor: float, wanted_sky: float, kind: Background
) -> FloatImage:
    """Make the pixels of a frame in the flux and at the sky level of the stack.

    Parameters
    ----------
    image : Image
        The frame; it is not changed.
    own : Level
        Its sky.
    factor : float
        What its values are multiplied by.
    wanted_sky : float
        The sky of the stack, for 'level'.
    kind : {'none', 'level', 'subtract'}
        What becomes of its sky.
    """
    data = np.array(image.view_data(), dtype=np.float32, order="C")
    if kind == "subtract":
        bad = ~np.isfinite(data)
        held = np.where(bad, np.float32(own.sky), data)
        data -= background(held, bad if bad.any() else None)
    if factor != 1.0:
        data *= np.float32(factor)
    if kind == "level":
        data += np.float32(wanted_sky - own.sky * factor)
    return data


def register(
    pixels: FloatImage, places: Places, i: int, canvas: Canvas, interpolation: Interpolation
) -> FloatImage:
    """Resample the pixels of frame i to those of the stack."""
    place = places.found[i]
    assert isinstance(place, Place)
    wcs, ref_wcs = places.wcs[i], places.wcs[places.ref]
    if place.point_by_point and wcs is not None and ref_wcs is not None:
        moved = ref_wcs.deepcopy()
        moved.wcs.crpix -= canvas.origin
        if moved.sip is not None:
            moved.sip.crpix[:] -= canvas.origin
        return resample_by_wcs(pixels, wcs, moved, canvas.shape, interpolation)
    transform = place.solution.transform.after(Transform.shift(*canvas.origin))
    return resample(pixels, transform, canvas.shape, interpolation)


def keep(frames: list[Image], pixels: FloatImage, image: Image) -> None:
    """Add registered pixels to those of other frames, in memory while there is room."""
    frame = Image(MemoryPixels(pixels), image.get_header().copy())
    held = sum(each.nbytes for each in frames if isinstance(each.pixels, MemoryPixels))
    if held + pixels.nbytes > IN_MEMORY_BYTES:
        frame.publish()
    frames.append(frame)


def exposure_factor(image: Image, ref: Image) -> float | None:
    """What brings a frame to the exposure time of another; None if they do not say."""
    here, there = _exposure(image), _exposure(ref)
    return there / here if here > 0 and there > 0 else None


def _exposure(image: Image) -> float:
    try:
        return float(image.get(EXPTIME_KEY, math.nan))
    except (TypeError, ValueError):
        return math.nan
