"""Aligning by stars: guesses are refined on all stars that agree, judged, and refused if weak."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mirar_dask.processors.align.starlist import StarList
from mirar_dask.processors.align.transform import (
    AlignmentError,
    FloatArray,
    Limits,
    Shape,
    Solution,
    Transform,
    objection,
    rms_limit,
)
from mirar_dask.processors.align.votes import (
    Guess,
    chance_pairs,
    guesses,
    improbability,
    turned_guesses,
)

TRIED_GUESSES = 6
FREE_ROTATION_FROM = 5
"""Least number of stars from which a rotation is measured; of fewer it would be noise."""
PARAMETER_SIGNIFICANCE = 4.0
"""A rotation or a scale counts if it is so many of its standard errors from none."""
CENTROID_NOISE = 0.6
"""Error of a centroid, a coordinate, in widths of the star over its height above the noise."""
GOOD_FRACTION = 0.4
"""A guess without rotation that so many of the stars agree with needs no other beside it."""


@dataclass(frozen=True, slots=True)
class Match:
    """Pairs of stars that agree with a map."""

    transform: Transform
    ref: NDArray[np.intp]
    """Indices into the reference list."""
    other: NDArray[np.intp]
    """Indices into the other list."""
    rms: float
    """Residuals, a coordinate: pixels."""
    significance: float

    def __len__(self) -> int:
        return len(self.ref)


def match_stars(
    ref: StarList, other: StarList, shape: Shape, limits: Limits | None = None
) -> Solution:
    """Find the map from one frame to another that their stars agree on.

    Parameters
    ----------
    ref, other : StarList
        Stars of the reference frame and of the other.
    shape : tuple
        (ny, nx) of the reference frame.
    limits : Limits
        What is believed.

    Raises
    ------
    AlignmentError
        If too few stars agree, or on something implausible.
    """
    limits = limits or Limits()
    if min(len(ref), len(other)) < limits.min_matches:
        raise AlignmentError(
            f"only {len(other)} stars here and {len(ref)} in the reference "
            f"(needed: {limits.min_matches})"
        )
    best = best_match(ref, other, shape, limits)
    if best is None:
        raise AlignmentError(
            f"no {limits.min_matches} of the {len(other)} stars here agree with the "
            f"{len(ref)} of the reference"
        )
    why_not = judge(best, shape, limits, max(ref.fwhm, other.fwhm))
    if why_not is not None:
        raise AlignmentError(why_not)
    return solution(best, ref, other)


def solution(match: Match, ref: StarList, other: StarList) -> Solution:
    """Make the solution that a believed match stands for."""
    ratio = float(np.median(other.flux[match.other] / ref.flux[match.ref]))
    return Solution(match.transform, "stars", len(match), match.rms, match.significance, ratio)


def judge(match: Match, shape: Shape, limits: Limits, fwhm: float) -> str | None:
    """Say why a match is not believed; None if it is."""
    if len(match) < limits.min_matches:
        return f"only {len(match)} stars agree with the reference (needed: {limits.min_matches})"
    if match.significance < limits.min_significance:
        return (
            f"the {len(match)} stars that agree with the reference may do so by chance "
            f"(1 in 10^{match.significance:.1f}, needed: 10^{limits.min_significance:g})"
        )
    allowed = rms_limit(limits, fwhm)
    if match.rms > allowed:
        return f"its stars miss the reference by {match.rms:.2f} pixels (allowed: {allowed:.2f})"
    return objection(match.transform, shape, limits)


def best_match(ref: StarList, other: StarList, shape: Shape, limits: Limits) -> Match | None:
    """The map with the strongest evidence, whether that is enough or not."""
    tolerance = max(2.0, 0.4 * max(ref.fwhm, other.fwhm))
    found = _refine_all(guesses(ref, other, shape, limits, tolerance), ref, other, shape, limits)
    top = max(found, key=_evidence, default=None)
    enough = GOOD_FRACTION * min(len(ref), len(other))
    if top and top.significance >= limits.min_significance and len(top) >= enough:
        return top
    found += _refine_all(
        turned_guesses(ref, other, shape, limits, tolerance), ref, other, shape, limits
    )
    return max(found, key=_evidence, default=None)


def _evidence(match: Match) -> tuple[float, float]:
    return match.significance, -match.rms


def _refine_all(
    tried: list[Guess], ref: StarList, other: StarList, shape: Shape, limits: Limits
) -> list[Match]:
    refined = [refine(guess, ref, other, shape, limits) for guess in tried[:TRIED_GUESSES]]
    return [match for match in refined if match is not None]


def refine(
    guess: Guess, ref: StarList, other: StarList, shape: Shape, limits: Limits
) -> Match | None:
    """Match all stars by a guess, fit, and repeat with the better map and a smaller radius."""
    fwhm = max(ref.fwhm, other.fwhm)
    wide = max(3.0, 0.6 * fwhm)
    transform, radius = guess.transform, wide
    pairs = mutual_pairs(transform, ref, other, radius)
    for _ in range(8):
        if len(pairs[0]) < 2:
            return None
        transform, rms = fit(ref, other, *pairs)
        radius = float(np.clip(3.5 * rms, 1.0, wide))
        again = mutual_pairs(transform, ref, other, radius)
        same = len(again[0]) == len(pairs[0]) and (again[0] == pairs[0]).all()
        if same and (again[1] == pairs[1]).all():
            break
        pairs = again
    if len(pairs[0]) < 2:
        return None
    transform, rms = fit(ref, other, *pairs)
    x, y = transform.apply(ref.x, ref.y)
    distance = np.hypot(other.x[:, None] - x, other.y[:, None] - y).ravel()
    expected = chance_pairs(distance, radius, float(shape[0] * shape[1]))
    # A map with two or four free parameters agrees with its first one or two stars by itself.
    free = 1 if guess.trials <= len(ref) * len(other) else 2
    significance = improbability(len(pairs[0]) - free, expected) - math.log10(max(guess.trials, 1))
    return Match(transform, pairs[0], pairs[1], rms, float(significance))


def mutual_pairs(
    transform: Transform, ref: StarList, other: StarList, radius: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Stars that are each other's nearest, within `radius`."""
    from scipy.spatial import KDTree

    x, y = transform.apply(ref.x, ref.y)
    here = np.column_stack([x, y])
    there = np.column_stack([other.x, other.y])
    distance, nearest = KDTree(there).query(here, distance_upper_bound=radius)
    _, back = KDTree(here).query(there)
    mutual = np.isfinite(distance)
    index = np.nonzero(mutual)[0]
    index = index[back[nearest[index]] == index]
    return index, nearest[index].astype(np.intp)


def fit(
    ref: StarList, other: StarList, i: NDArray[np.intp], j: NDArray[np.intp]
) -> tuple[Transform, float]:
    """Fit shift, then rotation, then scale, each only if the stars ask for it.

    Returns
    -------
    tuple of Transform and float
        The map, and the residuals, rms a coordinate: pixels.
    """
    # Photon noise of a centroid, and beside it what all stars share (blends, patterns, seeing).
    noise = CENTROID_NOISE * np.hypot(ref.fwhm / ref.snr[i], other.fwhm / other.snr[j])
    shared, soft = 0.02, np.ones(len(i))
    for _ in range(5):
        weight = soft / (noise**2 + shared**2)
        transform, residual, rms = _fit_weighted(ref, other, i, j, weight)
        shared = max(float(np.median(residual)) / 1.2, 0.02)
        # What misses counts less, so that one wrong pair does not pull.
        soft = 1.0 / (1.0 + (residual / (3.0 * np.hypot(noise, shared))) ** 2)
    return transform, rms


def _fit_weighted(
    ref: StarList,
    other: StarList,
    i: NDArray[np.intp],
    j: NDArray[np.intp],
    weight: FloatArray,
) -> tuple[Transform, FloatArray, float]:
    a = ref.x[i] + 1j * ref.y[i]
    b = other.x[j] + 1j * other.y[j]
    total = weight.sum()
    a0, b0 = (weight * a).sum() / total, (weight * b).sum() / total
    u, v = a - a0, b - b0
    spread = float((weight * np.abs(u) ** 2).sum())
    flipped = (weight * np.conj(u) * v).sum().real < 0
    factor: complex = -1.0 if flipped else 1.0
    residual = np.abs(v - factor * u)
    n = len(a)
    if n >= FREE_ROTATION_FROM and spread > 0:
        free = complex((weight * np.conj(u) * v).sum() / spread)
        after = np.abs(v - free * u)
        noise = math.sqrt(float((weight * after**2).sum()) / total / 2 * n / (n - 2))
        error = max(noise, 0.02) * math.sqrt(float((weight**2 * np.abs(u) ** 2).sum())) / spread
        relative = free / factor
        turned = abs(math.atan2(relative.imag, relative.real)) > PARAMETER_SIGNIFICANCE * error
        scaled = abs(abs(free) - 1.0) > PARAMETER_SIGNIFICANCE * error
        if turned and scaled:
            factor = free
        elif turned:
            factor = free / abs(free)
        elif scaled:
            factor = factor * abs(free)
        residual = np.abs(v - factor * u)
    rms = math.sqrt(float((weight * residual**2).sum()) / total / 2 * n / max(n - 1, 1))
    t = b0 - factor * a0
    c, s = float(factor.real), float(factor.imag)
    transform = Transform(c, -s, s, c, float(t.real), float(t.imag))
    return transform, residual, rms
