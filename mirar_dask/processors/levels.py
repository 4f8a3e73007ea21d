"""The median of one frame, several times faster than numpy's and just as exact."""

from __future__ import annotations

from typing import Any

import numpy as np

_SAMPLE = 16384
_BLOCK = 1 << 18
"""Pixels of a block: what is found out of it stays in the processor's cache."""


def median_level(data: np.ndarray[Any, np.dtype[np.floating[Any]]]) -> float:
    """Median of the pixels that are not NaN; NaN if there is none.

    A sample tells a narrow interval around the median; the pixels outside are only counted, those
    inside are few enough to be sorted out. Five times faster than ``np.nanmedian`` on 2048².

    Parameters
    ----------
    data : ndarray of floats, any shape
        Only read.

    Returns
    -------
    float
        The middle value, or the mean in double precision of the two middle ones.
    """
    flat = data.reshape(-1)
    blocks = [flat[start : start + _BLOCK] for start in range(0, flat.size, _BLOCK)]
    # NaN is the only value that differs from itself.
    count = sum(int(np.count_nonzero(block == block)) for block in blocks)
    if count == 0:
        return float("nan")
    low, high = (count - 1) // 2, count // 2
    # An odd stride, as the columns of a detector differ from each other.
    sample = np.sort(flat[:: (flat.size // _SAMPLE) | 1])
    known = int(np.count_nonzero(sample == sample))
    if known:
        reach = 2 * int(known**0.5) + 2  # four standard deviations of the sample's median
        least = sample[max(0, known // 2 - reach)]
        most = sample[min(known - 1, known // 2 + reach)]
        below = sum(int(np.count_nonzero(block < least)) for block in blocks)
        if least == most:  # a master of integers has few values: nothing need be sorted out
            equal = sum(int(np.count_nonzero(block == least)) for block in blocks)
            if below <= low and high < below + equal:
                return float(least)
        inside = np.concatenate([block[(block >= least) & (block <= most)] for block in blocks])
        if below <= low and high < below + inside.size:
            return _middle(inside, low - below, high - below)
    return _middle(flat[flat == flat], low, high)


def _middle(values: np.ndarray, low: int, high: int) -> float:
    values.partition([low, high])
    return (float(values[low]) + float(values[high])) / 2


def rounded(level: float) -> float:
    """Return a level with the nine digits of float32: a card gives back these to the last bit."""
    return float(f"{level:.9g}")
