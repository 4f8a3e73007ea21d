"""Which jobs are over, how many workers there should be, what a queue system's words mean."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mirar_dask.cluster.keeper import (
    FRUITLESS,
    GRACE_SECONDS,
    JobState,
    Watch,
    job_of_worker,
    wanted,
)
from mirar_dask.cluster.queues import HOPELESS, read_squeue, refusal

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
