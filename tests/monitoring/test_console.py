"""The panel fits its terminal; without a terminal there are plain, time-stamped lines."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import pytest

from mirar_dask.engine.events import Event, Sampled
from mirar_dask.monitoring.console import (
    LivePanel,
    PlainLines,
    failure_line,
    make_console,
    make_monitor,
    panel,
)
from mirar_dask.monitoring.state import RunState, StepState, fold_all
from mirar_dask.processors.base.outcome import Record, Status


class Terminal80:
    """A console of 80 columns whose text can be read."""

    def __init__(self) -> None:
        from rich.console import Console

        self._file = io.StringIO()
        self.print = Console(file=self._file, width=80, height=24).print

    @property
    def text(self) -> str:
        return self._file.getvalue()


def drawn(
    state: RunState, width: int = 80, height: int = 24, plan: dict[str, Any] | None = None
) -> list[str]:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, height=height)
    shown = panel(state, plan, title="imager n1", elapsed=75.0, height=height, width=width)
    console.print(shown)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_the_panel_shows_steps_figures_failures_and_the_dashboard(events: list[Event]):
    """What an observer wants to know at a glance."""
    text = "\n".join(drawn(fold_all(events)))
    assert "imager n1" in text
    assert "00:01:15" in text
    assert re.search(r"flat +2 +\. +1 +\. +450 ms", text)
    assert "failed: b.fits at flat: MissingFlatError: no flat in 'r'" in text
    assert "night http://127.0.0.1:1/mirar" in text
    assert "dashboard http://127.0.0.1:1/status" in text


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("height", [15, 24, 50])
def test_the_panel_fits_its_terminal(width: int, height: int):
    """Many steps, long names and long reasons neither wrap nor fill more than the screen."""
    long = Record(("x" * 90 + ".fits",), Status.FAILED, "s" * 60, "because " * 60)
    steps = {f"{'step' * 9}{i}": StepState(done=i, running=i % 7 == 0) for i in range(170)}
    state = RunState(
        started=0.0,
        n_frames=10_000,
        steps=steps,
        failures=(long,) * 5,
        dashboard="http://" + "h" * 90,
        sample=Sampled(1.0, 10**13, 0.99, 10**13, 10**6, 10**13, 10**13, 10**14, 10**15),
    )
    plan = {
        "steps": [
            {"name": name, "form": "image", "work": 10_000, "segment": number // 60}
            for number, name in enumerate(steps)
        ]
    }
    for expected in (None, plan):
        lines = drawn(state, width, height, expected)
        assert len(lines) <= height
        assert max(map(len, lines)) <= width
        assert sum("─" * 10 in line for line in lines) == 2
        assert lines[-1].startswith("╰")


def test_with_too_many_steps_the_running_ones_are_shown():
    """What is at work matters more than what waits."""
    steps = {f"step{i}": StepState(done=1, running=2 if i == 99 else 0) for i in range(100)}
    text = "\n".join(drawn(RunState(started=0.0, steps=steps)))
    assert "step99" in text
    assert "more steps" in text


def test_steps_that_were_passed_without_a_task_are_not_shown():
    """Sorting by headers takes no time; what is still to come is shown."""
    steps = {"sort": StepState(), "flat": StepState(done=3), "save": StepState()}
    text = "\n".join(drawn(RunState(started=0.0, steps=steps)))
    assert "sort" not in text
    assert "save" in text


def test_names_that_look_like_markup_are_shown_as_they_are():
    """A header value cannot colour, hide or break the panel."""
    record = Record(("[red]a[/nothing].fits",), Status.FAILED, "flat", "[link=x]")
    state = replace(RunState(started=0.0), steps={"[bold]s": StepState(done=1)}, failures=(record,))
    text = "\n".join(drawn(state))
    assert "[bold]s" in text
    assert "[red]a[/nothing].fits" in text


def test_plain_lines_are_stamped_and_name_start_failures_losses_and_end(events: list[Event]):
    """A log file of them tells the night's story."""
    stream = io.StringIO()
    with PlainLines("imager n1", stream) as monitor:
        for event in events:
            monitor(event)
    lines = stream.getvalue().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S", line) for line in lines)
    text = "\n".join(line[20:] for line in lines)
    where = "night http://127.0.0.1:1/mirar, dashboard http://127.0.0.1:1/status"
    assert f"imager n1: 3 frames, 2 workers, {where}" in text
    assert "lost: bias+flat: worker killed; it is tried again" in text
    assert "failed: b.fits at flat: MissingFlatError" in text
    assert "imager n1: ended after 2.0 s" in text
    assert "\x1b" not in stream.getvalue()


def test_progress_is_said_now_and_then_and_not_for_every_task(
    events: list[Event], monkeypatch: pytest.MonkeyPatch
):
    """Ten thousand tasks in a second are one line."""
    now = [1000.0]
    monkeypatch.setattr("mirar_dask.monitoring.plain_lines.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    monitor = PlainLines("n", stream)
    monitor(events[0])
    for _ in range(1000):
        monitor(events[1])
    assert stream.getvalue().count("\n") == 1
    now[0] += 60
    monitor(events[2])
    assert "tasks: 1 done" in stream.getvalue()


def test_lines_of_progress_get_fewer(events: list[Event], monkeypatch: pytest.MonkeyPatch):
    """A long night's log is no flood: a line a minute in the end."""
    now = [1000.0]
    monkeypatch.setattr("mirar_dask.monitoring.plain_lines.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    monitor = PlainLines("n", stream)
    monitor(events[0])
    for _ in range(8 * 3600):
        now[0] += 1.0
        monitor(events[1])
    assert 480 < stream.getvalue().count("\n") < 560


def test_quiet_shows_nothing(events: list[Event], capsys: pytest.CaptureFixture[str]):
    """Whatever happens; the state is kept."""
    with make_monitor("n", quiet=True) as monitor:
        for event in events:
            monitor(event)
        monitor.note("something")
    assert capsys.readouterr() == ("", "")
    assert monitor.state.ended


def test_a_stream_that_is_no_terminal_gets_plain_lines():
    """Pipes and files are not sent control characters."""
    assert isinstance(make_monitor("n", stream=io.StringIO()), PlainLines)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_that_cannot_draw_gets_plain_lines(monkeypatch: pytest.MonkeyPatch):
    """Such as an editor's or a CI system's."""
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_monitor("n", stream=Terminal()), PlainLines)


def test_a_terminal_gets_the_panel(events: list[Event], monkeypatch: pytest.MonkeyPatch):
    """The panel is drawn, and the cursor is shown again at its end, errors included."""
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    monitor = make_monitor("imager n1", stream=stream)
    assert isinstance(monitor, LivePanel)
    with pytest.raises(KeyboardInterrupt), monitor:
        for event in events:
            monitor(event)
        raise KeyboardInterrupt
    text = stream.getvalue()
    assert "imager n1" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_before_the_start_the_panel_says_what_is_done():
    """Starting a cluster takes a moment."""
    console = Terminal80()
    console.print(panel(RunState(), title="n", elapsed=0.0, phase="starting workers"))
    assert "starting workers" in console.text


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), "failed: flat: why"),
        (("a",), "failed: a at flat: why"),
        (("a", "b", "c"), "failed: a and 2 more at flat: why"),
    ],
)
def test_a_failure_is_one_line(names: tuple[str, ...], expected: str):
    """Who, where, why."""
    assert failure_line(Record(names, Status.FAILED, "flat", "why")) == expected


def test_a_console_in_a_pipe_has_a_width_and_no_colours():
    """Tables in a file are not squeezed to nothing."""
    stream = io.StringIO()
    make_console(stream).print("[red]x[/red]")
    assert stream.getvalue() == "x\n"
