"""Expansion: everything that one batch makes necessary in one segment, as plain values.

`expand` makes it, the planner counts it, `BatchGraph` follows it while it is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirar_dask.data import ImageHandle
from mirar_dask.data.late import is_listed
from mirar_dask.engine.lookahead import AheadImage
from mirar_dask.engine.types import Bunch, Link
from mirar_dask.processors.base.claims import Claims
from mirar_dask.processors.base.outcome import Record
from mirar_dask.processors.base_processor import BaseProcessor


@dataclass(slots=True)
class Context:
    """Something that steps of several images are given, a master mostly."""

    name: str
    step: int
    kind: str
    """``frames`` (combined of some images), ``prepare`` (of all images), ``headers`` (needs no
    pixels), ``none`` (there is none, and that is allowed), ``failed``."""
    frames: tuple[int, ...] = ()
    """Positions of the images that go into it."""
    users: tuple[int, ...] = ()
    """Positions of the images whose step is given it."""
    path: Path | None = None
    """Where the master will be saved."""
    records: tuple[Record, ...] = ()
    ahead: Bunch | None = None
    """For ``headers``: the batch with what is known of its headers."""
    batch: str = ""
    """Name of the batch that it is made of."""


@dataclass(slots=True)
class Chain:
    """The way of one image through the steps of a segment."""

    position: int
    links: list[Link] = field(default_factory=list)
    taps: dict[int, list[str]] = field(default_factory=dict)
    """Number of links done -> contexts that want the image as it is then."""
    ahead: dict[int, ImageHandle] = field(default_factory=dict)
    """Number of links done -> the image there, where only headers changed on the way."""
    exit: Record | None = None
    """Why it ends before the others: set aside, or failed at a regroup by its header."""
    blocked_by: str | None = None
    """Context without which it cannot go on."""

    def end(self, steps: Sequence[BaseProcessor], needed: int) -> int:
        """Return the number of links after which nothing leaves a trace, if it ends early.

        Parameters
        ----------
        steps : sequence of BaseProcessor
            All steps of the run.
        needed : int
            Number of links that are done in any case.
        """
        for n in range(len(self.links), needed, -1):
            link = self.links[n - 1]
            if steps[link.step].writes_products and not link.history_only:
                return n
        return needed

    def work(self, steps: Sequence[BaseProcessor]) -> list[int]:
        """Return the steps that will do something to the image."""
        end = len(self.links)
        if self.exit is not None or self.blocked_by is not None:
            end = self.end(steps, max((n for n in self.taps if n not in self.ahead), default=0))
        return [link.step for link in self.links[:end] if not link.history_only]


@dataclass(slots=True)
class Split:
    """A place where a batch was divided."""

    step: int
    links_done: int
    positions: tuple[int, ...]
    """The images of one part, in order."""


@dataclass(slots=True)
class Leaf:
    """A batch that leaves the walk, with the step that it has to see next."""

    positions: tuple[int, ...]
    next_step: int
    splits: tuple[Split, ...]
    group_keys: tuple[Any, ...] | None = None
    """Keys of its images at the regroup behind the segment, where they are known."""
    batch: str = ""
    """Its name."""

    def keyed(self) -> list[tuple[int, Any]]:
        """Return positions with these keys; none where they are not known."""
        return list(zip(self.positions, self.group_keys or (), strict=False))


@dataclass(slots=True)
class Expansion:
    """Everything that a batch makes necessary in one segment."""

    chains: list[Chain]
    contexts: dict[str, Context]
    leaves: list[Leaf]
    late: str | None = None
    """Why looking ahead ended before the segment did."""
    names: Sequence[str] = ()
    """Name of the batch that an image is in, by its position."""
    images: dict[int, AheadImage] = field(default_factory=dict)
    """The images where they leave, for a plan that goes on with them; else none."""

    def holds(self) -> bool:
        """Whether the masters that were there still are, and no others have come."""
        return all(
            context.path is None or is_listed(context.path) == (context.kind == "headers")
            for context in self.contexts.values()
        )


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a plan found out about the first segment, for the run to go on with."""

    expansions: dict[int, Expansion] = field(default_factory=dict)
    """By the place of the batch."""
    claims: Claims = field(default_factory=Claims)
    """Products that will be written in it."""
