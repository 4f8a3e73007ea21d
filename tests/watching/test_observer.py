"""A real folder is watched, with events and without."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.errors import UsageError
from mirar_dask.watching.observer import Observer, choose_means, examine, file_system
from mirar_dask.watching.sightings import Arrival, Gone, Incomplete, News, Sightings

PATIENCE = 20.0


def frame(path: Path) -> bytes:
    fits.PrimaryHDU(np.zeros((40, 40), np.int16)).writeto(path)
    return path.read_bytes()


def next_news(observer: Observer) -> News:
    (news,) = observer.news.get(timeout=PATIENCE)
    return news


def watch(folder: Path, means: str, **limits: float) -> Observer:
    sightings = Sightings(examine(folder), **{"stable": 0.2, "give_up": 0.6, **limits})
    return Observer(folder, sightings, means, 0.2)  # type: ignore[arg-type]


@pytest.mark.parametrize("means", ["events", "polling"])
def test_frames_are_told_of_however_they_come(tmp_path: Path, means: str):
    """There before, written slowly, renamed, linked; not hidden files, folders or pipes."""
    folder = tmp_path / "n1"
    folder.mkdir()
    whole = frame(folder / "before.fits")
    os.mkfifo(folder / "pipe.fits")
    (folder / "folder.fits").mkdir()
    (folder / "dangling.fits").symlink_to(tmp_path / "nowhere")
    with watch(folder, means) as observer:
        assert next_news(observer).name == "before.fits"
        with (folder / "slow.fits").open("wb", buffering=0) as file:
            for start in range(0, len(whole), 2000):
                file.write(whole[start : start + 2000])
                time.sleep(0.05)
                assert observer.news.empty()
        news = next_news(observer)
        assert isinstance(news, Arrival)
        assert (news.name, news.mark.size) == ("slow.fits", len(whole))
        assert abs(time.time() - news.arrived) < PATIENCE
        (folder / ".copying.fits").write_bytes(whole)
        (folder / ".copying.fits").rename(folder / "renamed.fits")
        assert next_news(observer).name == "renamed.fits"
        (folder / "slow.fits").unlink()
        assert next_news(observer) == Gone("slow.fits")
        (folder / "cut.fits").write_bytes(whole[:3000])
        news = next_news(observer)
        assert isinstance(news, Incomplete)
        assert "is truncated: it has 3000 bytes" in news.reason
        assert observer.quiet


def test_a_folder_may_come_and_go(tmp_path: Path):
    """It is made when the night begins; one that is away for a while is seen again."""
    folder = tmp_path / "later"
    with watch(folder, "events") as observer:
        assert observer.looked.wait(PATIENCE)
        folder.mkdir()
        frame(folder / "a.fits")
        observer._hints.wake.set()
        assert next_news(observer).name == "a.fits"
        folder.rename(tmp_path / "away")
        observer._hints.wake.set()
        assert next_news(observer) == Gone("a.fits")


def test_polling_is_chosen_where_no_event_would_come(tmp_path: Path):
    """On network file systems, by the table of mounts."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"30 22 0:40 / {tmp_path}/with\\040space rw - nfs4 server:/raw rw\n"
    )
    assert file_system(tmp_path / "local", mounts) == "ext4"
    (tmp_path / "with space").mkdir()
    assert file_system(tmp_path / "with space" / "n1", mounts) == "nfs4"
    assert choose_means(tmp_path, "polling") == ("polling", "as asked for")
    assert choose_means(tmp_path, "auto")[0] == "events"


def test_events_that_cannot_be_had_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With what to install; by default polling does."""
    monkeypatch.setitem(__import__("sys").modules, "watchdog.observers", None)
    with pytest.raises(UsageError, match=r"pip install 'mirar-dask\[watch\]'|mirar-dask\[watch\]"):
        choose_means(tmp_path, "events")
    assert choose_means(tmp_path, "auto") == ("polling", "watchdog is not installed")
