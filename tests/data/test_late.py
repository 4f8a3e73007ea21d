"""Files that another host has made are waited for, and no others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.data import CacheError, Image
from mirar_dask.data.cache import CachePlace, new_key, use_place
from mirar_dask.data.late import is_listed
from mirar_dask.errors import FileChangedError
from mirar_dask.io import open_lazy, saved_pixels

PIXELS = np.arange(12, dtype=np.float32).reshape(3, 4)
LATE = 0.4


@pytest.fixture
def run_folder(tmp_path: Path) -> Iterator[Path]:
    """Be in a task of a run that waits three seconds for files of other hosts."""
    folder = tmp_path / "cache"
    folder.mkdir()
    with use_place(CachePlace(folder, new_key(), patience=3.0)):
        yield folder


@pytest.fixture
def hide(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Return a function that takes a file away, which is back a moment later."""
    timers: list[threading.Timer] = []

    def away(path: Path) -> None:
        aside = tmp_path / f"aside-{path.name}"
        path.rename(aside)
        timers.append(threading.Timer(LATE, aside.rename, [path]))
        timers[-1].start()

    yield away
    for timer in timers:
        timer.join()


def image() -> Image:
    """Return an image whose pixels are in the cache."""
    return Image(PIXELS, fits.Header({"RAWPATH": "a.fits", "BASENAME": "a.fits"}))


def saved(path: Path) -> Path:
    fits.PrimaryHDU(PIXELS).writeto(path)
    return path


def test_a_generation_of_another_host_is_waited_for(run_folder: Path, hide) -> None:
    """Read whole, by rows and by a map."""
    handle = image().handle()
    for read in (Image.get_data, Image.view_data, lambda each: each.read_rows(0, None)):
        hide(handle.pixels.path)
        began = time.monotonic()
        assert (read(handle.open()) == PIXELS).all()
        assert time.monotonic() - began >= LATE / 2


def test_a_product_of_another_host_is_waited_for(run_folder: Path, hide, tmp_path: Path) -> None:
    """A master, say, whose pixels are read from its file."""
    pixels = saved_pixels(saved(tmp_path / "master.fits"))
    hide(tmp_path / "master.fits")
    assert (pixels.read() == PIXELS).all()
    hide(tmp_path / "master.fits")
    pixels.check()


def test_a_raw_frame_that_is_gone_is_not_waited_for(run_folder: Path, tmp_path: Path) -> None:
    """It was there before the run: somebody took it away."""
    pixels, _ = open_lazy(saved(tmp_path / "raw.fits"))
    (tmp_path / "raw.fits").unlink()
    began = time.monotonic()
    with pytest.raises(FileChangedError, match=r"raw\.fits is gone since its header was read"):
        pixels.read()
    assert time.monotonic() - began < 1


def test_a_file_that_never_comes_is_named_with_the_host(tmp_path: Path) -> None:
    """And with the remedy, when the time is over."""
    with use_place(CachePlace(tmp_path, new_key(), patience=0.5)):
        handle = image().handle()
        product = saved_pixels(saved(tmp_path / "master.fits"))
        handle.pixels.path.unlink()
        product.path.unlink()
        with pytest.raises(CacheError, match=r"\.npy is not there on .* after 0 s.*--cache DIR"):
            handle.open().get_data()
        with pytest.raises(FileChangedError, match=r"this run has made, .* is not shared"):
            product.read()


def test_on_one_machine_nothing_is_waited_for(tmp_path: Path) -> None:
    """A file that is not there was removed."""
    with use_place(CachePlace(tmp_path, new_key())):
        handle = image().handle()
        handle.pixels.path.unlink()
        began = time.monotonic()
        with pytest.raises(CacheError):
            handle.open().get_data()
        assert time.monotonic() - began < 0.3


def test_a_folder_is_listed_where_a_file_may_not_be_asked_for(tmp_path: Path) -> None:
    """A folder that is not there holds nothing."""
    (tmp_path / "here").touch()
    assert is_listed(tmp_path / "here")
    assert not is_listed(tmp_path / "there")
    assert not is_listed(tmp_path / "no-folder" / "there")
