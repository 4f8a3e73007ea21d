"""Combining registered frames into a stack and its weight map, by bands of rows.

The weighted sibling of `mirar_dask.processors.combine`; used by `mirar_dask.processors.stack`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mirar_dask.data import Image
from mirar_dask.processors.combine import combine_rows

FloatImage = NDArray[np.float32]
StackMethod = Literal["median", "mean", "sigma_clip"]
STACK_METHODS: tuple[str, ...] = get_args(StackMethod)

SIGNAL_SCATTER = 0.1
"""Of a pixel's height above the sky: so much it may differ from frame to frame with the seeing."""
DEFAULT_MAX_BYTES = 256 * 2**20
BYTES_A_VALUE = 48
"""Memory that combining takes for each value of a band: it, its copies, distances and masks."""


@dataclass(frozen=True, slots=True)
class FrameWeights:
    """What is known of each frame before it is combined."""

    weights: tuple[float, ...]
    """1 / noise^2, or 1."""
    noises: tuple[float, ...]
    """Standard deviation of the sky, in the units of the stack; 0 if not known."""
    level: float = 0.0
    """The sky of the stack."""


def combine_stack(
    frames: Sequence[Image],
    known: FrameWeights,
    *,
    method: StackMethod = "median",
    sigma: float = 3.0,
    max_iterations: int = 5,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> tuple[FloatImage, FloatImage]:
    """Combine registered frames pixel by pixel, reading them band by band.

    Parameters
    ----------
    frames : sequence of Image, all of one shape (ny, nx)
        NaN marks a masked pixel, which does not count.
    known : FrameWeights
        Weights and noises of the frames.
    method, sigma, max_iterations
        As in `stack_rows`.
    max_bytes : int
        Memory for bands and intermediate values, about, beside the result.

    Returns
    -------
    tuple of ndarray, each of shape (ny, nx), float32
        The stack, NaN where no frame has a value, and the sum of the weights of what went into
        each pixel, zero there.
    """
    ny, nx = frames[0].shape
    data = np.empty((ny, nx), np.float32)
    weight = np.empty((ny, nx), np.float32)
    rows = max(1, max_bytes // (BYTES_A_VALUE * nx * len(frames)))
    for start in range(0, ny, rows):
        stop = min(start + rows, ny)
        band = np.stack([frame.read_rows(start, stop) for frame in frames])
        data[start:stop], weight[start:stop] = stack_rows(
            band, known, method=method, sigma=sigma, max_iterations=max_iterations
        )
    return data, weight


def stack_rows(
    band: FloatImage,
    known: FrameWeights,
    *,
    method: StackMethod = "median",
    sigma: float = 3.0,
    max_iterations: int = 5,
) -> tuple[FloatImage, FloatImage]:
    """Combine the same rows of each frame.

    Parameters
    ----------
    band : ndarray, shape (n, rows, nx), float32
        NaN marks a masked pixel.
    known : FrameWeights
        Weights and noises of the n frames.
    method : {'median', 'mean', 'sigma_clip'}
        The median, which has no weights; the weighted mean; or the weighted mean of what lies
        within `sigma` deviations of the median. A deviation is what the values themselves say
        (by their median absolute deviation), but at least the noise of the frame and a tenth of
        the pixel's height above the sky, so that the cores of stars are not clipped when the
        seeing changes.
    sigma : float
        Clipping threshold.
    max_iterations : int
        Most rounds of clipping.

    Returns
    -------
    tuple of ndarray, each of shape (rows, nx), float32
        Values and sums of weights.
    """
    weights = np.asarray(known.weights, np.float32)[:, None, None]
    good = np.isfinite(band)
    if method == "sigma_clip" and len(band) > 2:
        good = _clipped(band, good, known, sigma, max_iterations)
    total = np.where(good, weights, np.float32(0)).sum(axis=0, dtype=np.float32)
    if method == "median":
        return combine_rows(list(band), method="median").astype(np.float32, copy=False), total
    filled = np.where(good, band, np.float32(0))
    # About the level and in double precision: weights of 1e-3 on a sky of 60000 lose digits else.
    level = np.float32(known.level)
    filled -= np.where(good, level, np.float32(0))
    added = (filled * weights).sum(axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = added / total + known.level
    return np.where(total > 0, values, np.nan).astype(np.float32), total


def _clipped(
    band: FloatImage,
    good: NDArray[np.bool_],
    known: FrameWeights,
    sigma: float,
    max_iterations: int,
) -> NDArray[np.bool_]:
    """Which values are left when those far from the median were set aside."""
    noises = np.asarray(known.noises, np.float32)[:, None, None]
    kept = good
    values = np.where(good, band, np.float32(np.nan))
    for _ in range(max(1, max_iterations)):
        centre = combine_rows(list(values), method="median")
        distance = np.abs(values - centre)
        spread = 1.4826 * combine_rows(list(distance), method="median")
        height = SIGNAL_SCATTER * np.maximum(centre - known.level, 0)
        least = np.hypot(noises, height)
        with np.errstate(invalid="ignore"):
            left = kept & (distance <= sigma * np.maximum(spread, least))
        if (left == kept).all():
            break
        kept = left
        values = np.where(kept, band, np.float32(np.nan))
    return kept
