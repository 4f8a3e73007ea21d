"""The folders that a run reads from and writes to, found when they are asked for.

`mirar_dask.paths` builds every path on them; `mirar_dask.execution` sets them for a run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

RAW_DATA_DIR_VARIABLE = "RAW_DATA_DIR"
OUTPUT_DATA_DIR_VARIABLE = "OUTPUT_DATA_DIR"


@dataclass(frozen=True)
class Roots:
    """Where a run reads and writes."""

    raw: Path
    """Folder that holds ``<pipeline>/<night>/raw``."""
    output: Path
    """Folder that receives ``<pipeline>/<night>/<sub folder>``."""
    night_raw: Path | None = None
    """Folder that holds the night's frames themselves, in place of the one under `raw`."""


_roots: ContextVar[Roots | None] = ContextVar("mirar_dask_roots", default=None)


def current_roots() -> Roots:
    """Return the roots of `use_roots`, else those that the environment names (else home)."""
    roots = _roots.get()
    if roots is not None:
        return roots
    return Roots(
        raw=Path(os.environ.get(RAW_DATA_DIR_VARIABLE) or Path.home()),
        output=Path(os.environ.get(OUTPUT_DATA_DIR_VARIABLE) or Path.home()),
    )


@contextmanager
def use_roots(roots: Roots) -> Iterator[Roots]:
    """Make every path function use `roots` inside the block, in this thread or task alone."""
    token = _roots.set(roots)
    try:
        yield roots
    finally:
        _roots.reset(token)
