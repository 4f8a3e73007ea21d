"""What a run looks like where it is started: a panel, plain lines, a bar in a notebook, or nothing.

`make_monitor` chooses. All are listeners of the engine's events; they show `RunState` and know
nothing else.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from mirar_dask.engine.events import Event
from mirar_dask.monitoring.notebook_bar import NotebookBar, in_notebook
from mirar_dask.monitoring.panel import LivePanel, panel
from mirar_dask.monitoring.plain_lines import PlainLines
from mirar_dask.monitoring.state import RunState, fold
from mirar_dask.monitoring.words import failure_line, plural

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "LivePanel",
    "Monitor",
    "PlainLines",
    "Silence",
    "failure_line",
    "make_console",
    "make_monitor",
    "panel",
    "plural",
]


class Monitor(AbstractContextManager["Monitor"], Protocol):
    """A display: a listener that is entered before the run and left after it."""

    state: RunState

    def __call__(self, event: Event) -> None:
        """Show one more event."""

    def note(self, text: str) -> None:
        """Show a sentence of the program itself, for good."""

    def phase(self, text: str) -> None:
        """Show what is done before the run begins."""

    def expect(self, plan: Mapping[str, Any]) -> None:
        """Take the run's plan, as `Plan.to_json` gives it, once there is one."""


class Silence:
    """Shows nothing, and keeps the state."""

    def __init__(self) -> None:
        self.state = RunState()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End as quietly."""

    def __call__(self, event: Event) -> None:
        """Take one more event into the state."""
        self.state = fold(self.state, event)

    def note(self, text: str) -> None:
        """Say nothing."""

    def phase(self, text: str) -> None:
        """Say nothing."""

    def expect(self, plan: Mapping[str, Any]) -> None:
        """Expect nothing."""


def make_console(stream: TextIO | None = None) -> Console:
    """Return a console that keeps to the terminal's width, and to 100 columns in a pipe."""
    from rich.console import Console

    stream = stream or sys.stdout
    width = None if stream.isatty() else shutil.get_terminal_size((100, 24)).columns
    return Console(file=stream, width=width, highlight=False, force_jupyter=False)


def make_monitor(title: str, *, stream: TextIO | None = None, quiet: bool = False) -> Monitor:
    """Return the display that suits: a bar in a notebook, a panel on a terminal, else plain lines.

    Parameters
    ----------
    title : str
        What is reduced, such as "imager 20240615".
    stream : text stream, optional
        Where it is drawn: a notebook's cell, or standard output, by default.
    quiet : bool
        Show nothing.
    """
    if quiet:
        return Silence()
    if stream is None and in_notebook():
        return NotebookBar(title)
    stream = stream or sys.stdout
    if stream.isatty():
        console = make_console(stream)
        if not console.is_dumb_terminal:  # such as an editor's, which cannot draw in place
            return LivePanel(title, console)
    return PlainLines(title, stream)
