"""The journal holds every event of a run, whatever becomes of the run."""

from __future__ import annotations

from pathlib import Path

from mirar_dask.data import Dataset
from mirar_dask.engine import SerialEngine
from mirar_dask.engine.events import TaskFinished
from mirar_dask.engine.journal import Journal, read_journal
from mirar_dask.testing.engine_contract import configured, reduction, settings_for
from mirar_dask.testing.faults import FailsOnImage


def test_every_event_is_a_line(raw: Path, tmp_path: Path) -> None:
    """Start, tasks, records with their tracebacks, end."""
    bad = sorted(p.name for p in raw.glob("*FIELD*"))[0]
    steps = configured([*reduction()[:2], FailsOnImage(bad), *reduction()[2:]])
    with Journal(tmp_path / "journal.jsonl") as journal:
        settings = settings_for(raw, tmp_path, listeners=(journal,))
        SerialEngine().run(steps, Dataset(), settings)
    events = list(read_journal(tmp_path / "journal.jsonl"))
    assert events[0]["event"] == "RunStarted"
    assert events[-1]["event"] == "RunEnded"
    failed = [e["record"] for e in events if e["event"] == "RecordAdded" and e["record"]["report"]]
    assert [record["names"] for record in failed] == [[bad]]
    assert "ValueError" in failed[0]["report"]["traceback"]


def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    """What a killed driver leaves can still be read."""
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal(TaskFinished("a", 1, 0, ("x.fits",), "w", 1.0, (("a", float("nan"), 1),), 2.0))
    with path.open("a") as file:
        file.write('{"event": "TaskFin')
    (event,) = read_journal(path)
    assert event["names"] == ["x.fits"]
    assert event["times"] == [["a", None, 1]]
