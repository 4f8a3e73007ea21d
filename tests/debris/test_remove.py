"""What is removed is what was shown, and only while its owner is still dead."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mirar_dask.debris import Debris, night_debris, remove
from mirar_dask.monitoring.heartbeat import ALIVE, beating


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a dead run with a cache."""
    with beating(tmp_path / "n1", "dead") as folder:
        sign = json.loads((folder / ALIVE).read_text())
        (folder / "cache").mkdir()
    (folder / ALIVE).write_text(json.dumps({**sign, "process_started": 1.0}))
    return folder


def debris_of(folder: Path) -> Debris:
    (found,) = night_debris(folder.parent.parent)
    assert isinstance(found, Debris)
    return found


def test_a_folder_that_was_exchanged_meanwhile_stays(folder: Path) -> None:
    """Another folder under the same name was never shown to anybody."""
    found = debris_of(folder)
    (folder / "cache").rename(folder / "was")
    (folder / "cache").mkdir()
    assert remove(found) == "it is no longer what it was"
    assert (folder / "cache").exists()


def test_a_link_on_the_way_is_not_followed(folder: Path, tmp_path: Path) -> None:
    """Whoever can write above may put a link there after we looked."""
    found = debris_of(folder)
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    why = remove(found)
    assert why is not None
    assert "could not be removed" in why
    assert (tmp_path / "moved/cache").exists()


def test_a_run_that_came_to_life_keeps_its_cache(folder: Path) -> None:
    """Its sign is looked at again under the lock by which runs begin."""
    found = debris_of(folder)
    sign = json.loads((folder / ALIVE).read_text())
    with beating(folder.parent.parent / "other", "me") as mine:
        own = json.loads((mine / ALIVE).read_text())
    (folder / ALIVE).write_text(json.dumps({**sign, **own}))
    assert remove(found) == "its run is alive"
    assert (folder / "cache").exists()


def test_what_is_gone_already_is_no_trouble(folder: Path) -> None:
    """Two people may clean at once."""
    found = debris_of(folder)
    (folder / "cache").rmdir()
    assert remove(found) is None


def test_a_sign_that_cannot_be_read_is_of_a_dead_run_when_it_is_old(folder: Path) -> None:
    """Nobody renews it."""
    (folder / ALIVE).write_text("{")
    assert list(night_debris(folder.parent.parent)) == []
    os.utime(folder / ALIVE, (1e9, 1e9))
    assert debris_of(folder).path == folder / "cache"
