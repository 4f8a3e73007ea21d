"""The progress bar of a run in a notebook: drawn again and again in one output of its cell.

It is plain HTML that IPython itself shows, so it needs no widgets, moves while the run goes on in
any front end, and its last state stays in the saved notebook.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from html import escape
from types import TracebackType
from typing import Any, Self

from mirar_dask.engine.events import Event, RunEnded
from mirar_dask.monitoring import figures
from mirar_dask.monitoring.state import RunState, fold
from mirar_dask.monitoring.step_table import step_rows
from mirar_dask.monitoring.words import clock, failure_line, night_page

SECONDS = 0.5
"""Between two drawings."""
FAILURES = 3
"""Failures that are shown at most."""


def in_notebook() -> bool:
    """Tell whether this code runs in a notebook: a kernel whose front end shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


class NotebookBar:
    """A progress bar with the figures of a run, in the output of the cell that started it.

    Parameters
    ----------
    title : str
        What is reduced.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.state = RunState()
        self._plan: Mapping[str, Any] | None = None
        self._phase = "starting"
        self._began = self._drawn = time.monotonic()
        self._display: Any = None

    def __enter__(self) -> Self:
        from IPython.display import display

        self._display = display(self._bundle(), raw=True, display_id=True)  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._phase = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        self._draw()

    def __call__(self, event: Event) -> None:
        """Take one more event into the state, and draw now and then."""
        self.state = fold(self.state, event)
        if isinstance(event, RunEnded) or time.monotonic() - self._drawn >= SECONDS:
            self._draw()

    def note(self, text: str) -> None:
        """Print a sentence below the bar."""
        print(text)

    def phase(self, text: str) -> None:
        """Show what is done until the run begins."""
        self._phase = text
        self._draw()

    def expect(self, plan: Mapping[str, Any]) -> None:
        """Measure progress by this plan."""
        self._plan = plan

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._display is not None:
            self._display.update(self._bundle(), raw=True)

    def _bundle(self) -> dict[str, str]:
        """Return the bar for those that show HTML, and for others."""
        state, rows = self.state, step_rows(self.state, self._plan)
        share = figures.share_done(state, rows)
        left = "" if state.ended else figures.left_text(rows)
        stopped = self._phase in ("interrupted", "failed")
        if state.started is None or stopped:
            line = self._phase
        else:
            line = f"{figures.throughput(state)} · {figures.tasks_text(state)}"
        elapsed = clock(time.monotonic() - self._began)
        head = " · ".join(part for part in (self.title, elapsed, left) if part)
        trouble = [failure_line(record) for record in state.failures[-FAILURES:]]
        value = "" if share is None else f' value="{share:.4f}"'
        percent = "" if share is None else f"{share:.0%}"
        html = [
            f'<div style="font-size:90%"><div>{escape(head)}</div>',
            f'<progress max="1"{value} style="width:60%" aria-label="{escape(self.title)}">'
            f"</progress> {percent}",
            f"<div>{escape(line)}</div>",
            *(f'<div style="color:#b71c1c">{escape(text)}</div>' for text in trouble),
        ]
        if state.dashboard and not state.ended and not stopped:
            links = {"night": night_page(state.dashboard), "dashboard": state.dashboard}
            for word, address in links.items():
                link = escape(address, quote=True)
                html.append(f'<div>{word} <a href="{link}" target="_blank">{link}</a></div>')
        text = "\n".join([f"{head} {percent}".strip(), line, *trouble])
        return {"text/html": "\n".join(html) + "</div>", "text/plain": text}
