"""`mirar-dask clean` removes what killed runs left, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirar_dask.data.cache import new_name
from mirar_dask.life import OWNER, sign_folder
from mirar_dask.monitoring.heartbeat import ALIVE, beating

KEY = "0123456789ab"


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give temporary space and home of our own, for this process and those that it starts."""
    # Not below tmp_path: the path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="c-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        yield Path(folder)


def dead_run(night: Path, run: str = "20260101T000000-dead", *, ago: float = 100.0) -> Path:
    """Make the folder of a run on another host that has not been heard of since."""
    with beating(night, run) as folder:
        sign = json.loads((folder / ALIVE).read_text())
        (folder / "cache").mkdir()
        (folder / "cache" / new_name(KEY)).write_bytes(b"pixels")
        (folder / "request.json").write_text(json.dumps({"format": 1, "cache": "on"}))
    sign |= {"host": "elsewhere", "kernel": "another", "beat": time.time() - ago}
    (folder / ALIVE).write_text(json.dumps(sign))
    return folder


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are told from /proc")
@pytest.mark.parametrize("elsewhere", [False, True], ids=["cache in the run", "cache elsewhere"])
def test_what_a_killed_driver_left_is_found_and_removed(
    command, slow_run, night: Path, tmp_path: Path, space: Path, elsewhere: bool
) -> None:
    """Cache, temporary space and half-written files go; journal, request and log stay."""
    fast = tmp_path / "fast"
    fast.mkdir()
    more = ["--cache", str(fast)] if elsewhere else []
    with slow_run(night, tmp_path, "local", *more) as process:
        before = command("clean", "--out", tmp_path / "out", "--yes")
        assert before.code == 0
        assert before.out.startswith("no dead run left anything")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        (run,) = (tmp_path / "out/slow/n1/runs").iterdir()
        half = tmp_path / "out/slow/n1/.tmp-0123456789ab-frame.fits"
        half.write_bytes(b"half")
    deadline = time.monotonic() + 30
    while True:  # workers end by themselves, and hold what is theirs until then
        shown = json.loads(command("clean", "--out", tmp_path / "out", "--json").out)
        kinds = sorted({one["kind"] for one in shown["found"]})
        if "scratch of Dask" in kinds or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert {"cache", "half-written file", "scratch of Dask", "sockets"} <= set(kinds)
    assert half.exists()
    said = command("clean", "--out", tmp_path / "out", "--yes")
    assert said.code == 0, said
    assert "killed on" in said.out
    assert run.name in said.out
    assert "removed" in said.out
    assert files(run) == {
        ALIVE,
        "journal.jsonl",
        "log.txt",
        "memo.jsonl",
        "plan.json",
        "request.json",
    }
    assert not half.exists()
    assert not files(fast)
    # Dask keeps two locks for good.
    assert files(space) <= {f"dask-scratch-space/{name}.lock" for name in ("global", "purge")}
    assert command("status", "--out", tmp_path / "out").code == 0


def test_nothing_is_removed_unless_one_says_so(command, tmp_path: Path, space: Path) -> None:
    """Without a terminal to ask at, and without --yes, it only shows."""
    folder = dead_run(tmp_path / "out/imager/n1")
    for words in ((), ("--json",)):
        before = files(tmp_path)
        said = command("clean", "--out", tmp_path / "out", *words)
        assert said.code == 0
        assert str(folder / "cache") in said.out
        assert files(tmp_path) == before


def test_a_run_on_another_host_is_judged_by_its_heartbeat(
    command, tmp_path: Path, space: Path
) -> None:
    """Heard of within the minute it lives, else it is dead; its name and host are shown."""
    dead = dead_run(tmp_path / "out/imager/n1", ago=100.0)
    alive = dead_run(tmp_path / "out/imager/n2", ago=20.0)
    half = alive.parent.parent / ".tmp-0123456789ab-frame.fits"
    half.touch()
    said = command("clean", "--out", tmp_path / "out", "--yes")
    assert "killed on elsewhere" in said.out
    assert not (dead / "cache").exists()
    assert (alive / "cache").exists()
    assert half.exists()


def test_files_of_a_night_go_only_if_a_dead_run_can_have_written_them(
    command, tmp_path: Path, space: Path
) -> None:
    """What a notebook of today is writing beside a run that died an hour ago is not touched."""
    night = tmp_path / "out/imager/n1"
    folder = dead_run(night, ago=3600.0)
    os.utime(folder / "request.json", (time.time() - 4000, time.time() - 4000))
    (night / "reduced").mkdir()
    product = night / "reduced/a.fits"
    old, new = (night / f"reduced/.tmp-{n * 12}-a.fits" for n in "ab")
    odd = night / "reduced/.tmp-mine"
    for path in (product, old, new, odd):
        path.write_bytes(b"x")
    for path in (product, old, odd):
        os.utime(path, (time.time() - 3700, time.time() - 3700))
    command("clean", "--out", tmp_path / "out", "--yes")
    assert not old.exists()
    assert new.exists()
    assert odd.exists()
    assert product.exists()


def test_while_a_run_is_at_work_half_written_files_of_its_night_stay(
    command, tmp_path: Path, space: Path
) -> None:
    """Nobody can tell whose they are."""
    night = tmp_path / "out/imager/n1"
    dead_run(night)
    half = night / ".tmp-0123456789ab-frame.fits"
    half.touch()
    with beating(night, "20260102T000000-live") as folder:
        (folder / "cache").mkdir()
        (folder / "cache" / new_name(KEY)).touch()
        command("clean", "--out", tmp_path / "out", "--yes")
        assert half.exists()
        assert len(files(folder / "cache")) == 1


def test_links_lead_nowhere(command, tmp_path: Path, space: Path) -> None:
    """A link in place of a cache is removed itself; what it names stays."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / new_name(KEY)).touch()
    folder = dead_run(tmp_path / "out/imager/n1")
    (folder / "cache").rename(folder / "was")
    (folder / "cache").symlink_to(precious)
    (folder / "tls").mkdir()
    (folder / "tls" / "inside").symlink_to(precious)
    said = command("clean", "--out", tmp_path / "out", "--yes")
    assert said.code == 0, said
    assert len(files(precious)) == 1
    assert not (folder / "tls").exists()


@pytest.mark.parametrize("owner", [None, "another run"])
def test_a_request_cannot_name_a_folder_that_is_no_cache_of_its_run(
    command, tmp_path: Path, space: Path, owner: str | None
) -> None:
    """Output that came from somebody else may say anything: the cache must say it too."""
    folder = dead_run(tmp_path / "out/imager/n1")
    named = tmp_path / "documents" / folder.name
    named.mkdir(parents=True)
    (named / "thesis.tex").write_text("...")
    if owner:
        sign_folder(named, owner)
    (folder / "request.json").write_text(json.dumps({"cache": str(named.parent)}))
    said = command("clean", "--out", tmp_path / "out", "--yes")
    assert "not touched" in said.out
    sign_folder(named, folder.name)
    said = command("clean", "--out", tmp_path / "out", "--yes")
    assert "it holds what is not of a cache ('thesis.tex')" in said.out
    assert (named / "thesis.tex").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_files_of_another_user_are_not_touched(command, tmp_path: Path, space: Path) -> None:
    """Also not by root, who could; what is in the way is named."""
    whole = dead_run(tmp_path / "out/imager/n1")
    os.chown(whole, 12345, 12345)
    part = dead_run(tmp_path / "out/imager/n2")
    (theirs,) = (part / "cache").iterdir()
    os.chown(theirs, 12345, 12345)
    cache = space / "mirar_dask-abcdefgh"
    cache.mkdir()
    sign_folder(cache)
    edit = json.loads((cache / OWNER).read_text())
    (cache / OWNER).write_text(json.dumps({**edit, "started": 1.0}))
    os.chown(cache, 12345, 12345)
    before = files(tmp_path)
    said = command("clean", "--out", tmp_path / "out", "--yes")
    assert files(tmp_path) == before
    assert f"not touched: {whole}: the run is another user's" in said.out
    assert f"not touched: {part / 'cache'}: {theirs} belongs to user 12345" in said.out


def test_json_says_what_was_found_and_removed(command, tmp_path: Path, space: Path) -> None:
    """For machines: path, kind, whose, size, and whether it is gone."""
    folder = dead_run(tmp_path / "out/imager/n1")
    said = json.loads(command("clean", "--out", tmp_path / "out", "--json", "--yes").out)
    (one,) = said["found"]
    assert one["path"] == str(folder / "cache")
    assert (one["kind"], one["files"], one["bytes"], one["removed"]) == ("cache", 1, 6, True)
    assert said["not_touched"] == []
    assert not (folder / "cache").exists()


def test_a_folder_given_to_cache_is_looked_at_when_named(
    command, tmp_path: Path, space: Path
) -> None:
    """The run's own folder may be gone: the cache says whose it was."""
    cache = tmp_path / "fast/20260101T000000-gone"
    cache.mkdir(parents=True)
    (cache / new_name(KEY)).write_bytes(b"pixels")
    sign_folder(cache, cache.name)
    assert "no dead run" in command("clean", "--out", tmp_path, "--cache", cache.parent).out
    edit = json.loads((cache / OWNER).read_text())
    (cache / OWNER).write_text(json.dumps({**edit, "started": 1.0}))
    said = command("clean", "--out", tmp_path, "--cache", cache.parent, "--yes")
    assert f"run {cache.name}, process {os.getpid()} on" in said.out
    assert not cache.exists()
