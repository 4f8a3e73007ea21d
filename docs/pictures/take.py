"""Take the pictures of the page that the documentation shows: `python docs/pictures/take.py`.

A simulated night is reduced, and the page looked at while it runs, in a browser without a window
(`.ci/browser.sh` installs one).
"""

from __future__ import annotations

import io
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mirar_dask.testing import simulate_night
from mirar_dask.testing.journals import JournalOfNight

HERE = Path(__file__).parent
WIDTH = 1280


@contextmanager
def tab(browser: Any, scheme: str, height: int) -> Iterator[Any]:
    """Open a page of the browser."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": WIDTH, "height": height})
    yield context.new_page()
    context.close()


def keep(page: Any, name: str) -> None:
    """Keep what the browser shows, in few colours and few bytes."""
    from PIL import Image

    image = Image.open(io.BytesIO(page.screenshot()))
    image.quantize(128, dither=Image.Dither.NONE).save(HERE / name, optimize=True)
    print(name, (HERE / name).stat().st_size)


def night_that_runs(browser: Any, folder: Path) -> None:
    """Look at a night on the dashboard's server while it is reduced."""
    raw = folder / "20260314"
    raw.mkdir()
    simulate_night(raw, size=1024, n_bias=10, n_dark=6, n_flat=6, n_science=8)
    command = [sys.executable, "-m", "mirar_dask", "run", "imager", "--raw", str(raw)]
    with subprocess.Popen(
        [*command, "--out", str(folder / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = next(
            found[1]
            for line in process.stdout
            if (found := re.search(r"dashboard (http://[^/\s]+)", line))
        )
        with tab(browser, "dark", 1180) as page:
            page.goto(f"{address}/mirar")
            page.wait_for_selector("td:has-text('stack')", timeout=60_000)
            page.wait_for_selector("svg.chart")
            page.wait_for_timeout(2500)
            keep(page, "page_running.png")
        process.communicate()


def large_night(browser: Any, folder: Path) -> None:
    """Look at the board of 10,000 frames, and at what is behind a cell of it."""
    JournalOfNight(frames=10_000, batches=500).write(folder / "large" / "imager" / "20260101")
    command = [sys.executable, "-m", "mirar_dask", "page", "--port", "0"]
    with subprocess.Popen(
        [*command, "--out", str(folder / "large")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        with tab(browser, "light", 900) as page:
            page.goto(address)
            page.wait_for_selector(".cell.s-succeeded")
            page.select_option("#which", "bad")
            page.wait_for_timeout(500)
            keep(page, "page_large.png")
            page.locator(".cell.s-failed").first.click()
            page.wait_for_selector(".sheet[open] .told")
            page.locator(".sheet[open] summary", has_text="traceback").first.click()
            keep(page, "page_sheet.png")
        process.send_signal(signal.SIGINT)


def main() -> None:
    """Take all pictures."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
            args=["--no-sandbox", "--disable-gpu"],
        )
        night_that_runs(browser, Path(folder))
        large_night(browser, Path(folder))
        browser.close()


if __name__ == "__main__":
    main()
