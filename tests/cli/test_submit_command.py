"""`submit` as far as it goes without a queue system: the script, and what is refused."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mirar_dask.cli.run import run
from mirar_dask.cli.words import command_words


def last_line(text: str) -> list[str]:
    """Return the words of the command that a script ends with."""
    return shlex.split(text.splitlines()[-1])


def test_a_dry_run_prints_the_script_and_writes_nothing(
    command, night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its command is that of `run`, with whole paths and the workers that fit the job."""
    monkeypatch.chdir(night.parent)
    words = ["--raw", night.name, "--out", tmp_path / "out", "--set", "flat.missing=skip"]
    said = command("submit", "imager", *words, "--driver-memory", "5GB", "--dry-run")
    assert said.code == 0, said.err
    assert "#SBATCH --cpus-per-task=2" in said.out
    found = last_line(said.out)
    assert found[2:6] == ["-m", "mirar_dask", "run", "imager"]
    options = ["--raw", str(night), "--out", str(tmp_path / "out"), "--set", "flat.missing=skip"]
    assert found[6:] == [*options, "--workers", "2", "--memory", "2000000000"]
    assert not (tmp_path / "out").exists()


def test_a_script_is_written_for_other_queue_systems(command, night: Path, tmp_path: Path) -> None:
    """With the word that we do not run it, and the command that submits it."""
    words = ["--raw", night, "--out", tmp_path / "out", "--queue-system", "pbs"]
    said = command("submit", "imager", *words, "--script", tmp_path / "job.sh")
    assert (said.code, said.out) == (0, f"not submitted: qsub {tmp_path / 'job.sh'}\n")
    assert "#PBS -l select=1:ncpus=4" in (tmp_path / "job.sh").read_text()
    assert "Not run by us" in (tmp_path / "job.sh").read_text()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--raw", "{tmp}/gone"], "there is no folder {tmp}/gone"),
        (["--driver-memory", "much"], "--driver-memory much: expected a size"),
        (["--driver-walltime", "7"], "--driver-walltime 7: expected a time"),
        (["--driver-memory", "1GB"], "1 worker and the driver do not fit the job's 1.0 GB"),
        (["--workers", "3", "--memory", "2GB", "--driver-memory", "3GB"], "do not fit"),
        (["--cluster", "slurm-runner"], "give --workers N"),
        (["--queue-system", "htcondor"], "there are slurm, pbs"),
        ([], "there is no 'sbatch' here"),
    ],
)
def test_a_wrong_submission_is_answered_by_one_sentence_with_the_remedy(
    command, night: Path, tmp_path: Path, monkeypatch, words: list[str], answer: str
) -> None:
    """Exit code 2; nothing is written."""
    monkeypatch.setenv("PATH", "/nowhere")
    words = [word.format(tmp=tmp_path) for word in words]
    raw = [] if "--raw" in words else ["--raw", night]
    said = command("submit", "imager", *raw, "--out", tmp_path / "out", *words)
    assert said.code == 2, said.err
    assert answer.format(tmp=tmp_path) in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_words_of_a_command_give_it_the_same_values(tmp_path: Path, monkeypatch) -> None:
    """Whatever the kind of option; what is as by default is not said."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scheduler.json").touch()
    said = [
        *("mine.py:Mine", "--raw", "/raw", "-c", "a,b", "--set", "x.y=1", "--set", "x.z=a b"),
        *("--cluster", "scheduler.json", "--no-tls", "--no-memory-check", "--fail-fast"),
        *("--prologue", "module load x", "--cache", "off", "--workers", "3"),
    ]
    values = run.make_context("run", said).params
    words = command_words(run, values)
    assert words[:2] == ["run", f"{tmp_path}/mine.py:Mine"]
    again = run.make_context("run", words[1:]).params
    expected = {"pipeline": words[1], "cluster": str(tmp_path / "scheduler.json")}
    assert again == {**values, **expected}
    assert "--night" not in words
    assert command_words(run, run.make_context("run", ["imager"]).params) == ["run", "imager"]
