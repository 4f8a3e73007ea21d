"""The place of a batch in its dataset, found without waiting for the batches before it.

A batch is ordered by the path on which it came about. Where it is a part of a divided batch, its
rank is the position of the first image of that part that was still there when the batch was
divided, which is where a serial loop would have met it; that may be known only later, so a rank
is a function that is asked when two batches are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Rank = Callable[[], int | None]
"""Returns a position, or None while it is not decided."""


@dataclass(frozen=True, slots=True)
class Order:
    """A path of ranks."""

    ranks: tuple[Rank, ...] = ()

    def then(self, *ranks: int | Rank) -> Order:
        """Extend the path."""
        return Order(self.ranks + tuple(_as_rank(rank) for rank in ranks))

    def decided(self) -> bool:
        """Whether every rank is known."""
        return all(rank() is not None for rank in self.ranks)

    def key(self) -> tuple[int, ...]:
        """Return the path as numbers; a rank that is not decided counts as 0."""
        return tuple(rank() or 0 for rank in self.ranks)


def _as_rank(rank: int | Rank) -> Rank:
    if callable(rank):
        return rank
    number = rank
    return lambda: number
