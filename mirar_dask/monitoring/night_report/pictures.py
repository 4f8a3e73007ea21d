"""Which products a report shows as pictures: masters, stacks, and the frames to look at first."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mirar_dask.errors import MirarDaskError
from mirar_dask.monitoring.quality.measurements import Row, is_master
from mirar_dask.monitoring.thumbnails import thumbnail_png

logger = logging.getLogger(__name__)

SIZE = 200
MOST_MASTERS, MOST_STACKS, MOST_FRAMES = 8, 8, 8
_WORST_BY = ("seeing", "fwhm", "ellipticity", "noise")


@dataclass(frozen=True, slots=True)
class Picture:
    """A product that is shown."""

    group: str
    """Heading under which it stands."""
    file: str
    """Path from the night's folder."""
    words: str
    """What to see in it."""
    png: str
    """The picture itself, in base64."""


def pictures(
    rows: Sequence[Row], output: Path, *, seconds: float = 20.0
) -> tuple[list[Picture], int]:
    """Draw the products that a report shows; tell how many were left out to save time.

    Parameters
    ----------
    rows : sequence of Row
        The measurements, by time.
    output : Path
        The night's folder.
    seconds : float
        When so much time is spent no further picture is begun.
    """
    end = time.monotonic() + seconds
    found: list[Picture] = []
    left = 0
    for group, chosen in _chosen(rows):
        for row, why in chosen:
            if time.monotonic() > end:
                left += 1
                continue
            try:
                png = thumbnail_png(output / row["file"], SIZE)
            except (MirarDaskError, OSError) as error:  # gone, or replaced in this moment
                logger.info("no picture of %s: %s", row["file"], error)
                continue
            text = base64.b64encode(png).decode("ascii")
            found.append(Picture(group, row["file"], ", ".join([*_words(row), *why]), text))
    return found, left


Chosen = list[tuple[Row, tuple[str, ...]]]


def _chosen(rows: Sequence[Row]) -> Iterable[tuple[str, Chosen]]:
    stacks = [row for row in rows if row["kind"] == "stack"]
    frames = [row for row in rows if row["kind"] == "frame"]
    masters = [row for row in rows if is_master(row)]
    yield "newest stacks", [(row, ()) for row in stacks[-MOST_STACKS:][::-1]]
    yield "calibrated frames: the newest, and the worst", worst_and_newest(frames)
    yield "masters", [(row, ()) for row in masters[-MOST_MASTERS:]]


def worst_and_newest(frames: Sequence[Row], most: int = MOST_FRAMES) -> Chosen:
    """Choose frames to look at: those with the largest figures that were measured, and the newest.

    Parameters
    ----------
    frames : sequence of Row
        By time.
    most : int
        How many.
    """
    worst: dict[str, tuple[str, ...]] = {}
    for name in _WORST_BY:
        known = [row for row in frames if row[name] is not None]
        if len(known) > 2:
            row = max(known, key=lambda one: float(one[name]))
            worst[row["file"]] = (*worst.get(row["file"], ()), f"largest {name}")
    if any("seeing" in why for reasons in worst.values() for why in reasons):
        worst = {
            file: kept
            for file, why in worst.items()
            if (kept := tuple(word for word in why if word != "largest fwhm"))
        }
    newest = {row["file"] for row in frames[-max(1, most - len(worst)) :]}
    chosen = [row for row in frames if row["file"] in newest or row["file"] in worst][-most:]
    return [(row, worst.get(row["file"], ())) for row in chosen]


def _words(row: Row) -> list[str]:
    told = [str(row["time"])[11:19]] if row["time"] and row["kind"] in ("frame", "stack") else []
    if row["kind"] in ("stack", "flat") and row["filter"]:
        told.append(str(row["filter"]))
    if row["combined"] and row["kind"] != "frame":
        told.append(f"{row['combined']:g} frames")
    return told
