"""Pixel-by-pixel median, mean and clipped mean of bands that are in memory.

The work is done in pieces that stay in the processor's cache. What becomes of a pixel depends on
its own values only, so the result is the same, to the last bit, however frames are divided.
Used by `combine`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mirar_dask.errors import UsageError
from mirar_dask.processors.networks import median_network, sorting_network

Method = Literal["median", "mean", "sigma_clip"]
Planes = list[np.ndarray]
"""The same pixels of each frame, flat."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """What makes values of what planes hold: ``(stored + offset) / divisor``."""

    divisors: Sequence[Any]
    """A number in the working type for each frame, or None where it is 1."""
    offset: int | None = None
    """For planes of 16-bit integers; None for planes of values."""

    @property
    def divisor(self) -> Any:
        """The number by which all frames are divided; None if it is 1, or not one for all."""
        return self.divisors[0] if self.is_common else None

    @property
    def is_common(self) -> bool:
        """Whether all frames are divided by one number, which leaves their order as it is."""
        return len(set(self.divisors)) == 1

    def load(self, plane: np.ndarray, divisor: Any, target: np.ndarray) -> np.ndarray:
        """Write the values of a plane into a target of the working type."""
        if self.offset is not None:
            plane = np.add(plane, target.dtype.type(self.offset), out=target)
        if divisor is not None:
            np.divide(plane, divisor, out=target)
        elif self.offset is None:
            np.copyto(target, plane)
        return target


Reduction = Callable[[Planes, Scaling, np.ndarray, np.ndarray], None]
"""Combines one piece: (planes, scaling, scratch of n + 1 planes, where the result goes)."""

METHODS: tuple[Method, ...] = ("median", "mean", "sigma_clip")
"""The names of the methods."""
MAD_TO_SIGMA = 1.482602218505602
"""Standard deviation of a normal distribution in units of its median absolute deviation."""

_MAX_NETWORK = 400
"""Most planes for a network; above, sorting pixel by pixel is the faster way to the median."""
_COUNTS = np.dtype(np.int16)


def reduction(method: str, sigma: float, max_iterations: int) -> Reduction:
    """Return the function that combines pieces by a method; see `combine_rows`."""
    if method == "median":
        return _median
    if method == "mean" or (method == "sigma_clip" and max_iterations < 1):
        return _mean
    if method == "sigma_clip":
        if not (math.isfinite(sigma) and sigma > 0):
            raise UsageError(f"sigma={sigma!r}: expected a positive number of standard deviations")
        return _SigmaClip(sigma, max_iterations)
    raise UsageError(f"method={method!r}: expected one of {', '.join(METHODS)}")


def scratch_for(n_frames: int, n_pixels: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Make the scratch planes that `reduce_bands` needs; they may be used again.

    Measured with 1 MB of L2 and 32 MB of shared L3: from 16k pixels on numpy's cost per call
    (0.5 us) is lost in the work, and up to 32k pixels the planes of a piece come from the caches.
    """
    piece = 32768 if n_frames <= 100 else 16384 if n_frames <= 256 else 8192
    return np.empty((n_frames + 1, max(1, min(n_pixels, piece))), dtype)


def reduce_bands(
    bands: Sequence[np.ndarray],
    scaling: Scaling,
    reduce: Reduction,
    scratch: np.ndarray,
    result: np.ndarray,
) -> None:
    """Combine bands of rows into a contiguous array of their shape; the bands are only read."""
    planes = [band.reshape(-1) for band in bands]
    flat = result.reshape(-1)
    # Infinite values make NaNs on the way: the median or mean of -inf and inf is one.
    with np.errstate(invalid="ignore", over="ignore"):
        for first in range(0, flat.size, scratch.shape[1]):
            piece = slice(first, min(first + scratch.shape[1], flat.size))
            here = scratch[:, : piece.stop - piece.start]
            reduce([plane[piece] for plane in planes], scaling, here, flat[piece])
        # Whether the minimum of -0 and +0 is -0 depends on where in a vector register they lie.
        flat += 0.0


# -- the median ----------------


def _median(planes: Planes, scaling: Scaling, scratch: np.ndarray, result: np.ndarray) -> None:
    if len(planes) > _MAX_NETWORK:
        masked = np.arange(result.size)
    elif scaling.offset is not None and scaling.is_common:
        _middle_of_counts(_load_counts(planes, scratch), scaling, result)
        return
    else:
        # One divisor leaves the order as it is, so that only the middle has to be divided.
        divisors = [None] * len(planes) if scaling.is_common else scaling.divisors
        for plane, divisor, register in zip(planes, divisors, scratch, strict=False):
            scaling.load(plane, divisor, register)
        _middle_of_planes(scratch, scaling.divisor, result)
        # A NaN in any frame has reached the result through every minimum and maximum.
        masked = np.flatnonzero(np.isnan(result))
    if masked.size:
        values, count = _sorted_values(planes, scaling, masked, scratch.dtype)
        result[masked] = _middle(values, np.zeros_like(count), count)


def _middle_of_planes(registers: np.ndarray, divisor: Any, result: np.ndarray) -> None:
    """Median of all planes but the last, which is spare; the contents of all are lost."""
    middle = median_network(len(registers) - 1).run(list(registers))
    if divisor is not None:
        for plane in middle:
            np.divide(plane, divisor, out=plane)
    if len(middle) == 1:
        np.copyto(result, middle[0])
    else:
        np.add(middle[0], middle[1], out=result)
        result /= 2


# -- 16-bit integers, as cameras write them: half the bytes, and none is NaN ----------------


def _load_counts(planes: Planes, scratch: np.ndarray) -> np.ndarray:
    """Copy planes of integers, of either byte order, into registers within the scratch planes."""
    registers: np.ndarray = scratch.view(_COUNTS)[:, : scratch.shape[1]]
    for plane, register in zip(planes, registers, strict=False):
        np.copyto(register, plane)
    return registers


def _middle_of_counts(registers: np.ndarray, scaling: Scaling, result: np.ndarray) -> None:
    """Median of all planes but the last; its bits are those that floats would give."""
    middle = median_network(len(registers) - 1).run(list(registers))
    low, high = (
        scaling.load(plane, scaling.divisor, np.empty_like(result))
        for plane in (middle[0], middle[-1])
    )
    if len(middle) == 1:
        np.copyto(result, low)
    else:
        np.add(low, high, out=result)
        result /= 2


# -- pixels of which some values do not count ----------------


def _sorted_values(
    planes: Planes, scaling: Scaling, pixels: np.ndarray, dtype: np.dtype[Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Sort the values of some pixels.

    Returns
    -------
    values : ndarray, shape (n_frames, n_pixels)
        Ascending along the first axis, infinite behind the values that count.
    count : ndarray of int, shape (n_pixels,)
        How many values of each pixel count, that is, are not NaN.
    """
    values = np.empty((len(planes) + 1, len(pixels)), dtype)
    for plane, divisor, row in zip(planes, scaling.divisors, values, strict=False):
        scaling.load(plane[pixels], divisor, row)
    nan = np.isnan(values[:-1])
    values[:-1][nan] = np.inf
    return _sort(values), len(planes) - nan.sum(axis=0)


def _sort(registers: np.ndarray) -> np.ndarray:
    """Sort along the first axis, without the last row, which is spare."""
    if len(registers) - 1 > _MAX_NETWORK:
        # Three times faster than along the first axis, the turning included.
        return np.sort(np.ascontiguousarray(registers[:-1].T), axis=1).T
    return np.array(sorting_network(len(registers) - 1).run(list(registers)))


def _middle(values: np.ndarray, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Median of the part ``first:stop`` of each sorted column; NaN where that is empty."""
    count = stop - first
    low = np.maximum(first + (count - 1) // 2, 0)
    high = np.minimum(first + count // 2, len(values) - 1)
    column = np.arange(values.shape[1])
    low_value, high_value = values[low, column], values[high, column]
    # numpy's way, so that the bits are numpy's; of an odd number there is nothing to add.
    middle = np.where(low == high, low_value, (low_value + high_value) / 2)
    middle[count == 0] = np.nan
    return middle


def _mean_of_parts(values: np.ndarray, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Mean of the part ``first:stop`` of each column; NaN where that is empty."""
    total = np.zeros(values.shape[1])
    # One addition after the other: numpy's own sum groups them by the shape of the array.
    for number, row in enumerate(values):
        np.add(total, row, out=total, where=(first <= number) & (number < stop))
    count = stop - first
    mean: np.ndarray = np.full_like(total, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


# -- means ----------------


def _mean(planes: Planes, scaling: Scaling, scratch: np.ndarray, result: np.ndarray) -> None:
    total = np.zeros(result.size)
    for plane, divisor in zip(planes, scaling.divisors, strict=True):
        total += scaling.load(plane, divisor, scratch[0])
    np.divide(total, len(planes), out=result, casting="same_kind")
    masked = np.flatnonzero(np.isnan(total))
    if masked.size:
        values, count = _sorted_values(planes, scaling, masked, scratch.dtype)
        result[masked] = _mean_of_parts(values, np.zeros_like(count), count)


class _SigmaClip:
    """Clipped mean: pixels of which nothing is clipped all at once, the others by rounds."""

    def __init__(self, sigma: float, max_iterations: int) -> None:
        self.factor = sigma * MAD_TO_SIGMA
        self.max_iterations = max_iterations

    def __call__(
        self, planes: Planes, scaling: Scaling, scratch: np.ndarray, result: np.ndarray
    ) -> None:
        if len(planes) > _MAX_NETWORK:
            unclear = np.arange(result.size)
        elif scaling.offset is not None and scaling.is_common and scaling.divisor is None:
            unclear = self._mean_of_counts(planes, scaling.offset, scratch, result)
        else:
            unclear = self._mean_of_all(planes, scaling, scratch, result)
        if unclear.size:
            values, count = _sorted_values(planes, scaling, unclear, scratch.dtype)
            first, stop = self._clip(values, count)
            result[unclear] = _mean_of_parts(values, first, stop)

    def _mean_of_all(
        self, planes: Planes, scaling: Scaling, scratch: np.ndarray, result: np.ndarray
    ) -> np.ndarray:
        """Set the mean of all frames; return the pixels where a value is clipped or masked."""
        for plane, divisor, register in zip(planes, scaling.divisors, scratch, strict=False):
            scaling.load(plane, divisor, register)
        centre, limit, furthest = np.empty((3, result.size), result.dtype)
        _middle_of_planes(scratch, None, centre)
        total = np.zeros(result.size)
        furthest[:] = 0
        for plane, divisor, register in zip(planes, scaling.divisors, scratch, strict=False):
            total += scaling.load(plane, divisor, register)
            np.subtract(register, centre, out=register)
            np.abs(register, out=register)
            np.maximum(furthest, register, out=furthest)
        _middle_of_planes(scratch, None, limit)
        limit *= self.factor
        np.divide(total, len(planes), out=result, casting="same_kind")
        unclear: np.ndarray = np.flatnonzero(~(furthest <= limit))  # NaN is unclear too
        return unclear

    def _mean_of_counts(
        self, planes: Planes, offset: int, scratch: np.ndarray, result: np.ndarray
    ) -> np.ndarray:
        """Do what `_mean_of_all` does to integers; every number on the way is exact in both.

        The median is ``low + odd / 2`` with an integer ``low``, so each distance from it is
        ``k + odd / 2`` with an integer k of 16 bits, which serves as the distance.
        """
        registers = _load_counts(planes, scratch)
        middle = median_network(len(planes)).run(list(registers))
        doubled = middle[0].astype(np.int32) + middle[-1]
        odd = doubled & 1
        low = (doubled >> 1).astype(_COUNTS)
        high = low + odd.astype(_COUNTS)
        total = np.zeros(result.size, np.int32)
        furthest = np.zeros(result.size, np.uint16)
        below = registers[-1]
        _load_counts(planes, scratch)
        for register in registers[:-1]:
            total += register
            np.minimum(register, low, out=below)
            np.subtract(low, below, out=below)
            np.maximum(register, high, out=register)
            np.subtract(register, high, out=register)  # overflows into the bits of uint16
            np.bitwise_or(register, below, out=register)  # one of the two is zero
            np.maximum(furthest, register.view(np.uint16), out=furthest)
        middle = median_network(len(planes)).run(list(registers.view(np.uint16)))
        limit = ((middle[0].astype(np.int32) + middle[-1] + odd) / 2).astype(result.dtype)
        limit *= self.factor
        np.divide(total + float(len(planes) * offset), len(planes), out=result, casting="same_kind")
        unclear: np.ndarray = np.flatnonzero(furthest + odd / 2 > limit)
        return unclear

    def _clip(self, values: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tell which part ``first:stop`` of each sorted column is left."""
        first, stop = np.zeros_like(count), count.copy()
        active = np.flatnonzero(count)
        number = np.arange(len(values))[:, None]
        for _ in range(self.max_iterations):
            if not active.size:
                break
            here, low, high = values[:, active], first[active], stop[active]
            centre = _middle(here, low, high)
            distance = np.empty((len(values) + 1, len(active)), values.dtype)
            np.abs(np.subtract(here, centre, out=distance[:-1]), out=distance[:-1])
            distance[:-1][(number < low) | (number >= high)] = np.inf
            limit = _middle(_sort(distance.copy()), np.zeros_like(low), high - low)
            limit *= self.factor
            far = distance[:-1] > limit
            below = here < centre
            new_low = (far & below).sum(axis=0)
            new_high = len(values) - (far & ~below).sum(axis=0)
            changed = (new_low < new_high) & (new_high - new_low < high - low)
            active = active[changed]
            first[active], stop[active] = new_low[changed], new_high[changed]
        return first, stop
