"""How a run stands is told by its folder alone, whatever has become of it."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mirar_dask.engine.events import Event
from mirar_dask.engine.journal import Journal, read_events
from mirar_dask.monitoring.chain import chain_of
from mirar_dask.monitoring.heartbeat import ALIVE, Sign, beating
from mirar_dask.monitoring.job_file import Job, read_job, write_job
from mirar_dask.monitoring.standing import State, decide, read_standing
from mirar_dask.monitoring.state import fold_all
from mirar_dask.monitoring.status_view import frames_line

JOB = Job(system="slurm", job_id="7")


def sign(**changes: object) -> Sign:
    """Return the sign of a run on another host."""
    values = {
        "run_id": "r", "pid": 1, "host": "elsewhere", "started": "2026-11-25T20:00:00+00:00",
        "process_started": 0.0, "beat": 1000.0,
    }  # fmt: skip
    return Sign(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "state", "words"),
    [
        ({"sign": sign(), "alive": True, "begun": True}, State.RUNNING, "process 1 on elsewhere"),
        ({"sign": sign(), "begun": True}, State.DEAD, "gone, or silent for 60 s"),
        (
            {"sign": sign(), "alive": True, "job": JOB, "told": ("", ""), "begun": True},
            State.DEAD,
            "job 7 of slurm is over",
        ),
        ({"over": True, "begun": True}, State.ENDED, ""),
        ({"begun": True}, State.INTERRUPTED, ""),
        ({}, State.NEVER_BEGAN, "nothing was done"),
        ({"job": Job(system="slurm")}, State.NEVER_BEGAN, "not submitted"),
        ({"job": JOB}, State.QUEUED, "cannot be asked here"),
        ({"job": replace(JOB, ending="cancelled")}, State.NEVER_BEGAN, "cancelled"),
        ({"job": JOB, "told": ("PENDING", "Resources")}, State.QUEUED, "waits for: Resources"),
        ({"job": JOB, "told": ("RUNNING", "None")}, State.STARTING, "job 7 of slurm"),
        ({"job": JOB, "told": ("", "")}, State.NEVER_BEGAN, "see what it printed"),
    ],
)
def test_a_state_follows_from_what_is_known(
    known: dict[str, object], state: State, words: str
) -> None:
    """Sign of life, job, journal and summary decide, in that order."""
    nothing = {"sign": None, "job": None, "told": None, "begun": False, "over": False}
    found, why = decide(**{**nothing, "alive": False, "now": 1060.0, **known})  # type: ignore[arg-type]
    assert found is state
    assert words in why


def test_a_journal_gives_back_the_events_that_it_was_told(
    events: list[Event], tmp_path: Path
) -> None:
    """So that a run can be looked at later, and elsewhere."""
    with Journal(tmp_path / "journal.jsonl") as journal:
        for event in events:
            journal(event)
    assert list(read_events(tmp_path / "journal.jsonl")) == events


def test_lines_of_another_version_are_passed_over(events: list[Event], tmp_path: Path) -> None:
    """An event, or a field, that is not known here costs that much and nothing else."""
    path = tmp_path / "journal.jsonl"
    path.write_text('{"event": "Unheard"}\n{"event": "RunEnded", "seconds": 1.0}\n')
    with Journal(path) as journal:
        journal(events[0])
    entry = json.loads(path.read_text().splitlines()[2]) | {"new": 1}
    path.write_text(path.read_text() + json.dumps(entry) + "\n")
    assert list(read_events(path)) == [events[0]] * 2


def write_run(night: Path, run_id: str, events: list[Event]) -> Path:
    """Make the folder of a run with a journal."""
    folder = night / "runs" / run_id
    folder.mkdir(parents=True, exist_ok=True)
    with Journal(folder / "journal.jsonl") as journal:
        for event in events:
            journal(event)
    return folder


def test_a_run_under_way_says_what_became_of_its_frames_so_far(
    events: list[Event], tmp_path: Path
) -> None:
    """Frames that have not come to an end are unfinished; the counts add up."""
    with beating(tmp_path, "r") as folder:
        write_run(tmp_path, "r", events[:9])
        found = read_standing(folder)
        assert found.state is State.RUNNING
        assert found.sign is not None
        assert (found.sign.pid, found.sign.host) == (os.getpid(), socket.gethostname())
        assert found.frames == {"unfinished": 2, "failed": 1}
        assert frames_line(found) == "3 (2 unfinished, 1 failed)"
        assert [record.names for record in found.failures] == [("b.fits",)]
        assert found.progress == fold_all(events[:9])
        assert found.host == socket.gethostname()


def test_a_run_that_ended_before_its_summary_was_written_has_ended(
    events: list[Event], tmp_path: Path
) -> None:
    """Its journal says so, with its counts."""
    found = read_standing(write_run(tmp_path, "r", events))
    assert found.state is State.ENDED
    assert found.frames == {"succeeded": 1, "succeeded with caveats": 1, "failed": 1}


def test_a_run_without_a_sign_or_an_end_was_interrupted(
    events: list[Event], tmp_path: Path
) -> None:
    """Ctrl-C takes the sign away and writes no end."""
    found = read_standing(write_run(tmp_path, "r", events[:9]))
    assert found.state is State.INTERRUPTED
    assert found.host == socket.gethostname()


def test_a_run_whose_process_is_gone_is_dead(events: list[Event], tmp_path: Path) -> None:
    """Its sign stayed; on this host the process itself is looked for."""
    folder = write_run(tmp_path, "r", events[:9])
    left = sign(host=socket.gethostname(), pid=os.getpid(), beat=time.time())
    values = {name: getattr(left, name) for name in Sign.__dataclass_fields__}
    (folder / ALIVE).write_text(json.dumps(values))  # another process of this number
    assert read_standing(folder).state is State.DEAD


def test_the_queue_system_is_asked_about_a_run_that_has_a_job(tmp_path: Path) -> None:
    """And only then."""
    folder = tmp_path / "runs" / "r"
    folder.mkdir(parents=True)
    asked: list[Job] = []

    def ask(job: Job) -> tuple[str, str]:
        asked.append(job)
        return "PENDING", "Priority"

    assert read_standing(folder, ask).state is State.NEVER_BEGAN
    write_job(folder, JOB)
    assert read_standing(folder, ask).state is State.QUEUED
    assert asked == [JOB]


def test_a_chain_of_runs_is_found_from_each_of_them(tmp_path: Path) -> None:
    """In the order in which they went on with one another, by a job or by hand."""
    a, b, c, other = (tmp_path / "runs" / name for name in ("a", "b", "c", "other"))
    for folder in (a, b, c, other):
        folder.mkdir(parents=True)
    write_job(a, Job(system="slurm"))
    write_job(b, Job(system="slurm", continues="a"))
    (c / "request.json").write_text('{"continues": "b"}')
    assert all(chain_of(folder) == [a, b, c] for folder in (a, b, c))
    assert read_job(other) is None
    assert chain_of(other) == [other]


def test_runs_that_name_each_other_are_no_endless_chain(tmp_path: Path) -> None:
    """Somebody may have copied a folder."""
    a, b = (tmp_path / "runs" / name for name in ("a", "b"))
    for folder, before in ((a, "b"), (b, "a")):
        folder.mkdir(parents=True)
        write_job(folder, Job(system="slurm", continues=before))
    assert {path.name for path in chain_of(a)} == {"a", "b"}
