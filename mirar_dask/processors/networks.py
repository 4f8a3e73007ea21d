"""Networks that sort n planes, or find their median, by element-wise minima and maxima.

A sorting network compares fixed pairs of wires, whatever the data, so that each comparison can be
done for whole planes of pixels at once by ``np.minimum`` and ``np.maximum``. Used by `reductions`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

Wires = list[int]
Pair = tuple[int, int]
Step = tuple[Callable[..., Any], int, int, int]
"""(minimum or maximum, register read, register read, register written)."""


@dataclass(frozen=True, slots=True)
class Network:
    """A straight-line program of minima and maxima on n planes."""

    n_inputs: int
    """Registers ``0 … n_inputs-1`` hold the planes, and one more is spare; all are written."""
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    """Registers that hold what was asked for, in ascending order, when all steps are done."""

    def run(self, registers: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Execute the program; in a median a NaN of any plane ends up in each output.

        Parameters
        ----------
        registers : sequence of ndarray, all of one shape and dtype
            The planes, then the spare one; their contents are lost.

        Returns
        -------
        list of ndarray
            Those of the registers that are outputs.
        """
        for operation, first, second, target in self.steps:
            operation(registers[first], registers[second], out=registers[target])
        return [registers[output] for output in self.outputs]


@lru_cache(maxsize=32)
def sorting_network(n_inputs: int) -> Network:
    """Build the program that sorts `n_inputs` planes, at least one.

    Batcher's odd-even merge sort (K. E. Batcher, AFIPS 1968).
    """
    pairs: list[Pair] = []
    order = _sort(list(range(n_inputs)), pairs)
    return _allocate(n_inputs, pairs, order)


@lru_cache(maxsize=32)
def median_network(n_inputs: int) -> Network:
    """Build the program for the two middle values (one, if their number is odd) of planes.

    What leads to the middle of Batcher's sort: 60 operations for 12 planes, 202 for 25, 610
    for 50.
    """
    pairs: list[Pair] = []
    order = _sort(list(range(n_inputs)), pairs)
    return _allocate(n_inputs, pairs, order[(n_inputs - 1) // 2 : n_inputs // 2 + 1])


def _sort(wires: Wires, pairs: list[Pair]) -> Wires:
    """Append the comparisons that sort some wires; return these in ascending order."""
    if len(wires) == 1:
        return wires
    middle = len(wires) // 2
    # Halves one after the other, not layer by layer: the planes of a half stay in the cache.
    return _merge(_sort(wires[:middle], pairs), _sort(wires[middle:], pairs), pairs)


def _merge(first: Wires, second: Wires, pairs: list[Pair]) -> Wires:
    """Append the comparisons that merge two sorted lists of wires."""
    if not first or not second:
        return first or second
    if len(first) == len(second) == 1:
        pairs.append((first[0], second[0]))
        return [first[0], second[0]]
    even = _merge(first[0::2], second[0::2], pairs)
    odd = _merge(first[1::2], second[1::2], pairs)
    merged = [even[0]]
    for position in range(max(len(odd), len(even) - 1)):
        ends = odd[position : position + 1] + even[position + 1 : position + 2]
        if len(ends) == 2:
            pairs.append((ends[0], ends[1]))
        merged += ends
    return merged


def _needed(pairs: list[Pair], wanted: Wires) -> list[tuple[int, int, bool, bool]]:
    """Keep the comparisons on which the wanted wires depend, and tell which ends are used."""
    used = set(wanted)
    kept = []
    for low, high in reversed(pairs):
        if low in used or high in used:
            kept.append((low, high, low in used, high in used))
            used |= {low, high}
    return kept[::-1]


def _allocate(n_inputs: int, pairs: list[Pair], wanted: Wires) -> Network:
    """Assign registers: beside the planes one spare suffices, as a comparison frees one."""
    place = list(range(n_inputs))
    spare = n_inputs
    steps: list[Step] = []
    for a, b, wants_low, wants_high in _needed(pairs, wanted):
        x, y = place[a], place[b]
        if wants_low and wants_high:
            steps += [(np.minimum, x, y, spare), (np.maximum, x, y, y)]
            place[a], spare = spare, x
        else:
            steps.append((np.minimum if wants_low else np.maximum, x, y, x))
            place[a] = place[b] = x
    return Network(n_inputs, tuple(steps), tuple(place[wire] for wire in wanted))
