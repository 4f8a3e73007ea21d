"""What a run looks like in a terminal: one live panel, or plain lines where there is none.

Both are listeners of the engine's events; they show `RunState` and know nothing else.
"""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from mirar_dask.engine.events import Event, RecordAdded, RunEnded, RunStarted, TaskLost
from mirar_dask.monitoring.state import FAILURES, RunState, fold
from mirar_dask.processors.base.outcome import Record, Status

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

PLAIN_INTERVAL = 5.0
"""Seconds between two lines of progress where there is no terminal."""
PANEL_LINES = 12
"""Lines of the panel beside its steps: frame, heading, figures, failures."""


class Monitor(AbstractContextManager["Monitor"], Protocol):
    """A display: a listener that is entered before the run and left after it."""

    state: RunState

    def __call__(self, event: Event) -> None:
        """Show one more event."""

    def note(self, text: str) -> None:
        """Show a sentence of the program itself, for good."""

    def phase(self, text: str) -> None:
        """Show what is done before the run begins."""


def make_console(stream: TextIO | None = None) -> Console:
    """Return a console that keeps to the terminal's width, and to 100 columns in a pipe."""
    from rich.console import Console

    stream = stream or sys.stdout
    width = None if stream.isatty() else shutil.get_terminal_size((100, 24)).columns
    return Console(file=stream, width=width, highlight=False, force_jupyter=False)


def make_monitor(title: str, *, stream: TextIO | None = None) -> Monitor:
    """Return the display that suits a stream: a panel on a terminal, else plain lines.

    Parameters
    ----------
    title : str
        What is reduced, such as "imager 20240615".
    stream : text stream, optional
        Standard output by default.
    """
    stream = stream or sys.stdout
    if stream.isatty():
        console = make_console(stream)
        if not console.is_dumb_terminal:  # such as an editor's, which cannot draw in place
            return LivePanel(title, console)
    return PlainLines(title, stream)


class PlainLines:
    """One time-stamped line for the start, each failure, some progress, and the end."""

    def __init__(self, title: str, stream: TextIO) -> None:
        self.title = title
        self.state = RunState()
        self._stream = stream
        self._next_line = time.monotonic() + PLAIN_INTERVAL

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.flush()

    def note(self, text: str) -> None:
        """Write one line."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        self._stream.write(f"{stamp} {text}\n")
        self._stream.flush()  # whoever follows the file sees the line when it is true

    def phase(self, text: str) -> None:
        """Write nothing: the line at the start of the run says it all."""

    def __call__(self, event: Event) -> None:
        """Write a line if the event is worth one."""
        self.state = fold(self.state, event)
        now = time.monotonic()
        match event:
            case RunStarted():
                dashboard = f", dashboard {event.dashboard}" if event.dashboard else ""
                workers = plural(event.workers, "worker")
                frames = plural(len(event.frames), "frame")
                self.note(f"{self.title}: {frames}, {workers}{dashboard}")
                self._next_line = now + PLAIN_INTERVAL
            case RecordAdded(record=record) if record.status in FAILURES:
                self.note(failure_line(record))
            case TaskLost():
                again = "it is tried again" if event.will_retry else "it is not tried again"
                self.note(f"lost: {event.label}: {event.reason}; {again}")
            case RunEnded():
                if skipped := event.counts.get(Status.SKIPPED.value):
                    self.note(f"{plural(skipped, 'frame')} done before, by earlier runs")
                self.note(f"{self.title}: ended after {event.seconds:.1f} s")
            case _ if now >= self._next_line:
                self._next_line = now + PLAIN_INTERVAL
                self.note(progress_line(self.state))


class LivePanel:
    """One panel that is drawn again and again in its place."""

    def __init__(self, title: str, console: Console) -> None:
        self.title = title
        self.state = RunState()
        self._console = console
        self._phase = "starting"
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        from rich.live import Live

        self._began = time.monotonic()
        # The panel is drawn by rich's own thread from the newest state: events stay cheap.
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=4,
            vertical_overflow="crop",
        )
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def note(self, text: str) -> None:
        """Print one sentence above the panel."""
        self._console.print(text, markup=False)

    def phase(self, text: str) -> None:
        """Show what is done until the run begins."""
        self._phase = text

    def __call__(self, event: Event) -> None:
        """Take one more event into the state."""
        self.state = fold(self.state, event)

    def _render(self) -> RenderableType:
        return panel(
            self.state,
            title=self.title,
            elapsed=time.monotonic() - self._began,
            height=self._console.height,
            # The terminal echoes "^C" behind the panel: where that wraps, the panel is torn.
            width=self._console.width - 2,
            phase=self._phase,
        )


def panel(
    state: RunState,
    *,
    title: str,
    elapsed: float,
    height: int = 24,
    width: int | None = None,
    phase: str = "starting",
) -> RenderableType:
    """Draw a state as a panel of at most `height` lines.

    Parameters
    ----------
    state : RunState
        What is drawn.
    title : str
        What is reduced.
    elapsed : float
        Seconds since the program began the run.
    height : int
        Lines of the terminal.
    width : int, optional
        Columns of the panel; those of the console by default.
    phase : str
        What is done before the run begins.
    """
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    parts: list[RenderableType] = []
    if state.steps:
        parts.append(_step_table(state, max_rows=max(3, height - PANEL_LINES)))
    line = phase if state.started is None else progress_line(state)
    parts.append(Text(line, no_wrap=True, overflow="ellipsis"))
    if state.dashboard:
        parts.append(Text(f"dashboard {state.dashboard}", no_wrap=True, overflow="ellipsis"))
    room = max(1, min(len(state.failures), height - PANEL_LINES - 3, 4))
    parts += [
        Text(failure_line(record), style="red", no_wrap=True, overflow="ellipsis")
        for record in state.failures[-room:]
    ]
    clock = time.strftime("%H:%M:%S", time.gmtime(elapsed))
    return Panel(
        Group(*parts),
        title=title,
        title_align="left",
        subtitle=clock,
        subtitle_align="right",
        width=width,
    )


def _step_table(state: RunState, *, max_rows: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
    table.add_column("step", no_wrap=True, overflow="ellipsis", ratio=1)
    for heading in ("done", "running", "failed", "s/frame"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=7)
    names = _with_work(state)
    shown = _most_telling(state, names, max_rows)
    for name in shown:
        step = state.steps[name]
        each = f"{step.seconds / step.done:.3f}" if step.done else "."
        style = "bold" if step.running else ("" if step.done else "dim")
        failed = Text(str(step.failed or "."), style="red" if step.failed else "")
        figures = (str(step.done or "."), str(step.running or "."), failed, each)
        table.add_row(Text(name), *figures, style=style)
    if len(shown) < len(names):
        table.add_row(f"and {len(names) - len(shown)} more steps", style="dim")
    return table


def _with_work(state: RunState) -> list[str]:
    """Leave out the steps that the run has passed without a task, such as those that sort."""
    names = list(state.steps)
    active = [number for number, name in enumerate(names) if not state.steps[name].idle]
    last = active[-1] if active else -1
    return [name for n, name in enumerate(names) if n > last or n in set(active)]


def _most_telling(state: RunState, names: list[str], max_rows: int) -> list[str]:
    """Choose the steps for which there is room: at work first, then begun; in their order."""
    if len(names) <= max_rows:
        return names

    def interest(name: str) -> int:
        step = state.steps[name]
        return 0 if step.running else 1 if step.failed else 2 if step.done else 3

    chosen = set(sorted(names, key=interest)[: max_rows - 1])
    return [name for name in names if name in chosen]


def progress_line(state: RunState) -> str:
    """Say in one line how far a run is."""
    parts = [plural(state.n_frames, "frame"), plural(state.workers, "worker")]
    parts.append(f"tasks: {state.tasks_done} done, {len(state.in_flight)} running")
    if state.rate is not None:
        parts.append(f"{state.rate:.1f} frames/s")
    if state.n_skipped:
        parts.append(f"{state.n_skipped} done before")
    if state.tasks_lost:
        parts.append(f"{state.tasks_lost} lost")
    if state.n_failures:
        parts.append(plural(state.n_failures, "failure"))
    if state.n_caveats:
        parts.append(plural(state.n_caveats, "caveat"))
    return " · ".join(parts)


def failure_line(record: Record) -> str:
    """Say in one line what failed, where and why."""
    if not record.names:
        who = record.step
    elif len(record.names) == 1:
        who = f"{record.names[0]} at {record.step}"
    else:
        who = f"{record.names[0]} and {len(record.names) - 1} more at {record.step}"
    return f"{record.status}: {who}: {record.reason}"


def plural(number: int, noun: str) -> str:
    """Return "1 frame", "2 frames"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
