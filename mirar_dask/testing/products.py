"""What the products of a night hold, apart from what differs between any two runs of it.

Tests compare whole nights with it: one engine with another, a resumed night with one that nothing
disturbed.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

VOLATILE = frozenset({"REDTIME", "REDMACH", "REDUCER", "DATE", "CHECKSUM", "DATASUM"})
"""Header keys that tell when, where and by whom a file was written."""


def contents(night: Path) -> dict[str, Any]:
    """Return what lies in the output folder of a night, by relative path, runs and logs left out.

    Of a FITS file that is its header (without `VOLATILE`, and with the ends of paths only)
    and the bytes of its pixels; of a table its cells; of any other file its bytes.
    """
    found = {}
    for path in sorted(night.rglob("*")):
        name = path.relative_to(night)
        logs = "error_stack" in path.name or "processing_flowchart" in path.name
        if path.is_file() and name.parts[0] != "runs" and not logs:
            found[str(name)] = _content(path)
    return found


def _content(path: Path) -> Any:
    if path.suffix == ".fits":
        return _fits(path)
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        return [
            {key: _short(cell) for key, cell in row.items() if key.upper() not in VOLATILE}
            for row in rows
        ]
    return path.read_bytes()


def _fits(path: Path) -> Any:
    from astropy.io import fits

    with fits.open(path) as hdus:
        return [
            (
                [
                    (card.keyword, _short(str(card.value)), card.comment)
                    for card in hdu.header.cards
                    if card.keyword not in VOLATILE
                ],
                None if hdu.data is None else hdu.data.tobytes(),
            )
            for hdu in hdus
        ]


def _short(text: str) -> str:
    """Leave of absolute paths, joined by commas, what is the same wherever the night lies."""
    if not text.startswith("/"):
        return text
    return ",".join("/".join(Path(part).parts[-2:]) for part in text.split(","))


def differences(night: Path, other: Path) -> list[str]:
    """Name the files in which two output folders differ; none if they hold the same."""
    mine, theirs = contents(night), contents(other)
    return sorted(
        name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)
    )
