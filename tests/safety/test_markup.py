"""What a browser is shown of a night whose names and headers are markup: text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mirar_dask.testing import simulate_night
from mirar_dask.testing.hostile import EVIL_NAMES, plant_hostile_frames

KEYS = ("BASENAME", "OBJECT", "TARGET", "FILTER", "OBSCLASS")
KINDS = [f"{key}_{kind}" for key in KEYS for kind in ("markup", "quotes", "rich")]
EVENTS = ("onerror", "onload", "onclick", "onmouseover", "onfocus")


class Scripts(HTMLParser):
    """Gathers what a browser would carry out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        values = {name: value or "" for name, value in attrs}
        self.found += [f"<{tag} {name}>" for name in values if name.startswith("on")]
        self.found += [v for v in values.values() if v.strip().lower().startswith("javascript:")]
        if "alert" in values.get("src", "") or values.get("src") == "x":
            self.found.append(values["src"])

    def handle_data(self, data: str) -> None:
        # JSON for our own script is data, as long as it cannot end the element that it is in.
        if self._inside == "script" and data.lstrip().startswith("alert"):
            self.found.append(data)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run's folder of such a night."""
    folder = tmp_path_factory.mktemp("markup")
    raw = folder / "<b>n1<script>"
    truth = simulate_night(raw, size=64, n_bias=2, n_dark=0, n_flat=2, n_science=2, filters=("r",))
    names = [os.fsdecode(name) for name in EVIL_NAMES if b"<" in name or b"[" in name]
    plant_hostile_frames(raw, raw / truth.names("science")[0], [*KINDS, *names])
    words = ("run", "imager", "--raw", raw, "--out", folder / "out", "--cluster", "threads")
    done = subprocess.run(
        [sys.executable, "-m", "mirar_dask", *map(str, words)], capture_output=True
    )
    assert done.returncode == 1, done.stderr
    (run,) = (folder / "out").glob("imager/*/runs/*")
    return run


def test_the_report_holds_no_script_of_a_frame(night: Path) -> None:
    """It is one file that people mail to each other."""
    html = night / "report.html"
    if not html.exists():
        words = ("report", str(night), "--html", str(html))
        subprocess.run([sys.executable, "-m", "mirar_dask", *words], check=True)
    text = html.read_text(encoding="utf-8")
    scripts = Scripts()
    scripts.feed(text)
    assert scripts.found == []
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text or "\\u003cscript" in text.lower()
    assert "<img src=x" not in text


def test_drawings_are_sound_and_hold_no_script(night: Path) -> None:
    """A browser carries out scripts in SVG too."""
    drawings = list(night.parent.parent.rglob("*.svg"))
    for path in drawings:
        for element in ElementTree.parse(path).iter():
            assert not element.tag.endswith("script"), path
            assert not set(element.attrib) & set(EVENTS), path


def test_the_page_answers_with_data_and_a_policy(night: Path) -> None:
    """Scripts of others are refused by the browser, and answers are never taken for pages."""
    words = ("page", night, "--port", "0")
    with subprocess.Popen(
        [sys.executable, "-m", "mirar_dask", *map(str, words)], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[0].partition("#")[0]
            with urllib.request.urlopen(address, timeout=30) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy or "default-src 'self'" in policy
                assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                scripts = Scripts()
                scripts.feed(answer.read().decode())
                assert scripts.found == []
        finally:
            server.terminate()
    assert json.loads((night / "summary.json").read_text())["counts"]["failed"] > 0
