"""The fixed pattern that frames of an uncalibrated camera share: is there one, and what is it.

It stands still while the stars move, so it correlates at no shift, and would align every frame
with every other where it lies.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mirar_dask.processors.align.cleaning import FloatImage, middle, robust_noise

PRESENT = 0.05
"""Correlation of the pixel-to-pixel structure of two frames from which they share a pattern."""
CROP = 768
"""Side of the part of a frame by which the pattern is noticed: pixels."""
BAND_BYTES = 64 * 2**20


def fine_structure(image: FloatImage) -> FloatImage:
    """Pixel-to-pixel structure of the middle of a detection image, clipped so that no star rules.

    Returns
    -------
    ndarray, float32
        Mean zero, at most 3 standard deviations of the bulk in size.
    """
    part = middle(image, CROP)
    inner = part[1:-1, 1:-1]
    fine = inner - (part[:-2, 1:-1] + part[2:, 1:-1] + part[1:-1, :-2] + part[1:-1, 2:]) / 4
    noise = robust_noise(fine)
    fine = np.clip(fine, -3 * noise, 3 * noise)
    found: FloatImage = fine - fine.mean(dtype=np.float64).astype(np.float32)
    return found


def shared_structure(first: FloatImage, second: FloatImage) -> float:
    """Correlation, from -1 to 1, of two pictures of fine structure."""
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.vdot(first, second)) / norm if norm > 0 else 0.0


def fixed_pattern(frames: Sequence[FloatImage]) -> FloatImage:
    """Estimate what does not move: the median of the frames.

    Parameters
    ----------
    frames : sequence of ndarray, shape (ny, nx), float32
        Detection images of one camera. Of two frames the median is the mean: each then keeps half
        of its stars, and has half of the other's as dark spots.
    """
    shape = frames[0].shape
    result = np.empty(shape, np.float32)
    rows = max(1, BAND_BYTES // (4 * shape[1] * len(frames)))
    for start in range(0, shape[0], rows):
        stop = min(start + rows, shape[0])
        result[start:stop] = np.median([frame[start:stop] for frame in frames], axis=0)
    return result
