"""Reads a journal that grows, each line once, with the place at which it stands in the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHUNK = 1 << 20
"""Bytes that are read at a time."""
LONGEST = 1 << 24
"""Bytes of the longest line that is read; a file that has none is no journal."""


class JournalTail:
    """The lines of a journal that have come since it was last asked.

    Parameters
    ----------
    path : Path
        The file; it may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        """Bytes that have been read, whole lines only."""
        self.began_anew = False
        """Whether the last reading found a file that is shorter than what had been read."""

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the offset and the values of each whole line that is new."""
        self.began_anew = False
        try:
            file = self.path.open("rb")
        except OSError:
            return
        with file:
            if file.seek(0, 2) < self.position:
                self.position, self.began_anew = 0, True
            file.seek(self.position)
            rest = b""
            while chunk := file.read(CHUNK):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    at = self.position
                    self.position += len(line) + 1
                    entry = read_line(line)
                    if entry is not None:
                        yield at, entry
                if len(rest) > LONGEST:
                    return

    def line_at(self, offset: int) -> dict[str, Any]:
        """Read the line at a place that was told before; empty if it is there no more."""
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                return read_line(file.readline(LONGEST)) or {}
        except OSError:
            return {}


def read_line(line: bytes) -> dict[str, Any] | None:
    """Read a line; None if it was torn by a crash, or is no line of a journal."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
