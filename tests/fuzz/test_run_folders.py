"""Run folders whose files were altered: each command shows what it can, or says what is wrong."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirar_dask.cli import main
from mirar_dask.engine.memo import MEMO, Memo
from mirar_dask.errors import UsageError
from mirar_dask.life import OWNER, owner_of, sign_folder
from mirar_dask.monitoring.heartbeat import ALIVE, beating, read_sign
from mirar_dask.monitoring.job_file import Job, read_job, write_job
from mirar_dask.resuming import read_request
from mirar_dask.testing import simulate_night

from .junk import EDITS, altered, damaged, json_bytes

FILES = ("summary.json", "plan.json", "request.json", "journal.jsonl", MEMO, ALIVE, "job.json")
LINES = ("journal.jsonl", MEMO)
COMMANDS = (
    *(("status",), ("status", "--json"), ("report",), ("report", "--json", "--tracebacks")),
    *(("report", "--tasks"), ("runs",), ("runs", "--json"), ("clean",), ("clean", "--json")),
)


class Whole(dict[str, bytes]):
    """Files of a whole run by name; hypothesis shows what a test is given."""

    def __repr__(self) -> str:
        return "the files"


def run(*words: object) -> tuple[int, str]:
    """Carry a command out in this process; return its exit code and all that it said."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = main([str(word) for word in words])
    return code, said.getvalue()


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output folder of a night with failures, caveats and a retry in its journal."""
    folder = tmp_path_factory.mktemp("fuzz")
    simulate_night(
        folder / "n1",
        size=32,
        n_bias=3,
        n_dark=0,
        n_flat=3,
        n_science=2,
        filters=("r",),
        bad_files=True,
    )
    words = (
        "run",
        "imager",
        "--raw",
        folder / "n1",
        "--out",
        folder / "out",
        "--cluster",
        "threads",
    )
    assert run(*words)[0] == 1
    return folder / "out"


@pytest.fixture(scope="module")
def run_folder(out: Path) -> Path:
    """Return the folder of its run."""
    (folder,) = (out / "imager/n1/runs").iterdir()
    return folder


@pytest.fixture(scope="module")
def whole(run_folder: Path) -> Whole:
    """Return all files that such a folder may hold, by name."""
    with beating(run_folder / "other", "r1") as beat:
        sign = (beat / ALIVE).read_bytes()
        write_job(beat, Job(system="slurm", job_id="17", continues="r0", driver={"cores": 4}))
        job = (beat / "job.json").read_bytes()
    shutil.rmtree(run_folder / "other")
    found = {
        name: (run_folder / name).read_bytes() for name in FILES if (run_folder / name).exists()
    }
    return Whole(found | {ALIVE: sign, "job.json": job})


@pytest.fixture
def put(run_folder: Path, whole: Whole) -> Iterator[Any]:
    """Return a function that makes the folder whole again but for some files."""

    def make(changed: dict[str, bytes | None]) -> None:
        for name in FILES:
            content = changed.get(name, None if name in (ALIVE, "job.json") else whole[name])
            if content is None:
                (run_folder / name).unlink(missing_ok=True)
            else:
                (run_folder / name).write_bytes(content)

    yield make
    make({})


def altered_file(name: str, content: bytes) -> st.SearchStrategy[bytes]:
    """Draw the content of a file with some of its values exchanged."""
    if name not in LINES:
        return altered(json.loads(content)).map(json_bytes)
    lines = [json.loads(line) for line in content.splitlines()]
    numbers = st.integers(0, len(lines) - 1)

    def with_one(number: int) -> st.SearchStrategy[bytes]:
        return altered(lines[number]).map(
            lambda line: b"\n".join(map(json_bytes, [*lines[:number], line, *lines[number + 1 :]]))
        )

    return numbers.flatmap(with_one)


def check_commands(folder: Path, out: Path, number: int) -> None:
    for words in (COMMANDS[number % len(COMMANDS)], COMMANDS[(number + 3) % len(COMMANDS)]):
        code, said = run(*words, "--out", out)
        assert "this should not have happened" not in said, said[-2000:]
        assert code in (0, 1, 2, 3)
        if "--json" in words and code == 0:
            json.loads(said)
    try:
        read_request(folder)
    except UsageError as error:
        assert str(folder) in str(error) or folder.name in str(error)


@pytest.mark.parametrize("name", FILES)
@given(data=st.data(), number=st.integers(0, 100))
def test_values_of_another_kind_are_passed_over(
    name: str, run_folder: Path, out: Path, whole: Whole, put: Any, data: st.DataObject, number: int
) -> None:
    """JSON that is sound, and says what no version of ours would say."""
    put({name: data.draw(altered_file(name, whole[name]))})
    check_commands(run_folder, out, number)


@given(name=st.sampled_from(FILES), edits=EDITS, number=st.integers(0, 100))
@example(name="journal.jsonl", edits=[(0.5, "put", b"\xff")], number=0)
@example(name="request.json", edits=[(0.0, "put", b"[" * 100_000)], number=0)
def test_files_that_were_damaged_are_passed_over(
    run_folder: Path, out: Path, whole: Whole, put: Any, name: str, edits: Any, number: int
) -> None:
    """Bytes that were exchanged, put in or cut off, as a crash or a bad disk does."""
    put({name: damaged(whole[name], edits)})
    check_commands(run_folder, out, number)


@given(data=st.data())
def test_a_memo_tells_what_can_be_understood(
    run_folder: Path, whole: Whole, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """The rest is done again; no file outside the night is ever named as a master to remove."""
    folder = tmp_path_factory.getbasetemp()
    content = data.draw(
        altered_file(MEMO, whole[MEMO]) | EDITS.map(lambda e: damaged(whole[MEMO], e))
    )
    (folder / "earlier").write_bytes(content)
    night = run_folder.parent.parent
    with Memo(night, folder / "memo", "now", [folder / "earlier"]) as memo:
        for line in whole[MEMO].splitlines():
            for node in memo.recall(json.loads(line).get("key", "")):
                assert node.key
        for path in memo.altered_masters():
            assert path.resolve().is_relative_to(night)
    (folder / "memo").unlink()


def test_a_memo_from_elsewhere_names_no_file_to_remove(run_folder: Path, tmp_path: Path) -> None:
    """Only masters of the night itself are made anew, and removed before."""
    precious = tmp_path / "precious"
    precious.touch()
    lines = [{"master": [name, 1, 2, 3]} for name in (str(precious), "../" * 20 + str(precious))]
    (tmp_path / "earlier").write_bytes(b"\n".join(map(json_bytes, lines)))
    with Memo(run_folder.parent.parent, tmp_path / "memo", "now", [tmp_path / "earlier"]) as memo:
        assert memo.altered_masters() == []


@given(data=st.data())
def test_signs_of_life_are_read_or_passed_over(
    tmp_path_factory: pytest.TempPathFactory, whole: Whole, data: st.DataObject
) -> None:
    """So are the descriptions of jobs, and of the owners of folders."""
    folder = tmp_path_factory.getbasetemp()
    sign_folder(folder)
    for name, read in ((ALIVE, read_sign), ("job.json", read_job), (OWNER, owner_of)):
        content = whole[name] if name in whole else (folder / name).read_bytes()
        (folder / name).write_bytes(data.draw(altered_file(name, content)))
        found = read(folder)
        if name == ALIVE and found is not None:
            assert found.alive() in (True, False)  # type: ignore[union-attr]
        if name == OWNER and found is not None:
            assert found.lives() in (True, False, None)  # type: ignore[union-attr]
        (folder / name).unlink()


FOUND = {
    "a step without a name": ("plan.json", b'{"frames": 1, "steps": [{"form": "source"}]}'),
    "no list of steps": ("plan.json", b'{"steps": 7, "batches": {"a": 1}}'),
    "a time beyond all": ("journal.jsonl", b'{"event": "RunEnded", "counts": {}, "time": 1e300}'),
    "a time that is no number": ("alive.json", b'{"beat": NaN}'),
    "nested without end": ("request.json", b"[" * 100_000),
}
"""Cases that fuzzing found: the file, and what was in it."""


@pytest.mark.parametrize("case", FOUND)
def test_what_was_found_stays_mended(case: str, run_folder: Path, out: Path, put: Any) -> None:
    """Each command, on each of them."""
    name, content = FOUND[case]
    put({name: content})
    for number in range(len(COMMANDS)):
        check_commands(run_folder, out, number)
