"""What the page's server answers, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from mirar_dask.monitoring.page.assets import SCRIPTS, STYLE
from mirar_dask.monitoring.page.handlers import PageApplication
from mirar_dask.testing.journals import JournalOfNight

RUN = JournalOfNight().run_id
NIGHT = "imager/20260101"
PNG = b"\x89PNG\r\n"


@pytest.mark.parametrize("path", ["/mirar/", *(f"/mirar/static/{n}" for n in (*SCRIPTS, STYLE))])
def test_the_page_and_its_files_are_served_with_a_strict_policy(site: Any, path: str):
    """A browser may load nothing from elsewhere, whatever the page would hold."""
    answer = site.get(path)
    assert answer.status == 200
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("before", ["", "/proxy/8787"])
def test_the_short_address_leads_to_the_page(site: Any, before: str):
    """`/mirar` without a slash at its end, also behind a proxy that puts something before it."""
    answer = site.get(f"{before}/mirar")
    assert answer.status == 200
    assert b'id="mirar"' in answer.body


def test_runs_are_listed_the_newest_first(site: Any, out: Path):
    """Of all nights of the output folder, with the state of each."""
    newer = JournalOfNight(frames=10, batches=1, run_id="20260102T000000-0001")
    newer.write(out / "imager" / "20260102", until=0.5)
    site.page.runs.register(out)  # as a run that begins does
    found = site.get("/mirar/api/runs").json["runs"]
    assert [(run["key"], run["state"]) for run in found] == [
        (newer.run_id, "interrupted"),
        (RUN, "ended"),
    ]


def test_what_has_changed_is_told(site: Any):
    """First everything, then what is new."""
    first = site.ask(RUN, "changes").json
    assert first["full"]
    assert first["head"]["state"] == "ended"
    assert first["head"]["frames"] == 100
    again = site.ask(RUN, f"changes?epoch={first['epoch']}&since={first['rev']}").json
    assert (again["full"], again["cells"], again["tasks"]) == (False, [], [])


def test_details_are_told_on_demand(site: Any):
    """Of a cell, a task, a kind of failure, a frame."""
    found = site.ask(RUN, "changes").json
    names = found["names"]["cell"]
    bad = next(c for c in found["cells"] if c[names.index("failed")])
    cell = site.ask(RUN, f"cell?row={bad[0]}&step={bad[1]}").json
    assert cell["failures"]
    assert cell["failures"][0]["reason"]
    assert any("INFO mirar_dask" in line for line in cell["log"])
    task = site.ask(RUN, f"task?id={cell['tasks'][0]['id']}").json
    assert task["log"]
    assert task["times"]
    group = found["failures"][0]
    assert len(site.ask(RUN, f"failure?id={group['id']}").json["failures"]) == group["records"]
    name = cell["failures"][0]["frames"][0]
    assert site.ask(RUN, f"frame?name={quote(name)}").json["status"] == "failed"


def test_the_newest_products_are_pictures(site: Any):
    """Masters, calibrated frames and stacks, each drawn from its file."""
    found = site.ask(RUN, "pictures").json
    assert [group["kind"] for group in found["pictures"]] == [
        "masters",
        "calibrated frames",
        "stacks",
    ]
    for group in found["pictures"]:
        path = quote(group["files"][0]["path"])
        answer = site.ask(RUN, f"picture?path={path}&size=256")
        assert answer.status == 200
        assert answer.body.startswith(PNG)


@pytest.mark.parametrize(
    "path",
    [
        "../../../../etc/passwd",
        "/etc/passwd",
        f"runs/{RUN}/journal.jsonl",
        "reduced/../runs",
        "reduced",
        "",
        "reduced/F0000_r_00000.fits/..",
        "reduced/F9999.fits",
    ],
)
def test_only_products_of_the_run_are_served(site: Any, path: str):
    """Whatever path is asked for."""
    assert site.ask(RUN, f"picture?path={quote(path, safe='')}").status == 404


def test_a_product_that_is_a_link_out_of_the_night_is_not_served(
    site: Any, out: Path, tmp_path: Path
):
    """Somebody may have put it there."""
    product = out / NIGHT / "stacks" / "F0000.fits"
    product.rename(tmp_path / "elsewhere.fits")
    product.symlink_to(tmp_path / "elsewhere.fits")
    assert site.ask(RUN, "picture?path=stacks/F0000.fits").status == 404


def test_a_product_that_is_no_image_says_so(site: Any, out: Path):
    """In a sentence in the place of the picture."""
    (out / NIGHT / "stacks" / "F0000.fits").write_bytes(b"SIMPLE  = nonsense" * 200)
    answer = site.ask(RUN, "picture?path=stacks/F0000.fits")
    assert answer.status == 422
    assert answer.json["error"].startswith("stacks/F0000.fits cannot be shown: ")


@pytest.mark.parametrize(
    ("question", "status"),
    [
        ("cell?row=0&step=9999", 404),
        ("cell?row=-1&step=0", 400),
        ("cell?row=x&step=0", 400),
        ("cell", 400),
        ("task?id=999999", 404),
        ("task?id=99999999999999999999999", 400),
        ("failure?id=77", 404),
        ("frame?name=nothing", 404),
        ("frame", 400),
        ("changes?since=-5", 400),
        ("journal", 404),
    ],
)
def test_questions_that_make_no_sense_are_refused(site: Any, question: str, status: int):
    """With the right number, and never an error of the server."""
    assert site.ask(RUN, question).status == status


@pytest.mark.parametrize("run", ["nothing", "..", "../..", "/etc", "20260101T000000"])
def test_only_runs_that_were_registered_are_shown(site: Any, run: str):
    """By their whole names."""
    assert site.ask(run, "changes").status == 404


@pytest.mark.parametrize("name", ["../handlers.py", "..%2fhandlers.py", "nothing.js", "page"])
def test_only_the_files_of_the_page_are_served(site: Any, name: str):
    """None other of the package or the machine."""
    assert site.get(f"/mirar/static/{name}").status == 404


def test_hostile_names_stay_text(serve: Callable[..., Any], tmp_path: Path):
    """What a browser is sent is JSON by its type, whatever a frame is called."""
    night = tmp_path / "imager" / "<img src=x onerror=alert(1)>"
    folder = JournalOfNight(frames=10, batches=1).write(night)
    journal = folder / "journal.jsonl"
    journal.write_text(journal.read_text().replace("F0000_r_00001", "<script>alert(1)</script>"))
    page = PageApplication()
    page.runs.register(tmp_path)
    with serve(page) as site:
        for path in ("/mirar/api/runs", f"/mirar/api/runs/{RUN}/changes"):
            answer = site.get(path)
            assert answer.headers["Content-Type"].startswith("application/json")
            assert b"<img" in answer.body or b"<script>" in answer.body or "changes" in path


def test_a_server_of_this_machine_answers_to_its_own_names_only(
    serve: Callable[..., Any], out: Path
):
    """Another site whose name was made to lead here cannot read what is served."""
    page = PageApplication(hosts={"127.0.0.1"})
    page.runs.register(out)
    with serve(page) as site:
        assert site.get("/mirar/api/runs").status == 200
        refused = site.get("/mirar/api/runs", Host="evil.example")
        assert refused.status == 403
        assert "runs" not in refused.json


def test_a_folder_that_is_not_seen_here_is_named(serve: Callable[..., Any], tmp_path: Path):
    """One sentence says what to do, where the scheduler is on a host without the folder."""
    page = PageApplication()
    page.runs.register(tmp_path / "far", tmp_path / "far/imager/1/runs/x")
    with serve(page) as site:
        told = site.get("/mirar/api/runs").json
    assert told["runs"] == []
    assert "does not see" in told["why"]
    assert "mirar-dask page" in told["why"]


def test_two_copies_of_a_run_are_two_runs(serve: Callable[..., Any], out: Path):
    """A folder that was copied holds a run of the same name."""
    import shutil

    shutil.copytree(out / NIGHT, out / "imager" / "copy")
    page = PageApplication()
    page.runs.register(out)
    with serve(page) as site:
        keys = [run["key"] for run in site.get("/mirar/api/runs").json["runs"]]
        assert len(set(keys)) == 2
        for key in keys:
            assert site.ask(key, "changes").status == 200


def test_a_run_that_grows_is_followed(serve: Callable[..., Any], tmp_path: Path):
    """Each answer tells what the journal got since the last."""
    whole = JournalOfNight(frames=40, batches=4)
    folder = whole.write(tmp_path / "imager" / "20260101")
    lines = (folder / "journal.jsonl").read_text().splitlines(keepends=True)
    (folder / "summary.json").unlink()
    (folder / "journal.jsonl").write_text("")
    page = PageApplication()
    page.runs.register(tmp_path)
    with serve(page) as site, (folder / "journal.jsonl").open("a") as journal:
        told = site.ask(RUN, "changes").json
        tasks = 0
        for line in lines:
            journal.write(line)
            journal.flush()
            told = site.ask(RUN, f"changes?epoch={told['epoch']}&since={told['rev']}").json
            tasks += len(told["tasks"])
    assert tasks == sum('"TaskFinished"' in line for line in lines)
    assert json.loads(lines[-1])["counts"]["succeeded"] == told["head"]["counts"]["succeeded"]
