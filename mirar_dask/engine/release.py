"""Counts who still needs each cache file of a run, and says which can go.

Only files that outcomes of this run brought into being are counted; what the caller or a camera
wrote is never touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path


class FileLedger:
    """Reference counts of cache files."""

    def __init__(self) -> None:
        self._holds: Counter[Path] = Counter()
        self._ours: set[Path] = set()
        self.peak = 0
        """Most files that were there at once."""
        self._garbage: list[Path] = []

    def made(self, files: Iterable[Path]) -> None:
        """Note files that an outcome brought into being."""
        self._ours.update(files)
        self.peak = max(self.peak, len(self._ours))

    def hold(self, files: Iterable[Path]) -> None:
        """Note that somebody needs files."""
        self._holds.update(files)

    def drop(self, files: Iterable[Path]) -> None:
        """Note that somebody no longer needs files."""
        for path in files:
            self._holds[path] -= 1
            if self._holds[path] <= 0:
                del self._holds[path]
                if path in self._ours:
                    self._ours.discard(path)
                    self._garbage.append(path)

    def garbage(self) -> list[Path]:
        """Return, once, the files of this run that nobody needs any more."""
        unasked = [path for path in self._ours if path not in self._holds]
        self._ours.difference_update(unasked)
        gone, self._garbage = self._garbage + unasked, []
        return gone

    def __len__(self) -> int:
        return len(self._ours)


def remove(files: Iterable[Path]) -> None:
    """Remove files that nobody needs any more."""
    for path in files:
        path.unlink(missing_ok=True)
