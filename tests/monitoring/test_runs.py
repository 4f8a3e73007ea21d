"""Runs are found by name, by the beginning of one, by path, or as the last one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirar_dask.errors import UsageError
from mirar_dask.monitoring.runs import find_run, run_folders

NAMES = ("20260101T000000-aaaa", "20260102T000000-bbbb", "20260102T000000-cccc")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return an output folder with three runs of two nights."""
    for name, night in zip(NAMES, ("n1", "n1", "n2"), strict=True):
        (tmp_path / "imager" / night / "runs" / name).mkdir(parents=True)
    (tmp_path / "imager" / "n1" / "runs" / ".lock").touch()
    (tmp_path / "imager" / "n1" / "reduced").mkdir()
    return tmp_path


def test_runs_are_listed_newest_first(out: Path) -> None:
    """Of an output folder, a pipeline, or a night."""
    assert [path.name for path in run_folders(out)] == [NAMES[2], NAMES[1], NAMES[0]]
    assert [path.name for path in run_folders(out / "imager")] == [NAMES[2], NAMES[1], NAMES[0]]
    assert [path.name for path in run_folders(out / "imager/n1")] == [NAMES[1], NAMES[0]]


@pytest.mark.parametrize(
    ("name", "found"),
    [("last", 2), (NAMES[1], 1), ("20260101", 0), ("20260102T000000-b", 1)],
)
def test_a_run_is_found_by_what_names_one(out: Path, name: str, found: int) -> None:
    """The whole name, enough of its beginning, or the word for the newest."""
    assert find_run(name, out).name == NAMES[found]


def test_a_path_names_a_run_wherever_it_is(out: Path, tmp_path_factory) -> None:
    """The output folder does not matter then."""
    folder = out / "imager" / "n1" / "runs" / NAMES[0]
    assert find_run(f"{folder}/", tmp_path_factory.mktemp("other")) == folder


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("2027", "there is no run '2027' in .*'mirar-dask runs'"),
        ("20260102", "2 runs in .* begin with '20260102'"),
        ("imager/n1", "is not the folder of a run"),
    ],
)
def test_what_names_no_run_or_several_is_refused(out: Path, name: str, words: str) -> None:
    """With what to do."""
    with pytest.raises(UsageError, match=words):
        find_run(name, out)


def test_a_folder_without_runs_says_so(tmp_path: Path) -> None:
    """And how another one is named."""
    with pytest.raises(UsageError, match=r"there is no run in .*--out"):
        find_run("last", tmp_path)
