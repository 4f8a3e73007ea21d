"""Places: the folders of a run that every worker must see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """The folders that a run uses."""

    raw: Path | None = None
    """Folder of the raw frames."""
    output: Path | None = None
    """Folder for products; it is there."""
    cache: Path | None = None
    """Folder of the run's cache, made if it is not there; None if the cache is off."""
