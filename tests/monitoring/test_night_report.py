"""The night's report: what it says, that it asks for nothing, and that nothing in it is markup."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.engine.events import Event, RecordAdded, RunStarted
from mirar_dask.engine.journal import Journal
from mirar_dask.monitoring.night_report import report_html, write_report
from mirar_dask.monitoring.night_report.content import collect, script_data
from mirar_dask.monitoring.night_report.ending import leave_report
from mirar_dask.monitoring.night_report.masters import master_levels
from mirar_dask.monitoring.night_report.pictures import worst_and_newest
from mirar_dask.monitoring.outcome_report import read_report
from mirar_dask.monitoring.quality.columns import NAMES
from mirar_dask.monitoring.run_folder import REPORT
from mirar_dask.monitoring.standing import State, read_standing
from mirar_dask.processors.base.outcome import Record, Status

from .conftest import Reduced

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """A page's elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._quiet = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._quiet = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._quiet = False

    def handle_data(self, data: str) -> None:
        if not self._quiet:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def data_of(text: str) -> dict:
    found = re.search(r'<script type="application/json" id="night">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@pytest.fixture
def moved(reduced: Reduced, tmp_path: Path) -> Path:
    """Return the run's folder of a copy of the night: as another machine sees it."""
    shutil.copytree(reduced.output, tmp_path / "elsewhere" / "imager" / "20260314")
    return tmp_path / "elsewhere" / "imager" / "20260314" / "runs" / reduced.run.name


@pytest.fixture
def told(events: list[Event], tmp_path: Path) -> Path:
    """Return the folder of a run of which there is a journal only, with hostile names in it."""
    folder = tmp_path / "out" / "imager" / "n1" / "runs" / "20260101T000000-aaaa"
    folder.mkdir(parents=True)
    failed = Record((HOSTILE,), Status.FAILED, "flat", f"KeyError: {HOSTILE}")
    with Journal(folder / "journal.jsonl") as journal:
        for event in events[:-1]:
            journal(replace(event, frames=(*event.frames, HOSTILE)) if isinstance(event, RunStarted)
                    else event)  # fmt: skip
        journal(RecordAdded(failed, 103.0))
    return folder


def test_a_run_leaves_report_measurements_and_flowchart(reduced: Reduced):
    """Without being asked, in its own folder and beside the products."""
    names = {path.name for path in reduced.run.iterdir()}
    assert names >= {REPORT, "measurements.json", "measurements.tsv", "measurements.parquet"}
    for suffix in ("png", "svg"):
        assert (reduced.output / f"20260314_processing_flowchart.{suffix}").stat().st_size > 1000


def test_the_report_asks_for_nothing_and_its_links_lead_to_files(moved: Path, tmp_path: Path):
    """Pictures are in it, links are relative, wherever it and the night are."""
    for place in (moved / REPORT, tmp_path / "other" / "r.html"):
        place.parent.mkdir(exist_ok=True)
        page = Page(write_report(read_standing(moved), place).read_text())
        assert all(str(one["src"]).startswith("data:image/png;base64,") for one in page.all("img"))
        assert not page.all("link") and not any("src" in one for one in page.all("script"))
        policy = next(one for one in page.all("meta") if "http-equiv" in one)
        assert "default-src 'none'" in str(policy["content"])
        links = [unquote(str(one["href"])) for one in page.all("a")]
        places = {one.get("id") for _, one in page.found}
        assert {link[1:] for link in links if link.startswith("#")} <= places
        links = [link for link in links if not link.startswith("#")]
        assert len(links) > 20
        missing = [link for link in links if not (place.parent / link).exists()]
        assert missing == [] and not any(link.startswith("/") for link in links)


def test_the_report_says_what_was_measured_and_of_what(reduced: Reduced):
    """The table of measurements, the masters with their frames, versions, parameters."""
    text = (reduced.run / REPORT).read_text()
    told, page = data_of(text)["report"], Page(text)
    table = {column["name"]: values for column, values in
             zip(told["columns"], told["values"], strict=True)}  # fmt: skip
    rows = reduced.rows()
    assert table["file"] == list(rows)
    assert table["sky"] == pytest.approx([row["sky"] for row in rows.values()], rel=1e-5)
    for words in ("bias_0003.fits", "numpy 2", "method='median'", "FIELD1_g_0001_stack.fits"):
        assert words in page.text
    assert {one["kind"] for one in told["masters"]} == {"bias", "dark", "flat"}


def test_a_moved_night_is_reported_where_it_is(moved: Path, reduced: Reduced):
    """Products are those of the copy, not those of the first place."""
    products = [path for paths in read_report(read_standing(moved)).products.values()
                for path in paths]  # fmt: skip
    assert len(products) > 10
    assert all(path.exists() and path.is_relative_to(moved.parents[1]) for path in products)


def test_a_killed_run_is_reported_as_far_as_it_came(moved: Path):
    """Its journal ends within a line, and there is no summary."""
    (moved / "summary.json").unlink()
    journal = (moved / "journal.jsonl").read_bytes()
    (moved / "journal.jsonl").write_bytes(journal[: len(journal) * 2 // 3])
    standing = read_standing(moved)
    assert standing.state is State.INTERRUPTED
    text = write_report(standing).read_text()
    assert "interrupted" in Page(text).text
    assert len(data_of(text)["report"]["times"]) == 14
    assert "numpy 2" in Page(text).text  # the request says with what it was begun


def test_products_of_a_killed_run_are_those_that_it_noted(moved: Path):
    """Not those of a run that went on with it, wherever and with what times the night is seen."""
    (moved / "summary.json").unlink()
    noted = ["reduced/FIELD1_g_0001.fits", "stacks/FIELD1_g_0001_stack.fits", "reduced/gone.fits"]
    lines: list[dict] = [{"marks": [[name, 1, 2, 3]]} for name in noted]
    master = min((moved.parents[1] / "calibration").iterdir()).name
    lines.append({"master": [f"calibration/{master}"]})
    (moved / "memo.jsonl").write_text("\n".join(map(json.dumps, lines)))
    products = read_report(read_standing(moved)).products
    assert {kind: len(paths) for kind, paths in products.items()} == {
        "calibration": 1, "reduced": 1, "stacks": 1,
    }  # fmt: skip


def test_names_and_errors_are_never_markup(told: Path):
    """Frames, reasons and headers that hold scripts are shown as they are."""
    products = told.parent.parent / "reduced"
    products.mkdir()
    image = fits.PrimaryHDU(np.zeros((8, 8), "f4"))
    image.header.update({"TARGET": HOSTILE[:60], "FILTER": "<b>", "DATE-OBS": "2026-01-01T01:00"})
    image.writeto(products / "<img src=x onerror=alert(3)>.fits")
    text = write_report(read_standing(told)).read_text()
    page = Page(text)
    assert len(page.all("script")) == 2  # the data, and what draws them
    assert all(str(one.get("src")).startswith("data:") for one in page.all("img"))
    assert HOSTILE in page.text
    assert data_of(text)["report"]["values"][list(NAMES).index("target")] == [HOSTILE[:60].strip()]
    assert not any("onerror" in attributes for _, attributes in page.found)


def test_every_failure_is_there_with_its_traceback(told: Path):
    """By kind, the most frequent first."""
    with (told / "journal.jsonl").open("a") as journal:
        for number in range(3):
            record = {
                "names": [f"x{number}.fits"], "status": "failed", "step": "bias", "reason": "odd",
                "report": {"error": "OddError", "traceback": f"Traceback: line {number} <here>"},
            }  # fmt: skip
            line = {"event": "RecordAdded", "record": record, "time": 104.0}
            journal.write(json.dumps(line) + "\n")
    page = Page(write_report(read_standing(told)).read_text())
    for number in range(3):
        assert f"Traceback: line {number} <here>" in page.text
    assert page.text.index("failed, OddError (3)") < page.text.index("failed, KeyError")
    assert "Failures, 5" in page.text


def test_a_run_that_never_began_has_a_report(tmp_path: Path):
    """There is nothing but its folder."""
    folder = tmp_path / "imager" / "n1" / "runs" / "20260101T000000-aaaa"
    folder.mkdir(parents=True)
    page = Page(write_report(read_standing(folder)).read_text())
    assert "never began" in page.text and "did not come so far as to plan" in page.text


def test_masters_are_shown_beside_those_of_other_nights(moved: Path):
    """Other nights beside this one, and archives; what cannot be compared is left out."""
    night = moved.parents[1]
    for number in (1, 2):
        shutil.copytree(night / "calibration", night.parent / f"2026031{number}" / "calibration")
    archive = night.parent.parent / "archive" / "20250101"
    shutil.copytree(night / "calibration", archive / "calibration")
    for path in (archive / "calibration").glob("flat*"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].header["FILTER"] = "other"
    found = master_levels(night, [archive.parent, night / "nowhere"])
    biases = [one for one in found if one.kind == "bias"]
    assert sorted(one.night for one in biases) == ["20250101", "20260311", "20260312", "20260314"]
    assert [one.ours for one in biases].count(True) == 1
    assert len({one.group for one in found if one.kind == "flat"}) == 2
    assert sum(one.kind == "flat" for one in found) == 6
    ours = next(one for one in biases if one.ours)
    assert ours.frames == tuple(f"bias_000{n}.fits" for n in range(1, 5))


def test_frames_to_look_at_are_the_newest_and_the_worst():
    """Each says what it is the worst of; nothing is chosen twice."""
    empty = dict.fromkeys(NAMES)
    rows = [empty | {"file": f"{n}.fits", "seeing": 2.0, "noise": 5.0} for n in range(30)]
    rows[3] |= {"seeing": 9.0, "ellipticity": 0.1}
    rows[7] |= {"noise": 50.0}
    chosen = worst_and_newest(rows, most=6)
    assert [row["file"] for row, _ in chosen] == ["3.fits", "7.fits"] + [
        f"{n}.fits" for n in range(26, 30)
    ]
    assert [why for _, why in chosen[:3]] == [("largest seeing",), ("largest noise",), ()]


def test_ten_thousand_frames_make_a_report_of_a_few_megabytes(told: Path):
    """Failures, products and the table are bounded, or a few bytes each."""
    with (told / "journal.jsonl").open("a") as journal:
        for number in range(2000):
            record = {
                "names": [f"f{number:05d}.fits"], "status": "failed", "step": "bias",
                "reason": "no", "report": {"error": "OddError", "traceback": "line\n" * 40},
            }  # fmt: skip
            line = {"event": "RecordAdded", "record": record, "time": 104.0}
            journal.write(json.dumps(line) + "\n")
    content = collect(read_standing(told))
    rng = np.random.default_rng(1)
    empty = dict.fromkeys(NAMES)
    numbers = ("sky", "noise", "fwhm", "seeing", "ellipticity", "shift_x", "shift_y", "airmass")
    rows = [
        empty
        | {"file": f"reduced/FIELD_{n:05d}.fits", "kind": "frame", "filter": "r", "target": "F",
           "time": f"2026-03-14T{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d}.000"}
        | dict(zip(numbers, rng.normal(100, 1, len(numbers)).tolist(), strict=True))
        for n in range(10_000)
    ]  # fmt: skip
    text = report_html(replace(content, rows=rows), told)
    assert len(script_data(replace(content, rows=rows), told)["report"]["times"]) == 10_000
    assert len(text) < 4e6
    assert text.count("line\nline") < 350 * 40
    assert "and 1600 more" in Page(text).text


def test_a_report_that_cannot_be_written_does_not_harm_the_run(moved: Path, tmp_path: Path, caplog):
    """It is logged, with what to do."""
    (moved / REPORT).unlink()
    (moved / REPORT).mkdir()
    assert leave_report(moved, lambda: tmp_path / "f.png", 5.0) is None
    assert "mirar-dask report" in caplog.text
