"""What is shown of a night that is watched where there is no terminal: a line when it matters."""

from __future__ import annotations

from collections.abc import Callable

from mirar_dask.engine.events import Event, RecordAdded, TaskLost
from mirar_dask.monitoring.state import FAILURES


class Sparing:
    """Passes on to a display what failed, and no small run's beginning and end.

    Parameters
    ----------
    display : callable
        A listener.
    """

    def __init__(self, display: Callable[[Event], None]) -> None:
        self.display = display

    def __call__(self, event: Event) -> None:
        """Pass an event on, or not."""
        failed = isinstance(event, RecordAdded) and event.record.status in FAILURES
        if failed or isinstance(event, TaskLost):
            self.display(event)
