"""Outlook: what is to be hoped for while no worker is there, as who starts workers knows it.

The engine asks for it before it gives a run up. It does not know how workers are started, and
who starts them does not know what the engine does: this value is all that passes between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be hoped for while no worker is there; by default nobody knows."""

    coming: bool = False
    """Workers are on their way, however long that takes."""
    over: bool = False
    """None will come any more."""
    reason: str = ""
    """Why none is there, for people."""


AskOutlook = Callable[[], Outlook]
"""Asks who starts workers; answers at once, in any thread."""


def nobody_knows() -> Outlook:
    """Answer for workers that were started by somebody else."""
    return Outlook()
