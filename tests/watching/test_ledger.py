"""What is known of a night's frames outlives the process."""

from __future__ import annotations

import json
from pathlib import Path

from mirar_dask.watching.ledger import (
    Entry,
    Fate,
    Latencies,
    Ledger,
    glance,
    latencies,
    save_glance,
)
from mirar_dask.watching.sightings import FileMark

MARK = FileMark(100, 7, 3)


def test_a_ledger_is_taken_over_by_the_next_run(tmp_path: Path):
    """All of it, but for a line that was torn by a crash."""
    first = Ledger(tmp_path / "first")
    first.note(Entry("a.fits", MARK, 5.0, dither=("M13", "r", "30", "3", 1)))
    first.change("a.fits", fate=Fate.REDUCED, done=7.0, latency=2.0)
    first.note(Entry("b.fits", MARK, 6.0, Fate.FAILED, "no flat"))
    first.note_stack(("a.fits",))
    first.note_fact("began", 1.0)
    first.close()
    with first.path.open("a") as file:
        file.write('{"frame": {"name": "torn')
    second = Ledger(tmp_path / "second")
    second.take_over(first.path)
    second.close()
    third = Ledger(tmp_path / "third")
    third.take_over(second.path)
    third.close()
    assert third.entries == second.entries == first.entries
    assert third.stacked == [("a.fits",)]
    assert third.facts == {"began": 1.0}


def test_a_file_that_changed_is_not_known(tmp_path: Path):
    """By size, time or inode."""
    ledger = Ledger(tmp_path / "l")
    ledger.note(Entry("a.fits", MARK, 5.0))
    ledger.close()
    assert ledger.known("a.fits", MARK) is not None
    assert ledger.known("a.fits", MARK._replace(mtime_ns=8)) is None
    assert ledger.known("b.fits", MARK) is None


def test_the_glance_tells_counts_latencies_and_reasons(tmp_path: Path):
    """The median, the worst with its frame, what waits and what failed, as JSON."""
    ledger = Ledger(tmp_path / "watch.jsonl")
    for number, latency in enumerate([1.0, 9.0, 2.0]):
        entry = Entry(f"{number}.fits", MARK, 0.0, Fate.REDUCED, done=number, latency=latency)
        ledger.note(entry)
    ledger.note(Entry("w.fits", MARK, 0.0, Fate.WAITING, "no flat"))
    ledger.note(Entry("x.fits", MARK, 0.0, Fate.INCOMPLETE, "has 3 bytes"))
    save_glance(ledger, by="events")
    ledger.close()
    assert latencies(ledger) == Latencies(3, 2.0, 9.0, "1.fits", 2.0)
    found = json.loads((tmp_path / "watch.json").read_text())
    assert found == {**json.loads(json.dumps(glance(ledger))), "by": "events"}
    assert found["frames"] == {"waiting": 1, "reduced": 3, "incomplete": 1}
    assert found["waiting"] == {"w.fits": "no flat"}
    assert found["failed"] == {"x.fits": "has 3 bytes"}
    assert found["latency"]["worst_frame"] == "1.fits"
