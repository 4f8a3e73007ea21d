"""The live panel of a terminal: drawn from a run's state, and kept in its place.

`panel` draws and knows no clock; `LivePanel` has rich draw it again and again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mirar_dask.engine.events import Event
from mirar_dask.monitoring import figures
from mirar_dask.monitoring.state import RunState, fold
from mirar_dask.monitoring.step_table import StepRow
from mirar_dask.monitoring.words import brief, clock, duration, failure_line, night_page

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

REFRESHES = 4
"""Times a second that the panel is drawn."""
OTHER_LINES = 9
"""Lines of the panel beside steps and failures: frame, heading, bar, figures, addresses."""
FAILURES = 4
"""Failures that are shown at most."""
COLUMNS = (("done", 11), ("running", 7), ("failed", 6), ("blocked", 7), ("a frame", 7), ("left", 7))
"""Headings, with the widths of what stands below them."""


class LivePanel:
    """One panel that is drawn again and again in its place.

    Parameters
    ----------
    title : str
        What is reduced.
    console : rich.console.Console
        Of the terminal.
    """

    def __init__(self, title: str, console: Console) -> None:
        self.title = title
        self.state = RunState()
        self._plan: Mapping[str, Any] | None = None
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
            refresh_per_second=REFRESHES,
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

    def expect(self, plan: Mapping[str, Any]) -> None:
        """Show the figures beside those of the plan."""
        self._plan = plan

    def __call__(self, event: Event) -> None:
        """Take one more event into the state."""
        self.state = fold(self.state, event)

    def _render(self) -> RenderableType:
        return panel(
            self.state,
            self._plan,
            title=self.title,
            elapsed=time.monotonic() - self._began,
            height=self._console.height,
            # The terminal echoes "^C" behind the panel: where that wraps, the panel is torn.
            width=self._console.width - 2,
            phase=self._phase,
        )


def panel(
    state: RunState,
    plan: Mapping[str, Any] | None = None,
    *,
    title: str,
    elapsed: float,
    height: int = 24,
    width: int = 80,
    phase: str = "starting",
) -> RenderableType:
    """Draw a state as a panel of at most `height` lines.

    Parameters
    ----------
    state : RunState
        What is drawn.
    plan : mapping, optional
        The run's plan, as `Plan.to_json` gives it.
    title : str
        What is reduced.
    elapsed : float
        Seconds since the program began the run.
    height : int
        Lines of the terminal.
    width : int
        Columns of the panel.
    phase : str
        What is done before the run begins.
    """
    from rich.console import Group
    from rich.panel import Panel

    rows = figures.shown_rows(state, plan)
    room = max(1, min(len(state.failures), FAILURES, height - OTHER_LINES - 3))
    failures = state.failures[-room:]
    parts: list[RenderableType] = []
    if rows:
        most = max(3, height - OTHER_LINES - len(failures) - 1)
        parts.append(_table(rows, most=most, width=width - 4))
    if state.started is None:
        parts.append(_line(phase))
    else:
        parts.append(_bar(state, rows, width - 4))
        parts += [_line(text) for text in (figures.throughput(state), figures.tasks_text(state))]
        if usage := figures.resources(state):
            full = state.sample is not None and state.sample.fullest >= figures.FULL
            parts.append(_line(usage, "yellow" if full else ""))
        if state.dashboard:
            parts.append(_line(f"night {night_page(state.dashboard)}"))
            parts.append(_line(f"dashboard {state.dashboard}"))
    parts += [_line(failure_line(record), "red") for record in failures]
    return Panel(
        Group(*parts),
        title=title,
        title_align="left",
        subtitle=clock(elapsed),
        subtitle_align="right",
        width=width,
    )


def _line(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(" ".join(text.split()), style=style, no_wrap=True, overflow="ellipsis")


def _bar(state: RunState, rows: Sequence[StepRow], width: int) -> RenderableType:
    """Draw how much of the work is done, and say how long the rest will take."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    share = figures.share_done(state, rows)
    if share is None:
        return _line("")
    left = "" if state.ended else figures.left_text(rows)
    text = _line(" · ".join(part for part in (f"{share:.0%}", left) if part))
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=max(5, width - 1 - len(text.plain)))
    grid.add_column(no_wrap=True)
    grid.add_row(ProgressBar(total=1.0, completed=share), text)
    return grid


def _table(rows: Sequence[StepRow], *, most: int, width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    shown = _most_telling(rows, most)
    several = len({row.segment for row in rows if row.segment is not None}) > 1
    table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
    if several:
        table.add_column("seg", justify="right", no_wrap=True)
    table.add_column("step", no_wrap=True, overflow="ellipsis", ratio=1)
    columns = COLUMNS if width >= 60 else [COLUMNS[n] for n in (0, 1, 2, 5)]
    for heading, wide in columns:
        table.add_column(heading, justify="right", no_wrap=True, min_width=wide)
    for row in shown:
        cells = _cells(row)
        figures_shown = [
            Text(text, style=style)
            for name, (text, style) in cells.items()
            if name in dict(columns)
        ]
        first = [Text("" if row.segment is None else str(row.segment))] if several else []
        style = "bold" if row.running else ("" if row.succeeded else "dim")
        table.add_row(*first, Text(row.step), *figures_shown, style=style)
    if len(shown) < len(rows):
        more = f"and {len(rows) - len(shown)} more steps"
        table.add_row(*([""] if several else []), more, style="dim")
    return table


def _cells(row: StepRow) -> dict[str, tuple[str, str]]:
    """Return text and style of each column."""
    done = f"{row.succeeded}/{row.expected}" if row.expected else str(row.succeeded or ".")
    failed, each, left = row.failed + row.lost, row.seconds_each, row.seconds_left
    return {
        "done": (done, ""),
        "running": (str(row.running + row.ready or "."), ""),
        "failed": (str(failed or "."), "red" if failed else ""),
        "blocked": (str(row.blocked or "."), "red" if row.blocked else ""),
        "a frame": (brief(each) if each is not None else ".", ""),
        "left": (duration(left) if left is not None and left >= 0.5 else ".", ""),
    }


def _most_telling(rows: Sequence[StepRow], most: int) -> list[StepRow]:
    """Choose the steps for which there is room: at work first, then begun; in their order."""
    if len(rows) <= most:
        return list(rows)

    def interest(row: StepRow) -> int:
        trouble = row.failed or row.blocked or row.lost
        return 0 if row.running else 1 if trouble else 2 if row.succeeded else 3

    chosen = {row.step for row in sorted(rows, key=interest)[: most - 1]}
    return [row for row in rows if row.step in chosen]
