"""Small pictures of FITS products, for pages and reports: a path in, the bytes of a PNG out.

The page serves them and the night's report holds them. Where large frames lie row by row in their
file, a few rows of each strip are read and no more.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mirar_dask.data.pixels import Pixels
from mirar_dask.errors import InvalidFitsError, UsageError
from mirar_dask.io.checks import SeveralImagesError
from mirar_dask.io.lazy import open_extensions_lazy, open_lazy

SIZE = 256
"""Pixels of the longer side where nobody says."""
MASKED_COLOUR = (88, 56, 120)
"""Red, green, blue of what holds no number: grey means counts, this does not."""
_ROWS = 4
"""Rows that are read of each strip of a large frame; a picture does not show the others."""
_SPARSE = 16
"""Rows of a strip from which a few stand for all: each strip costs a look for the file."""
_BAND_BYTES = 8 << 20
_LARGEST_BAND = 256 << 20
"""Bytes of one strip that are still taken into memory."""
_LARGEST_WHOLE = 2 << 30
"""Bytes of a compressed frame, which can only be read whole, that are still taken into memory."""
_SOFTENING = 3.0
"""Standard deviations of the background over which brightness grows in proportion to counts."""
_BRIGHTEST = 100.0
"""Standard deviations above the background that are white at the latest."""


def thumbnail_png(path: Path | str, size: int = SIZE, *, hdu: int | None = None) -> bytes:
    """Draw a FITS image small.

    Parameters
    ----------
    path : Path
        A FITS file, compressed or not.
    size : int
        Largest width and height of the picture, in pixels. Smaller frames keep their size.
    hdu : int, optional
        Which HDU; by default the file's one image, or the first of several.

    Returns
    -------
    bytes
        A PNG, the first row of the frame at the bottom, as astronomers look at it. Grey levels
        follow the counts near the background and their logarithm far above (asinh), between
        the darkest and the brightest quarter of a percent. What is NaN has `MASKED_COLOUR`.

    Raises
    ------
    InvalidFitsError
        If the file holds no image that can be shown; the message says why.
    ImageNotFoundError
        If there is no such file.
    FileChangedError
        If another program replaces it in this moment.
    UsageError
        If `size` is less than 1.
    """
    if size < 1:
        raise UsageError(f"a picture of {size} pixels cannot be drawn; size must be 1 or more")
    levels = _levels(shrunk(_pixels(Path(path), hdu), size))
    return _png(levels[::-1])


def _pixels(path: Path, hdu: int | None) -> Pixels:
    try:
        return open_lazy(path, hdu)[0]
    except SeveralImagesError:
        return open_extensions_lazy(path)[1][0].pixels


def shrunk(pixels: Pixels, size: int) -> np.ndarray:
    """Average a frame over square blocks, so that neither side is longer than `size`.

    Parameters
    ----------
    pixels : Pixels
        Of shape (ny, nx).
    size : int
        Largest side of the result.

    Returns
    -------
    ndarray of float32
        NaN where a block holds no finite pixel. The blocks at the end of an axis may hold less.
    """
    ny, nx = pixels.shape
    step = -(-max(ny, nx) // size)
    rows = [_block_means(band, step) for band in _bands(pixels, step)]
    return np.concatenate(rows)


def _bands(pixels: Pixels, step: int) -> Iterator[np.ndarray]:
    """Yield what the strips of `step` rows are drawn from, several of them at once if small."""
    ny, nx = pixels.shape
    row_bytes = nx * pixels.dtype.itemsize
    if not pixels.rows_readable:
        if pixels.nbytes > _LARGEST_WHOLE:
            raise _too_large(pixels)
        yield pixels.read()
        return
    if step <= _SPARSE:
        strips = max(1, _BAND_BYTES // (row_bytes * step))
        if row_bytes * step > _LARGEST_BAND:
            raise _too_large(pixels)
        for start in range(0, ny, strips * step):
            yield pixels.read_rows(start, min(ny, start + strips * step))
        return
    if row_bytes * _ROWS > _LARGEST_BAND:
        raise _too_large(pixels)
    for start in range(0, ny, step):
        middle = start + (min(step, ny - start) - _ROWS) // 2
        yield pixels.read_rows(max(start, middle), min(ny, max(start, middle) + _ROWS))


def _too_large(pixels: Pixels) -> InvalidFitsError:
    ny, nx = pixels.shape
    return InvalidFitsError(f"{pixels.path} is too large to be shown: {nx} x {ny} pixels")


def _block_means(band: np.ndarray, step: int) -> np.ndarray:
    good = np.isfinite(band)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if good.all():
            means = _block_sums(band, step) / np.outer(*(_lengths(n, step) for n in band.shape))
        else:
            means = _block_sums(np.where(good, band, 0), step) / _block_sums(good, step)
        return means.astype(np.float32)


def _lengths(n: int, step: int) -> np.ndarray:
    """Return how many pixels each block has along an axis of `n`."""
    return np.minimum(step, n - np.arange(0, n, step))


def _block_sums(values: np.ndarray, step: int) -> np.ndarray:
    """Add up squares of pixels; many times faster than numpy's `reduceat`."""
    return _row_sums(_row_sums(values, step).T, step).T


def _row_sums(values: np.ndarray, step: int) -> np.ndarray:
    sums = np.zeros((-(-len(values) // step), values.shape[1]))
    for k in range(min(step, len(values))):
        part = values[k::step]
        sums[: len(part)] += part
    return sums


def _levels(data: np.ndarray) -> np.ndarray:
    """Turn counts into 0 (no number) and 1 to 255 (black to white)."""
    good = np.isfinite(data)
    levels = np.zeros(data.shape, np.uint8)
    values = data[good].astype(np.float64)
    if not values.size:
        return levels
    low, middle, high = np.percentile(values, [0.25, 50, 99.75])
    # Half of the pixels are within 0.6745 standard deviations, whatever stars do to the rest.
    noise = float(np.median(np.abs(values - middle))) / 0.6745
    high = min(high, middle + _BRIGHTEST * noise) if noise else high
    unit = _SOFTENING * noise or (high - low) / 10
    if unit > 0:
        top = np.arcsinh((high - low) / unit)
        bright = np.arcsinh((np.clip(values, low, high) - low) / unit) / top if top else values * 0
    else:
        bright = np.full(values.shape, 0.5)
    levels[good] = 1 + np.rint(254 * bright).astype(np.uint8)
    return levels


def _png(levels: np.ndarray) -> bytes:
    """Write a picture whose pixels are indices of a palette."""
    height, width = levels.shape
    palette = bytes(MASKED_COLOUR) + bytes(
        v for i in range(255) for v in (round(i * 255 / 254),) * 3
    )
    rows = np.zeros((height, width + 1), np.uint8)  # each row begins with 0: it is not filtered
    rows[:, 1:] = levels
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", palette),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
