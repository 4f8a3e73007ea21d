"""First guesses of how two star lists lie: each pair of stars votes for the shift between them.

Stars of one field agree on one shift, all other pairs scatter; works with three stars and with
false ones in both lists. Rotations are tried one after the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mirar_dask.processors.align.starlist import StarList
from mirar_dask.processors.align.transform import FloatArray, Limits, Shape, Transform

VOTERS = 120
"""Brightest stars of each list that vote for shifts."""
TURNED_VOTERS = 50
"""Brightest stars of each list that vote when rotations are tried."""
PER_ROTATION = 2
"""Guesses kept of each rotation that is tried."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A map that some pairs of stars voted for."""

    transform: Transform
    votes: int
    """Pairs within the tolerance."""
    expected: float
    """Pairs that chance would bring there."""
    trials: int
    """Maps that were compared to find this one."""

    @property
    def significance(self) -> float:
        """``-log10`` of the probability of so many votes by chance."""
        return improbability(self.votes, self.expected) - math.log10(max(self.trials, 1))


def improbability(count: int, expected: float) -> float:
    """``-log10`` of the Poisson probability of at least `count` where `expected` are expected.

    Examples
    --------
    >>> round(improbability(3, 0.1), 2)
    3.81
    """
    if count <= 0:
        return 0.0
    expected = max(expected, 1e-12)
    if count <= expected:
        return 0.0
    # The first terms of the tail, in logarithms: exact far from the mean, where it matters.
    log_term = count * math.log(expected) - expected - math.lgamma(count + 1)
    ratio, total, term = expected / (count + 1), 1.0, 1.0
    for k in range(1, 200):
        term *= expected / (count + k)
        total += term
        if term < 1e-6 * total or ratio >= 1:
            break
    return max(0.0, -(log_term + math.log(total)) / math.log(10))


def chance_pairs(distance: FloatArray, radius: float, area: float) -> float:
    """Pairs expected by chance within `radius`, from those in a ring around it.

    Parameters
    ----------
    distance : ndarray
        Of all pairs, how far they are from agreeing with the map: pixels.
    radius : float
        Pixels.
    area : float
        Pixels over which pairs scatter where they are not clustered.
    """
    everywhere = distance.size * math.pi * radius**2 / area
    ring = np.count_nonzero((distance > 2 * radius) & (distance <= 6 * radius))
    return max(everywhere, ring / 32.0)


def guesses(
    ref: StarList, other: StarList, shape: Shape, limits: Limits, tolerance: float
) -> list[Guess]:
    """Maps without rotation that the stars vote for, the most voted first."""
    upright = [Transform()]
    return _vote(ref.brightest(VOTERS), other.brightest(VOTERS), shape, limits, tolerance, upright)


def turned_guesses(
    ref: StarList, other: StarList, shape: Shape, limits: Limits, tolerance: float
) -> list[Guess]:
    """Maps with small rotations, upright and upside down, the most voted first."""
    radius = math.hypot(*shape) / 2
    step = math.degrees(2 * tolerance / radius)
    n = math.ceil(limits.max_rotation / step)
    pivot = ((shape[1] - 1) / 2, (shape[0] - 1) / 2)
    turns = [
        Transform.similarity(0, 0, rotation=base + i * step, pivot=pivot)
        for base in (0.0, 180.0)
        for i in range(-n, n + 1)
    ]
    a, b = ref.brightest(TURNED_VOTERS), other.brightest(TURNED_VOTERS)
    return _vote(a, b, shape, limits, tolerance, turns)


def _vote(
    ref: StarList,
    other: StarList,
    shape: Shape,
    limits: Limits,
    tolerance: float,
    turns: list[Transform],
) -> list[Guess]:
    found: list[Guess] = []
    reach_x, reach_y = limits.max_shift * shape[1], limits.max_shift * shape[0]
    area = 4 * reach_x * reach_y
    trials = max(1, len(ref) * len(other)) * len(turns)
    for turn in turns:
        x, y = turn.apply(ref.x, ref.y)
        dx = (other.x[:, None] - x).ravel()
        dy = (other.y[:, None] - y).ravel()
        inside = (np.abs(dx) <= reach_x) & (np.abs(dy) <= reach_y)
        dx, dy = dx[inside], dy[inside]
        for cx, cy in _crowded_places(dx, dy, tolerance):
            distance = np.hypot(dx - cx, dy - cy)
            votes = int(np.count_nonzero(distance <= tolerance))
            expected = chance_pairs(distance, tolerance, area)
            shifted = Transform.shift(cx, cy).after(turn)
            found.append(Guess(shifted, votes, expected, trials))
    return sorted(found, key=lambda guess: -guess.significance)


def _crowded_places(dx: FloatArray, dy: FloatArray, tolerance: float) -> list[tuple[float, float]]:
    """Centres of the fullest cells of four grids that overlap by halves."""
    if dx.size == 0:
        return []
    side = 2 * tolerance
    best: list[tuple[int, float, float]] = []
    for ox, oy in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)):
        ix = np.floor(dx / side + ox).astype(np.int64)
        iy = np.floor(dy / side + oy).astype(np.int64)
        _, member, count = np.unique(ix * 1_000_003 + iy, return_inverse=True, return_counts=True)
        for k in np.argsort(-count, kind="stable")[:PER_ROTATION]:
            inside = member == k
            best.append((int(count[k]), float(dx[inside].mean()), float(dy[inside].mean())))
    best.sort(key=lambda place: -place[0])
    places: list[tuple[float, float]] = []
    for _, cx, cy in best:
        if all(math.hypot(cx - px, cy - py) > tolerance for px, py in places):
            places.append((cx, cy))
    return places[: 2 * PER_ROTATION]
