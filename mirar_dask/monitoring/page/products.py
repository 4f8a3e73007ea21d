"""The products of a run for its page: how many there are, the newest of each kind, their pictures.

A file is shown if it is in the list of the run's products, and nothing else is.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

from mirar_dask.monitoring.heartbeat import read_sign
from mirar_dask.monitoring.run_folder import SUMMARY, FileMark, product_files

KINDS = {"calibration": "masters", "reduced": "calibrated frames", "stacks": "stacks"}
"""Words for what is in a folder; its name where there is none."""
SHOWN = 8
"""Pictures of each kind."""
SIZES = (256, 1024)
"""Longest side of the pictures that are drawn, in pixels."""
KEPT_BYTES = 32 << 20
"""Of pictures of one run that are kept."""
FRESH_SECONDS = 4.0
PATIENCE = 20
"""The folders are looked through again after so many times the seconds that it took."""
CLOCK_SLACK = 2.0
"""Seconds by which the clock of a file server may be behind the driver's."""
ENDINGS = (".fits", ".fit", ".fits.fz", ".fits.gz")


class Products:
    """What one run has made; safe to be used by several threads.

    Parameters
    ----------
    folder : Path
        The run's own folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.night = folder.parent.parent
        self._files: dict[str, FileMark] = {}
        """By their path in the night's output folder."""
        self._over = False
        self._stale = 0.0
        self._lock = threading.Lock()
        self._pictures: OrderedDict[tuple[str, FileMark, int], bytes] = OrderedDict()
        self._drawing = threading.BoundedSemaphore(2)

    def newest(self) -> dict[str, Any]:
        """Return the number of products by folder, and the newest images of each."""
        files = self._look()
        kinds: dict[str, list[str]] = {}
        for path in files:
            if path.endswith(ENDINGS) and ".weight." not in path and "/" in path:
                kinds.setdefault(path.partition("/")[0], []).append(path)
        order = [*KINDS, *sorted(kinds.keys() - KINDS.keys())]
        return {
            "products": dict(Counter(path.rpartition("/")[0] or "." for path in files)),
            "pictures": [
                {
                    "kind": KINDS.get(kind, kind),
                    "number": len(kinds[kind]),
                    "files": [
                        {"path": path, "version": str(files[path][1])}
                        for path in sorted(kinds[kind], key=lambda one: -files[one][1])[:SHOWN]
                    ],
                }
                for kind in order
                if kind in kinds
            ],
        }

    def picture(self, path: str, size: int) -> bytes:
        """Draw a product.

        Parameters
        ----------
        path : str
            Of the product, in the night's output folder.
        size : int
            One of `SIZES`; another one is taken for the next larger of them.

        Raises
        ------
        KeyError
            If the run has no such product.
        InvalidFitsError, OSError
            If it cannot be drawn.
        """
        from mirar_dask.monitoring.thumbnails import thumbnail_png

        size = next((one for one in SIZES if one >= size), SIZES[-1])
        mark = self._look()[path]
        file = self.night / path
        # A link that leads out of the night is no product of it.
        if not file.resolve().is_relative_to(self.night.resolve()):
            raise KeyError(path)
        key = (path, mark, size)
        with self._lock:
            if key in self._pictures:
                self._pictures.move_to_end(key)
                return self._pictures[key]
        with self._drawing:
            drawn = thumbnail_png(file, size)
        with self._lock:
            self._pictures[key] = drawn
            while sum(map(len, self._pictures.values())) > KEPT_BYTES:
                self._pictures.popitem(last=False)
        return drawn

    def _look(self) -> dict[str, FileMark]:
        with self._lock:
            if not self._over and time.monotonic() >= self._stale:
                began = time.monotonic()
                over = (self.folder / SUMMARY).exists()
                self._files, self._over = self._find(), over
                took = time.monotonic() - began
                self._stale = time.monotonic() + max(FRESH_SECONDS, PATIENCE * took)
            return self._files

    def _find(self) -> dict[str, FileMark]:
        try:
            here = product_files(self.night)
        except FileNotFoundError:  # a file went while we looked
            return self._files
        found = {path.relative_to(self.night).as_posix(): mark for path, mark in here.items()}
        told = self._told()
        if told is not None:
            return {path: found[path] for path in told if path in found}
        since = (self._began() - CLOCK_SLACK) * 1e9
        return {path: mark for path, mark in sorted(found.items()) if mark[1] >= since}

    def _told(self) -> list[str] | None:
        """Return the products that the summary lists, wherever the night lies by now."""
        try:
            summary = json.loads((self.folder / SUMMARY).read_text(encoding="utf-8"))
            output = str(summary["folders"]["output"]).rstrip("/") + "/"
            return [str(path).removeprefix(output) for path in summary["products"]]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _began(self) -> float:
        from datetime import datetime

        sign = read_sign(self.folder)
        try:
            if sign is not None:
                return datetime.fromisoformat(sign.started).timestamp()
            return (self.folder / "request.json").stat().st_mtime
        except (OSError, ValueError):
            return self.folder.stat().st_mtime
