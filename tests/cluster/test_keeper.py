"""Which jobs are over, how many workers there should be, what a queue system's words mean."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mirar_dask.cluster.keeper import (
    FRUITLESS,
    GRACE_SECONDS,
    Watch,
    job_of_worker,
    wanted,
)
from mirar_dask.cluster.prospects import Prospects, refusal
from mirar_dask.cluster.squeue import HOPELESS, JobState, read_squeue

RUNNING, PENDING = JobState("RUNNING"), JobState("PENDING", "Resources")


def test_a_job_that_waits_in_the_queue_is_left_alone() -> None:
    """However long, and whether or not the queue system can be asked."""
    watch = Watch()
    assert watch.ended(0, {"m-0": "1"}, [], {"1": PENDING}) == []
    assert watch.ended(1e6, {"m-0": "1"}, [], None) == []


def test_a_job_whose_worker_is_gone_for_long_is_over() -> None:
    """A worker that ran out of memory is back before that."""
    watch = Watch()
    watch.ended(0, {"m-0": "1"}, ["m-0"], None)
    assert watch.ended(GRACE_SECONDS - 1, {"m-0": "1"}, [], {"1": RUNNING}) == []
    assert watch.ended(GRACE_SECONDS + 1, {"m-0": "1"}, [], {"1": RUNNING}) == ["m-0"]


def test_a_job_that_the_queue_system_has_forgotten_is_over_at_once() -> None:
    """It was cancelled, or ended by itself before its walltime."""
    watch = Watch()
    watch.ended(0, {"m-0": "1", "m-1": "2"}, ["m-0", "m-1"], None)
    assert watch.ended(1, {"m-0": "1", "m-1": "2"}, ["m-1"], {"2": RUNNING}) == ["m-0"]


def test_a_job_that_was_put_back_into_the_queue_is_over() -> None:
    """Its node went down: it would begin anew minutes later."""
    watch = Watch()
    watch.ended(0, {"m-0": "1"}, ["m-0"], None)
    assert watch.ended(1, {"m-0": "1"}, [], {"1": PENDING}) == ["m-0"]


def test_a_worker_that_was_there_for_a_moment_is_remembered() -> None:
    """Its job was put back into the queue before anybody looked at the workers."""
    watch = Watch()
    watch.arrived("m-0", 0.0)
    assert watch.ended(1, {"m-0": "1"}, [], {"1": PENDING}) == ["m-0"]


def test_while_the_queue_system_is_silent_workers_decide() -> None:
    """Nothing is replaced because its controller is away for a moment."""
    watch = Watch()
    watch.ended(0, {"m-0": "1"}, ["m-0"], None)
    assert watch.ended(5, {"m-0": "1"}, [], None) == []


def test_jobs_that_never_give_a_worker_are_counted() -> None:
    """One that does gives new hope."""
    watch = Watch()
    for number in range(FRUITLESS):
        assert watch.ended(number, {f"m-{number}": "1"}, [], {}) == [f"m-{number}"]
    assert watch.fruitless == FRUITLESS
    watch.ended(9, {"m-9": "2"}, ["m-9"], None)
    assert watch.fruitless == 0


def test_a_job_that_was_refused_is_submitted_again() -> None:
    """That is no job without fruit."""
    watch = Watch()
    assert watch.ended(0, {"m-0": None}, [], None) == ["m-0"]
    assert watch.fruitless == 0


@pytest.mark.parametrize(
    ("worker", "job"), [("mirar-3", "mirar-3"), ("mirar-3-0", "mirar-3"), ("mirar-3-11", "mirar-3")]
)
def test_a_worker_bears_the_name_of_its_job(worker: str, job: str) -> None:
    """With a number behind it where the job has several."""
    assert job_of_worker(SimpleNamespace(name=worker)) == job


def test_workers_are_doubled_while_more_work_waits_than_they_have_hands() -> None:
    """And as many as have something to do are kept."""
    assert [wanted(n, n, 2 * n) for n in (1, 2, 4)] == [2, 4, 8]
    assert wanted(8, 8, 5) == 5
    assert wanted(0, 0, 2) == 1


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("sbatch: error: Batch job submission failed: Invalid partition name specified", "--queue"),
        ("sbatch: error: Batch job submission failed: Invalid account or account/partition "
         "combination specified", "check --"),
        ("sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or "
         "exceeds some limit)", "shorter --walltime"),
        ("sbatch: error: Memory specification can not be satisfied", "less --memory"),
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect "
         "failure)", "see whether the queue system is up"),
        ("qsub: Unknown queue", "--queue"),
        ("something nobody foresaw", "prints the job's script"),
    ],
)  # fmt: skip
def test_a_refusal_is_one_sentence_with_a_remedy(words: str, remedy: str) -> None:
    """From what the queue system's command prints."""
    message = (
        f"Command exited with non-zero exit code.\nExit code: 1\nstdout:\n\nstderr:\n{words}\n"
    )
    said = refusal(message, "slurm")
    assert "\n" not in said
    assert remedy in said


def test_squeue_is_read_with_its_reasons() -> None:
    """What is ending counts as ended."""
    found = read_squeue("7|PENDING|PartitionTimeLimit\n8|COMPLETING|None\n9|RUNNING|None\n")
    assert found == {
        "7": JobState("PENDING", "PartitionTimeLimit"),
        "9": JobState("RUNNING", "None"),
    }
    assert HOPELESS.search(found["7"].reason)
    assert not HOPELESS.search("Resources")


def prospects(
    jobs: dict[str, str | None],
    states: dict[str, JobState],
    logs: Path,
    *,
    fruitless: int = 0,
    silence: float = 0.0,
    refused: tuple[str, ...] = (),
) -> Prospects:
    """Return the judge of jobs of which this is known."""
    watch = Watch(fruitless=fruitless)
    keeper: Any = SimpleNamespace(jobs=jobs, states=states, watch=watch, silence=silence)
    return Prospects("slurm", keeper, list(refused), logs)


def test_jobs_in_the_queue_are_waited_for(tmp_path: Path) -> None:
    """However long the queue is; the reason says what for."""
    found = prospects({"m-0": "1", "m-1": "2"}, {"1": PENDING, "2": PENDING}, tmp_path)()
    assert found.coming
    assert "2 jobs have not given a worker yet (2 pending: Resources)" in found.reason


def test_jobs_that_end_without_a_worker_leave_no_hope(tmp_path: Path) -> None:
    """Also where another one waits; the last words of one are told."""
    (tmp_path / "job.err").write_text("ModuleNotFoundError: distributed\n")
    found = prospects({"m-0": "1"}, {"1": PENDING}, tmp_path, fruitless=FRUITLESS)()
    assert found.over
    assert "3 jobs ended before they gave a worker" in found.reason
    assert "ModuleNotFoundError" in found.reason


def test_a_job_that_could_never_start_leaves_no_hope(tmp_path: Path) -> None:
    """Unless another one can."""
    never = JobState("PENDING", "PartitionTimeLimit")
    assert prospects({"m-0": "1"}, {"1": never}, tmp_path)().over
    assert prospects({"m-0": "1", "m-1": "2"}, {"1": never, "2": PENDING}, tmp_path)().coming


def test_a_queue_system_that_gives_no_answer_is_not_waited_for_without_end(tmp_path: Path) -> None:
    """Neither for ever nor not at all: the run has its own patience then."""
    found = prospects({"m-0": "1"}, {}, tmp_path, silence=61.0)()
    assert not (found.coming or found.over)
    assert "gives no answer" in found.reason


def test_jobs_that_are_refused_are_no_reason_to_wait(tmp_path: Path) -> None:
    """The reason is what the queue system said."""
    refused = ("stderr:\nsbatch: error: Batch job submission failed: Invalid account",)
    found = prospects({"m-0": None}, {}, tmp_path, refused=refused)()
    assert not (found.coming or found.over)
    assert "check --project" in found.reason


def test_a_good_node_does_not_hide_a_bad_one() -> None:
    """Jobs that end at once on the one are counted while a worker is busy on the other."""
    watch = Watch()
    watch.ended(0, {"m-0": "1"}, ["m-0"], None)
    for number in range(1, FRUITLESS + 1):
        jobs = {"m-0": "1", f"m-{number}": "2"}
        assert watch.ended(number, jobs, ["m-0"], {"1": RUNNING}) == [f"m-{number}"]
    assert watch.fruitless == FRUITLESS
