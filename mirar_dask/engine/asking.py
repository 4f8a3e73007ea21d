"""Which packs of images are asked back: those that have most left while workers have nothing to do.

How long an image takes is not known before; so many workers get packs as large as they may be, and
towards the end half of what a pack has not begun goes to a worker that is idle. The choice is made
here; `flights` asks and brings the answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mirar_dask.engine.packing import Packing

SHORTEST_IMAGE = 0.1
"""Seconds: images that take less are done before the question arrives."""


class UnderWay(NamedTuple):
    """A pack that a worker has."""

    number: int
    """Of its task."""
    places: tuple[int, ...]
    """Steps that its images pass."""
    images: int
    """How many it has, those that it gave back not counted."""
    seconds: float
    """Since it was handed over."""


def worth_asking(packs: Iterable[UnderWay], idle: int, packing: Packing) -> list[int]:
    """Choose packs that should give back images that they have not begun.

    Parameters
    ----------
    packs : iterable of UnderWay
        Those that may be asked.
    idle : int
        Number of tasks that could run beside them.
    packing : Packing
        Knows how long an image takes.

    Returns
    -------
    list of int
        Numbers of their tasks, one for each idle slot, those that have most left first.
    """
    found = []
    for pack in packs:
        each = packing.seconds_of(pack.places)
        if each is not None and each >= SHORTEST_IMAGE and pack.images > 1:
            # One that is overdue comes last but not never: its images take longer than others.
            found.append((each * pack.images - pack.seconds, pack.number))
    found.sort(reverse=True)
    return [number for _, number in found[: max(0, idle)]]
