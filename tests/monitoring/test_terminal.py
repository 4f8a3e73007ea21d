"""The live panel in a real terminal of 80 columns and 24 lines."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
from typing import NamedTuple

import pyte
import pytest

from mirar_dask.testing.night import simulate_night

COLUMNS, LINES = 80, 24
CLEARS = (b"\x1b[2J", b"\x1b[?1049h", b"\x1bc")
"""What clears the whole screen, or hides it."""


class Seen(NamedTuple):
    """What a terminal showed."""

    written: bytes
    screens: list[list[str]]
    """Whenever the program had stopped writing for a moment."""
    all: list[str]
    """In the end, with what has left the screen."""
    code: int


def in_terminal(arguments: list[str], environment: dict[str, str]) -> Seen:
    """Run a command in a terminal of its own."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(environment)
        os.execv(arguments[0], arguments)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    screen = pyte.HistoryScreen(COLUMNS, LINES, history=2000)
    stream, written = pyte.ByteStream(screen), b""
    screens: list[list[str]] = []
    while True:
        if not select.select([terminal], [], [], 0.05)[0]:
            screens.append([line.rstrip() for line in screen.display])
            if not select.select([terminal], [], [], 60.0)[0]:
                raise AssertionError("the program said nothing for a minute")
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other end was closed
            break
        if not data:
            break
        written += data
        stream.feed(data)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    gone = ["".join(line[n].data for n in range(COLUMNS)) for line in screen.history.top]
    return Seen(written, screens, [line.rstrip() for line in [*gone, *screen.display]], code)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Reduce a night with a frame that nobody can read and one that has no flat."""
    folder = tmp_path_factory.mktemp("terminal")
    simulate_night(folder / "raw", size=64, n_bias=3, n_dark=3, n_flat=3, n_science=4, seed=2)
    for path in (folder / "raw").glob("flat_r*"):
        path.unlink()
    (folder / "raw" / ("a_very_long_name_of_a_frame_" * 4 + ".fits")).write_bytes(b"no FITS file")
    arguments = ["run", "imager", "--raw", str(folder / "raw"), "--out", str(folder / "out")]
    return in_terminal(
        [sys.executable, "-m", "mirar_dask", *arguments, "--cluster", "threads"],
        {"TERM": "xterm-256color", "HOME": str(folder)},
    )


def test_one_panel_stays_in_its_place(seen: Seen) -> None:
    """A line that wrapped, or a panel that was drawn below itself, would leave remnants."""
    assert seen.code == 1
    assert sum(line.startswith("╭") for line in seen.all) == 1
    assert sum(line.startswith("╰") for line in seen.all) == 1
    panel = [line for line in seen.all if line[:1] in "╭│╰" and line]
    assert len(panel) < LINES
    assert all(len(line) == COLUMNS - 2 and line[-1] in "╮│╯" for line in panel)


def test_the_panel_is_whole_whenever_the_program_pauses(seen: Seen) -> None:
    """No half panel is left standing."""
    framed = [screen for screen in seen.screens if any(line.startswith("╭") for line in screen)]
    assert framed
    for screen in framed:
        assert sum(line.startswith("╭") for line in screen) == 1
        assert sum(line.startswith("╰") for line in screen) == 1


def test_the_screen_is_never_cleared(seen: Seen) -> None:
    """Only the panel's lines are drawn anew: nothing else flickers."""
    assert not [code for code in CLEARS if code in seen.written]


def test_the_observer_sees_steps_failures_and_the_dashboard(seen: Seen) -> None:
    """In one screen, with the failure cut to its line."""
    text = "\n".join(seen.all)
    assert "night http://127.0.0.1:" in text
    assert "dashboard http://127.0.0.1:" in text
    assert "bias" in text
    assert any(line.startswith(("│ blocked:", "│ failed:")) for line in seen.all)
    assert "100%" in text
