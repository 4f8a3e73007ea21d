"""Which runs a page may show."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mirar_dask.monitoring.page.runs import LISTED, PageRuns
from mirar_dask.testing.journals import JournalOfNight


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look as somebody else")
def test_runs_that_may_not_be_read_are_not_listed():
    """They are somebody else's; one sentence says so, and nothing fails."""
    code = (
        "import sys, os\n"
        "from pathlib import Path\n"
        "from mirar_dask.monitoring.night.follow import run_state\n"
        "from mirar_dask.monitoring.page.runs import PageRuns\n"
        "os.setuid(65534)\n"
        "runs = PageRuns()\n"
        "runs.register(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "print(runs.listed(), runs.why_none())\n"
    )
    with tempfile.TemporaryDirectory() as out:  # pytest's own folders are root's alone
        Path(out).chmod(0o755)
        folder = JournalOfNight(frames=4, batches=1).write(Path(out) / "imager" / "20260101")
        words = [sys.executable, "-c", code, out, str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[] ")
    assert "may not read it" in done.stdout


def test_no_more_runs_than_can_be_chosen_are_listed(tmp_path: Path):
    """An output folder may hold the runs of years."""
    for number in range(LISTED + 5):
        (tmp_path / "imager" / "n" / "runs" / f"20260101T{number:06d}-0000").mkdir(parents=True)
    runs = PageRuns()
    runs.register(tmp_path)
    found = runs.listed()
    assert len(found) == LISTED
    assert found[0]["key"] == f"20260101T{LISTED + 4:06d}-0000"


def test_a_run_that_begins_is_listed_at_once(tmp_path: Path):
    """Though the list of the folder is good for some seconds."""
    runs = PageRuns()
    runs.register(tmp_path)
    assert runs.listed() == []
    folder = JournalOfNight(frames=4, batches=1).write(tmp_path / "imager" / "20260101")
    runs.register(tmp_path, folder)
    assert [run["key"] for run in runs.listed()] == [folder.name]


def test_few_runs_are_kept_in_memory(tmp_path: Path):
    """Those that were looked at last; others are read again."""
    names = [f"20260101T0000{number:02d}-0000" for number in range(12)]
    for name in names:
        JournalOfNight(frames=4, batches=1, run_id=name).write(tmp_path / "imager" / name)
    runs = PageRuns()
    runs.register(tmp_path)
    first = runs.follower(names[0])
    assert runs.follower(names[0]) is first
    for name in names[1:]:
        runs.follower(name)
    again = runs.follower(names[0])
    assert again is not first
    assert again.changes()["head"]["frames"] == first.changes()["head"]["frames"]
