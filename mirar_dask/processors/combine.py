"""Combination of frames, pixel by pixel, into masters and stacks: median, mean, clipped mean.

A band of rows is read from every frame and reduced before the next one, so that memory is bounded
whatever the number of frames; the result does not depend on the size of the bands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mirar_dask.data import Image, ImageHandle, MemoryPixels, NpyPixels, Pixels, use_cache
from mirar_dask.errors import ProcessorError, ShapeMismatchError, UsageError
from mirar_dask.processors.reductions import (
    METHODS,
    Method,
    Scaling,
    reduce_bands,
    reduction,
    scratch_for,
)

__all__ = ["METHODS", "Method", "band_rows", "combine_frames", "combine_rows", "working_dtype"]

FloatImage = np.ndarray[Any, np.dtype[np.floating[Any]]]
Frame = Image | ImageHandle | Pixels

DEFAULT_MAX_BYTES = 256 * 2**20
"""Memory that `combine_frames` takes at most, beside its result."""
_BAND_BYTES = 512 * 2**10
"""Enough bytes of one frame in a read that opening its file does not count."""


def combine_frames(
    frames: Sequence[Frame],
    scales: Sequence[float] | None = None,
    *,
    method: Method = "median",
    sigma: float = 3.0,
    max_iterations: int = 5,
    rows: slice | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> FloatImage:
    """Combine frames pixel by pixel, reading them band by band.

    Parameters
    ----------
    frames : sequence of Image, ImageHandle or Pixels, all of one shape (ny, nx)
        NaN marks a masked pixel, which does not count.
    scales : sequence of float, optional
        Each frame is divided by its number first.
    method, sigma, max_iterations
        As in `combine_rows`.
    rows : slice, optional
        Combine these rows only: the results for parts of the rows are the parts of the result.
    max_bytes : int
        Memory for bands and intermediate values, beside the result. The bands are made as small
        as that takes, down to one row; the result does not depend on it.

    Returns
    -------
    ndarray, shape (ny, nx) or (number of rows, nx)
        float32; float64 if a frame is float64 or has integers of more than 16 bits. NaN where
        every frame is NaN.

    Raises
    ------
    ShapeMismatchError
        If the shapes differ; the message names both frames and shapes.
    ProcessorError
        If there is no frame, or a scale is zero or not finite.
    """
    ny, nx = _common_shape(frames)
    first_row, end, _ = (rows or slice(None)).indices(ny)
    dtype = working_dtype([frame.dtype for frame in frames])
    offset = _counts_offset(frames)
    scaling = Scaling(_divisors(scales, frames, dtype), offset)
    reduce = reduction(method, sigma, max_iterations)
    sources = _row_sources(frames, max_bytes // 2)
    read = _read_rows if offset is None else _read_counts
    result: FloatImage = np.empty((max(0, end - first_row), nx), dtype)
    step = band_rows(len(frames), nx, dtype.itemsize, max_bytes)
    scratch = scratch_for(len(frames), min(step, len(result)) * nx, dtype)
    for start in range(first_row, end, step):
        stop = min(start + step, end)
        bands = [read(source, start, stop) for source in sources]
        reduce_bands(bands, scaling, reduce, scratch, result[start - first_row : stop - first_row])
    return result


def combine_rows(
    bands: Sequence[np.ndarray],
    scales: Sequence[float] | None = None,
    method: Method = "median",
    sigma: float = 3.0,
    max_iterations: int = 5,
) -> FloatImage:
    """Combine bands of rows pixel by pixel.

    Parameters
    ----------
    bands : sequence of ndarray, each of shape (rows, nx)
        The same rows of each frame; they are only read. NaN marks a masked pixel.
    scales : sequence of float, optional
        Each band is divided by its number first.
    method : {'median', 'mean', 'sigma_clip'}
        'median' equals ``np.nanmedian`` (a zero is always +0). 'mean' is the mean of the values
        that are not NaN, summed in double precision. 'sigma_clip' is the mean of what is left
        when values further from the median than `sigma` standard deviations were set aside, again
        and again until none is. The standard deviation is told from the median absolute deviation,
        as by ``astropy.stats.sigma_clip(cenfunc="median", stdfunc="mad_std")``: computed from the
        squares of a few values it is so much inflated by one cosmic ray that the ray is never
        clipped (of n values none is further than (n - 1)/sqrt(n) of it from the mean: 2.85 for
        ten).
    sigma : float
        Clipping threshold in standard deviations.
    max_iterations : int
        Most rounds of clipping.

    Returns
    -------
    ndarray, shape (rows, nx)
        As from `combine_frames`; errors too.
    """
    if not bands:
        raise ProcessorError("no frames to combine")
    wrong = next((band for band in bands if band.shape != bands[0].shape), None)
    if wrong is not None:
        raise ShapeMismatchError(f"cannot combine bands of shapes {bands[0].shape}, {wrong.shape}")
    dtype = working_dtype([band.dtype for band in bands])
    result: FloatImage = np.empty(bands[0].shape, dtype)
    scratch = scratch_for(len(bands), result.size, dtype)
    reduce = reduction(method, sigma, max_iterations)
    reduce_bands(bands, Scaling(_divisors(scales, bands, dtype)), reduce, scratch, result)
    return result


def working_dtype(dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """Type in which frames are combined: float32, or float64 where that would lose digits.

    Examples
    --------
    >>> working_dtype([np.dtype("u2"), np.dtype("f4")]), working_dtype([np.dtype("i4")])
    (dtype('float32'), dtype('float64'))
    """
    exact = all(np.can_cast(dtype, np.float32) for dtype in dtypes)
    return np.dtype(np.float32 if exact else np.float64)


def band_rows(n_frames: int, nx: int, itemsize: int, max_bytes: int) -> int:
    """Rows of a band such that the bands of all frames fit into a number of bytes.

    Examples
    --------
    >>> band_rows(50, 4096, 4, 256 * 2**20), band_rows(50, 4096, 4, 1)
    (32, 1)
    """
    row = max(1, nx * itemsize)
    # As it is read, as it is reduced, and a third for what the reduction holds beside it.
    affordable = max_bytes // (3 * n_frames * row)
    return max(1, min(affordable, -(-_BAND_BYTES // row)))


def memory_for(
    n_frames: int, shape: Sequence[int], itemsize: int = 4, max_bytes: int = DEFAULT_MAX_BYTES
) -> int:
    """Bytes that `combine_frames` needs beside its result: bands, and the planes of a piece."""
    rows, nx = min(shape[0], band_rows(n_frames, shape[1], itemsize, max_bytes)), shape[1]
    return 2 * n_frames * rows * nx * itemsize


def _row_sources(frames: Sequence[Frame], max_bytes: int) -> list[Frame]:
    """Replace what can only be read whole: by memory as far as that goes, then by cache files."""
    sources = list(frames)
    for number, frame in enumerate(frames):
        pixels = _pixels(frame)
        if pixels.rows_readable:
            continue
        data = frame.view_data() if isinstance(frame, Image) else pixels.read()
        max_bytes -= data.nbytes
        in_memory = max_bytes >= 0 or not use_cache()
        sources[number] = MemoryPixels(data) if in_memory else NpyPixels.publish(data)
    return sources


def _counts_offset(frames: Sequence[Frame]) -> int | None:
    """Offset of the integers that all frames are stored as; None where that does not hold."""
    found = {_pixels(frame).counts_offset for frame in frames}
    return found.pop() if len(found) == 1 else None


def _read_counts(source: Frame, start: int, stop: int) -> np.ndarray:
    return _pixels(source).read_counts(start, stop)


def _pixels(frame: Frame) -> Pixels:
    return frame if isinstance(frame, Pixels) else frame.pixels


def _read_rows(source: Frame, start: int, stop: int) -> np.ndarray:
    pixels = _pixels(source)
    if isinstance(pixels, MemoryPixels):
        return pixels.view()[start:stop]
    return (pixels if isinstance(source, ImageHandle) else source).read_rows(start, stop)


def _name(frame: Any) -> str:
    named = getattr(frame, "get_name", None)
    return str(named() if callable(named) else getattr(frame, "name", "a frame"))


def _common_shape(frames: Sequence[Frame]) -> tuple[int, int]:
    if not frames:
        raise ProcessorError("no frames to combine")
    shape = frames[0].shape
    for frame in frames:
        if frame.shape != shape:
            raise ShapeMismatchError(
                f"cannot combine {_name(frames[0])} of shape {shape} with {_name(frame)} of "
                f"shape {frame.shape}; group frames by their shape first"
            )
    if len(shape) != 2:
        raise ShapeMismatchError(f"{_name(frames[0])} has shape {shape}, need two dimensions")
    return shape


def _divisors(
    scales: Sequence[float] | None, frames: Sequence[Any], dtype: np.dtype[Any]
) -> list[Any]:
    if scales is None:
        return [None] * len(frames)
    if len(scales) != len(frames):
        raise UsageError(f"{len(scales)} scales for {len(frames)} frames")
    for scale, frame in zip(scales, frames, strict=True):
        if not math.isfinite(scale) or scale == 0:
            raise ProcessorError(f"cannot divide {_name(frame)} by {scale}")
    return [None if scale == 1 else dtype.type(scale) for scale in scales]
