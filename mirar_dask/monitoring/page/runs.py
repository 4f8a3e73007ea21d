"""The runs that a page shows: those that were registered, and all of the output folders that were.

The handlers ask it in threads of their own; it reads nothing but run folders and products.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mirar_dask.monitoring.night import RunFollower
    from mirar_dask.monitoring.page.products import Products

FOLLOWED = 8
"""Runs that are kept in memory; others are read again when they are asked for."""
LISTED = 200
"""Runs that can be chosen: the newest."""
REGISTERED = 100
"""Runs and folders that are remembered; a scheduler may live for years."""
FRESH_SECONDS = 5.0
"""How long a list of runs is good for; longer where it takes long to make."""
PATIENCE = 20
"""A list is made anew after so many times the seconds that it took."""


def seen(folder: Path) -> bool:
    """Tell whether a folder is there and can be read: other users' runs are private."""
    try:
        return folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)
    except OSError:  # such as of a folder in one that may not be entered
        return False


@dataclass
class _Followed:
    follower: RunFollower
    products: Products


@dataclass
class PageRuns:
    """What a page may show; safe to be used by several threads."""

    _outs: OrderedDict[Path, None] = field(default_factory=OrderedDict)
    _folders: OrderedDict[Path, None] = field(default_factory=OrderedDict)
    _followed: OrderedDict[Path, _Followed] = field(default_factory=OrderedDict)
    _known: dict[str, Path] = field(default_factory=dict)
    """Folders by the key that the page knows them by."""
    _listed: list[dict[str, Any]] = field(default_factory=list)
    _stale: float = 0.0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def register(self, out: Path | None = None, run: Path | None = None) -> None:
        """Let the page show all runs of an output folder, and one run."""
        with self._lock:
            self._stale = 0.0
            for place, kept in ((out, self._outs), (run, self._folders)):
                if place is not None:
                    kept.pop(place, None)
                    kept[place] = None
                    while len(kept) > REGISTERED:
                        kept.popitem(last=False)

    def listed(self) -> list[dict[str, Any]]:
        """Return the runs that can be chosen, the newest first, as values that JSON knows."""
        with self._lock:
            if time.monotonic() >= self._stale:
                began = time.monotonic()
                self._listed = self._look()
                took = time.monotonic() - began
                self._stale = time.monotonic() + max(FRESH_SECONDS, PATIENCE * took)
            return self._listed

    def _look(self) -> list[dict[str, Any]]:
        from mirar_dask.monitoring.night.follow import run_state
        from mirar_dask.monitoring.runs import begun, run_folders

        found: dict[Path, None] = {path: None for path in self._folders if seen(path)}
        for out in self._outs:
            if seen(out):
                found |= {path: None for path in run_folders(out)[:LISTED] if seen(path)}
        newest = sorted(found, key=begun, reverse=True)[:LISTED]
        known: dict[str, Path] = {}
        entries = []
        for path in newest:
            # A folder that was copied holds a run of the same name.
            key = path.name if path.name not in known else f"{path.name} in {path.parent.parent}"
            known[key] = path
            state, _ = run_state(path)
            night = path.parent.parent
            entries.append(
                {
                    "key": key,
                    "pipeline": night.parent.name,
                    "night": night.name,
                    "state": state.value,
                    "over": state.over,
                }
            )
        self._known = known
        return entries

    def why_none(self) -> str:
        """Say why there is nothing to show, if there is nothing."""
        with self._lock:
            unseen = [path for path in (*self._folders, *self._outs) if not seen(path)]
        if unseen:
            return (
                f"{socket.gethostname()}, where this page is served, does not see {unseen[0]}, or "
                f"may not read it; where that can be done, 'mirar-dask page {unseen[0]}' shows the "
                "run."
            )
        return "There is no run yet."

    def follower(self, key: str) -> RunFollower:
        """Return who follows a run.

        Raises
        ------
        KeyError
            If the page may show no such run.
        """
        return self._of(key).follower

    def products(self, key: str) -> Products:
        """Return what a run has made.

        Raises
        ------
        KeyError
            If the page may show no such run.
        """
        return self._of(key).products

    def _of(self, key: str) -> _Followed:
        from mirar_dask.monitoring.night import RunFollower
        from mirar_dask.monitoring.page.products import Products

        with self._lock:
            if key not in self._known:
                self._stale = 0.0  # it may have begun a moment ago
                self.listed()
            folder = self._known[key]
            found = self._followed.pop(folder, None)
            if found is None:
                found = _Followed(RunFollower(folder), Products(folder))
            self._followed[folder] = found
            while len(self._followed) > FOLLOWED:
                self._followed.popitem(last=False)
            return found
