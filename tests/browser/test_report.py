"""The night's report in a real browser: it opens from a disk, asks for nothing, and can be used."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mirar_dask.monitoring.night_report import report_html, write_report
from mirar_dask.monitoring.night_report.content import collect
from mirar_dask.monitoring.quality.columns import NAMES
from mirar_dask.monitoring.standing import read_standing
from mirar_dask.run import reduce_night
from mirar_dask.testing import simulate_night
from mirar_dask.testing.journals import JournalOfNight

pytestmark = pytest.mark.browser

MakeTab = Callable[..., Any]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of a small night in which something failed."""
    folder = tmp_path_factory.mktemp("report")
    simulate_night(
        folder / "n1", size=160, n_bias=3, n_dark=3, n_flat=3, n_science=4, filters=("g", "r"),
        n_stars=40, bad_files=True,
    )  # fmt: skip
    summary = reduce_night("imager", raw=folder / "n1", out=folder / "out", cluster="serial")
    return write_report(read_standing(summary.run_folder))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_shows_itself_and_is_accessible(report: Path, tab: MakeTab, scheme: str):
    """Plots, pictures, failures and the table, without an error, a request, or a fault of axe."""
    made = tab(scheme=scheme)
    made.open(report.as_uri())
    page = made.page
    assert page.locator("#plots svg.plot").count() >= 8
    assert page.locator("#pictures img").evaluate_all(
        "images => images.every((one) => one.complete && one.naturalWidth > 100)"
    )
    assert page.locator("#failures details").count() > 0
    assert page.locator("#table tbody tr").count() > 8
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert made.axe() == []


def test_plots_change_their_axis_and_tell_of_their_points(report: Path, tab: MakeTab):
    """Against airmass too; the point below the pointer is named."""
    made = tab()
    made.open(report.as_uri())
    page = made.page
    page.get_by_label("against airmass").check()
    label = page.locator("#plots svg.plot").first.get_attribute("aria-label")
    assert re.match(r"sky against airmass: 8 values from \d+", label or "")
    plot = page.locator("#plots svg.plot").first
    plot.scroll_into_view_if_needed()
    drawn = page.locator("#plots svg.plot path.points").first.get_attribute("d")
    x, y = (float(number) for number in re.findall(r"[\d.]+", drawn or "")[:2])
    box = plot.bounding_box()
    scale = box["width"] / 330
    page.mouse.move(box["x"] + (x + 3) * scale, box["y"] + y * scale)
    words = page.locator("#plots .told").first.text_content()
    assert re.search(r"FIELD1_g_000\d\.fits: \d+", words or ""), words


def test_the_table_is_sorted_and_searched(report: Path, tab: MakeTab):
    """By a click on a column's name, and by words."""
    made = tab()
    made.open(report.as_uri())
    page = made.page
    page.get_by_role("button", name="sky", exact=True).click()
    cells = page.locator("#table tbody td:nth-child(8)").all_text_contents()
    numbers = [float(cell) for cell in cells if cell]
    assert len(numbers) > 5 and numbers == sorted(numbers)
    page.fill("#words", "frame g")
    assert page.locator("#table tbody tr").count() == 4
    link = page.locator("#table tbody a").first.get_attribute("href")
    assert link is not None and (report.parent / link).exists()


def test_ten_thousand_frames_open_and_answer(tmp_path: Path, tab: MakeTab):
    """A page of the table at a time, sorted at once; absurd numbers among them do no harm."""
    folder = JournalOfNight().write(tmp_path / "out" / "imager" / "20260314")
    empty, rng = dict.fromkeys(NAMES), np.random.default_rng(1)
    numbers = ("sky", "noise", "fwhm", "seeing", "ellipticity", "shift_x", "shift_y", "airmass")
    huge = {"kind": "frame", "time": "9000-01-01", "sources": 2**60, "sky": 1e300}
    absurd = [huge, huge | {"time": "0001-01-01", "sources": 2**60 + 256, "sky": -1e300}]
    rows = [empty | {"file": f"{n}.fits"} | one for n, one in enumerate(absurd)]
    rows += [
        empty
        | {"file": f"reduced/F{n:05d}.fits", "kind": "frame", "filter": "gri"[n % 3],
           "time": f"2026-03-14T{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d}.000"}
        | dict(zip(numbers, rng.normal(100, 1, len(numbers)).tolist(), strict=True))
        for n in range(10_000)
    ]  # fmt: skip
    content = replace(collect(read_standing(folder)), rows=rows)
    path = tmp_path / "report.html"
    path.write_text(report_html(content, tmp_path))
    assert path.stat().st_size < 8e6
    made = tab()
    made.open(path.as_uri())
    page = made.page
    assert page.locator("#table tbody tr").count() == 25
    spent = page.evaluate(
        """() => {
          const heads = [...document.querySelectorAll("#table th button")];
          const begin = performance.now();
          heads.find((one) => one.textContent === "sky").click();
          return performance.now() - begin;
        }"""
    )
    assert spent < 1000
    assert "-1.00e+300" in page.locator("#table tbody tr").first.text_content()
