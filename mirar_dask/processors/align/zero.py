"""Doubting alignments: is what stood still the sky, or a pattern of the camera that always does.

Hot pixels that are smeared or lie in groups look like stars, and agree perfectly at no shift. Then
the true stars are left over, and agree on another shift, or on none.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mirar_dask.processors.align.matching import (
    Match,
    best_match,
    judge,
    match_stars,
    mutual_pairs,
    solution,
)
from mirar_dask.processors.align.starlist import StarList
from mirar_dask.processors.align.transform import (
    AlignmentError,
    FloatArray,
    Limits,
    Shape,
    Solution,
    Transform,
)

STILL = 2.5
"""Shifts up to this are within reach of a pattern's pull: pixels."""
SAME_PLACE = 1.0
"""Sources of two frames that close are one source of the camera: pixels."""
CLEAR = 2.0
"""Stars that high above the threshold are found in every frame of the field."""
MIN_AGREEING = 0.5
"""Least part of the clear stars of each of two frames that agree if nothing moved."""
MIN_CONFIRMED = 0.75
"""The same of stars that other frames confirm."""

MIN_AGREEING_STARS = 0.3
"""Least part of the clear stars that agree with a shift that was found without them."""
ENOUGH_STARS = 4
"""So many clear stars have a say in that."""


def stands_still(transform: Transform, shape: Shape) -> bool:
    """Whether a map leaves every point of the frame where it is, within `STILL` pixels."""
    return transform.largest_difference(Transform(), shape) < STILL


def match_beside_pattern(ref: StarList, other: StarList, shape: Shape, limits: Limits) -> Solution:
    """Match stars (`match_stars`); if nothing moved, prefer what the other stars say.

    Parameters
    ----------
    ref, other : StarList
        Stars of the two frames.
    shape : tuple
        (ny, nx) of the reference frame.
    limits : Limits
        What is believed.

    Raises
    ------
    AlignmentError
        If the stars do not agree, or only what may be the camera's pattern does.
    """
    found = match_stars(ref, other, shape, limits)
    if not stands_still(found.transform, shape):
        return found
    i, j = mutual_pairs(found.transform, ref, other, SAME_PLACE)
    moved = _match_rest(_without(ref, i), _without(other, j), shape, limits)
    if moved is not None:
        return moved
    share = min(_share(ref, i, CLEAR), _share(other, j, CLEAR))
    if share < MIN_AGREEING:
        raise AlignmentError(
            f"what agrees with the reference ({found.n_matches} sources) did not move and may be "
            "the camera's own pattern; the other stars agree on nothing"
        )
    return found


def pattern_sources(
    ref: StarList, others: Iterable[tuple[StarList, Transform]], shape: Shape
) -> FloatArray:
    """Sources of the reference frame that did not move with the sky.

    Parameters
    ----------
    ref : StarList
        Sources of the reference frame.
    others : iterable of (StarList, Transform)
        Sources of other frames, and how these frames lie.
    shape : tuple
        (ny, nx) of the reference frame.

    Returns
    -------
    ndarray, shape (n, 2)
        Their x and y; none if no frame moved.
    """
    seen = np.zeros(len(ref), int)
    frames = 0
    for other, transform in others:
        dx, dy = transform.offset(shape)
        if np.hypot(dx, dy) < STILL or stands_still(transform, shape):
            continue
        frames += 1
        i, _ = mutual_pairs(Transform(), ref, other, SAME_PLACE)
        x, y = transform.apply(ref.x[i], ref.y[i])
        moves = np.hypot(x - ref.x[i], y - ref.y[i]) > STILL
        seen[i[moves]] += 1
    found = seen > frames / 2
    return np.column_stack([ref.x[found], ref.y[found]])


def leave_out(stars: StarList, places: FloatArray) -> StarList:
    """The stars that do not lie at any of the places (n, 2)."""
    if len(places) == 0 or len(stars) == 0:
        return stars
    near = np.hypot(stars.x[:, None] - places[:, 0], stars.y[:, None] - places[:, 1])
    return _without(stars, np.nonzero((near < SAME_PLACE).any(axis=1))[0])


def confirmed_share(
    ref: StarList,
    other: StarList,
    transform: Transform,
    confirmers: Iterable[tuple[StarList, Transform]],
) -> float:
    """Part of the reference's stars, confirmed by third frames, that another frame has too.

    Stars that the other frame would hardly show, because it is less deep, do not count.
    """
    known = np.zeros(len(ref), bool)
    for third, its_transform in confirmers:
        known[mutual_pairs(its_transform, ref, third, SAME_PLACE)[0]] = True
    i, j = mutual_pairs(transform, ref, other, SAME_PLACE)
    if not len(i):
        return 0.0
    depth = float(np.median(other.snr[j] / ref.snr[i]))
    expected = known & (ref.snr * min(depth, 1.0) >= CLEAR * other.threshold)
    here = np.zeros(len(ref), bool)
    here[i] = True
    n = int(np.count_nonzero(expected))
    return float(np.count_nonzero(expected & here) / n) if n else 1.0


def agreeing_share(
    ref: StarList, other: StarList, transform: Transform, shape: Shape
) -> float | None:
    """Part of the clear stars of two frames that a map brings together; None if they are few.

    The better of both frames: one may be deeper than the other. What stands still while the sky
    moves does not count.
    """
    if not stands_still(transform, shape):
        i, j = mutual_pairs(Transform(), ref, other, SAME_PLACE)
        ref, other = _without(ref, i), _without(other, j)
    radius = max(2.0, 0.6 * max(ref.fwhm, other.fwhm))
    i, j = mutual_pairs(transform, ref, other, radius)
    shares = []
    for stars, partners, there in ((ref, i, transform), (other, j, transform.inverse)):
        x, y = there.apply(stars.x, stars.y)
        inside = (x > 0) & (x < shape[1] - 1) & (y > 0) & (y < shape[0] - 1)
        clear = inside & (stars.snr >= CLEAR * stars.threshold)
        agrees = np.zeros(len(stars), bool)
        agrees[partners] = True
        n = int(np.count_nonzero(clear))
        if n >= ENOUGH_STARS:
            shares.append(float(np.count_nonzero(clear & agrees) / n))
    return max(shares, default=None)


def _match_rest(ref: StarList, other: StarList, shape: Shape, limits: Limits) -> Solution | None:
    if min(len(ref), len(other)) < limits.min_matches:
        return None
    found: Match | None = best_match(ref, other, shape, limits)
    if found is None or judge(found, shape, limits, max(ref.fwhm, other.fwhm)) is not None:
        return None
    return None if stands_still(found.transform, shape) else solution(found, ref, other)


def _without(stars: StarList, taken: NDArray[np.intp]) -> StarList:
    rest = np.ones(len(stars), bool)
    rest[taken] = False
    return stars.select(rest)


def _share(stars: StarList, agreeing: NDArray[np.intp], clear: float) -> float:
    high = stars.snr >= clear * stars.threshold
    n = int(np.count_nonzero(high))
    agrees = np.zeros(len(stars), bool)
    agrees[agreeing] = True
    return float(np.count_nonzero(high & agrees) / n) if n else 1.0
