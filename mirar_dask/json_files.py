"""Reading what runs wrote down as JSON, from folders in which anything may lie by now.

A file of another version, cut short by a crash or altered by hand, is no reason to fail: who
reads it goes on without.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def object_of(text: str) -> dict[str, Any] | None:
    """Return the object that a text is as JSON; None if it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # nested without end
        return None
    return found if isinstance(found, dict) else None


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the object that a file holds; None if there is no such file, or it holds another thing.

    Raises
    ------
    OSError
        If it is there and cannot be read.
    """
    try:
        return object_of(path.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return None
