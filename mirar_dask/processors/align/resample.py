"""Resampling a frame to the pixels of another, with masked pixels kept out of their neighbours."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mirar_dask.errors import UsageError
from mirar_dask.processors.align.cleaning import BoolImage, FloatImage, fill_masked, thin_out
from mirar_dask.processors.align.transform import Shape, Transform

Interpolation = Literal["cubic", "linear", "nearest"]
INTERPOLATIONS: tuple[str, ...] = get_args(Interpolation)

NEGLIGIBLE = 0.01
"""Maps that differ by less over a whole frame are one: pixels."""
WHOLE = 1e-3
"""Shifts so near to whole pixels copy pixels: pixels."""
BAD_SHARE = 0.1
"""An output pixel is masked if masked pixels have more than this share in it."""


def resample(
    data: NDArray[np.floating],
    transform: Transform,
    shape: Shape,
    interpolation: Interpolation = "cubic",
) -> FloatImage:
    """Resample a frame.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        The frame; NaN marks a masked pixel. It is not changed.
    transform : Transform
        From pixels of the result to pixels of the frame.
    shape : tuple
        (ny, nx) of the result.
    interpolation : {'cubic', 'linear', 'nearest'}
        'cubic' is a cubic spline: sharp, and rings around single bright pixels.

    Returns
    -------
    ndarray, float32
        NaN outside the frame and where masked pixels have more than a tenth's share. Flux is
        conserved: where scales differ, values are multiplied by the ratio of the pixels' areas.
    """
    if interpolation not in INTERPOLATIONS:
        raise UsageError(
            f"interpolation={interpolation!r}: expected one of {', '.join(INTERPOLATIONS)}"
        )
    frame = np.asarray(data, dtype=np.float32)
    dx, dy = transform.offset(shape)
    plain = Transform.shift(dx, dy)
    if transform.largest_difference(plain, shape) < NEGLIGIBLE:
        if interpolation == "nearest" or max(_from_whole(dx), _from_whole(dy)) < WHOLE:
            return _copied(frame, round(dx), round(dy), shape)
        filled, bad = split_mask(frame)
        result = _shifted(filled, dx, dy, shape, 3 if interpolation == "cubic" else 1)
        share = None if bad is None else _shifted(bad.astype(np.float32), dx, dy, shape, 1)
        _blank_outside(result, plain, frame.shape)
    else:
        order = {"nearest": 0, "linear": 1, "cubic": 3}[interpolation]
        filled, bad = split_mask(frame)
        result = _turned(filled, transform, shape, order)
        share = None
        if bad is not None:
            share = _turned(bad.astype(np.float32), transform, shape, min(order, 1))
        _blank_outside(result, transform, frame.shape)
        if abs(transform.scale - 1.0) > 1e-6:
            result *= np.float32(transform.scale**2)
    if share is not None:
        result[share > BAD_SHARE] = np.nan
    return result


def _from_whole(value: float) -> float:
    return abs(value - round(value))


def split_mask(frame: FloatImage) -> tuple[FloatImage, BoolImage | None]:
    """The frame with masked pixels near the level of their neighbours, and the mask."""
    bad = ~np.isfinite(frame)
    if not bad.any():
        return frame, None
    filled = frame.copy()
    if bad.all():
        filled[:] = 0
        return filled, bad
    filled[bad] = np.median(thin_out(frame[~bad]))
    fill_masked(filled, bad)
    return filled, bad


def _copied(frame: FloatImage, dx: int, dy: int, shape: Shape) -> FloatImage:
    """Pixels (x + dx, y + dy) of the frame."""
    result = np.full(shape, np.nan, np.float32)
    y0, y1 = max(0, -dy), min(shape[0], frame.shape[0] - dy)
    x0, x1 = max(0, -dx), min(shape[1], frame.shape[1] - dx)
    if y1 > y0 and x1 > x0:
        result[y0:y1, x0:x1] = frame[y0 + dy : y1 + dy, x0 + dx : x1 + dx]
    return result


def _shifted(frame: FloatImage, dx: float, dy: float, shape: Shape, order: int) -> FloatImage:
    """Values at (x + dx, y + dy) of the frame; one short kernel an axis, as the shift is one."""
    from scipy import ndimage

    part = frame
    if order == 3:
        part = ndimage.spline_filter(frame, 3, output=np.float32, mode="mirror")
    for axis, step in ((0, dy), (1, dx)):
        weights = _kernel(step - math.floor(step), order)
        part = ndimage.correlate1d(part, weights, axis=axis, mode="mirror", origin=-1)
    return _copied(part, math.floor(dx), math.floor(dy), shape)


def _kernel(fraction: float, order: int) -> NDArray[np.float64]:
    """Weights of the pixels at -1, 0, 1, 2 (and one that is not used) for a fraction beyond 0."""
    t = fraction
    if order == 1:
        return np.array([0.0, 1 - t, t, 0.0])
    s = 1 - t
    spline = [s**3, 3 * t**3 - 6 * t**2 + 4, 3 * s**3 - 6 * s**2 + 4, t**3]
    return np.array(spline) / 6.0


def _turned(frame: FloatImage, transform: Transform, shape: Shape, order: int) -> FloatImage:
    from scipy import ndimage

    matrix = np.array([[transform.yy, transform.yx], [transform.xy, transform.xx]])
    found: FloatImage = ndimage.affine_transform(
        frame,
        matrix,
        offset=(transform.ty, transform.tx),
        output_shape=shape,
        output=np.float32,
        order=order,
        mode="mirror",
    )
    return found


def _blank_outside(result: FloatImage, transform: Transform, frame_shape: Shape) -> None:
    """Mask what lies beyond the centres of the frame's outermost pixels."""
    ny, nx = result.shape
    x = np.arange(nx, dtype=np.float64)
    for start in range(0, ny, 256):
        y = np.arange(start, min(start + 256, ny), dtype=np.float64)[:, None]
        fx, fy = transform.apply(x, y)
        outside = (fx < -NEGLIGIBLE) | (fx > frame_shape[1] - 1 + NEGLIGIBLE)
        outside |= (fy < -NEGLIGIBLE) | (fy > frame_shape[0] - 1 + NEGLIGIBLE)
        result[start : start + len(y)][outside] = np.nan
