"""Nights that are played to a watcher, and what a batch run makes of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits

from mirar_dask.config import NightSettings
from mirar_dask.processors.utils.simulate_realtime import play_night
from mirar_dask.run import reduce_night
from mirar_dask.testing import simulate_night
from mirar_dask.watching import WatchOptions

QUICK = WatchOptions(
    stable=0.1,
    interval=0.1,
    incomplete_after=0.5,
    calibrations_after=0.5,
    dithers_after=1.0,
    quiet_after=2.0,
)


def settings(raw: Path, out: Path, **more: Any) -> NightSettings:
    """Ask for a night to be reduced by two threads of this process."""
    return NightSettings(raw=raw, out=out, cluster="threads", workers=2, **more)


def number_dithers(folder: Path, size: int) -> None:
    """Let the headers of science frames say that so many in a row are one set of dithers."""
    for path in sorted(folder.glob("FIELD*.fits")):
        number = int(path.stem.rpartition("_")[2]) - 1
        fits.setval(path, "DITHNUM", value=number % size + 1)
        fits.setval(path, "NUMDITHS", value=size)


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the frames of a night of 9 calibrations and 8 exposures, in sets of three."""
    folder = tmp_path_factory.mktemp("frames") / "n1"
    simulate_night(folder, size=64, n_bias=3, n_dark=2, n_flat=2, n_science=4, seed=4)
    number_dithers(folder, 3)
    return folder


def batch(raw: Path, out: Path, **more: Any) -> Path:
    """Reduce a night as a whole, and return its products.

    Of the very files that were watched: masters are named after their frames, times included.
    """
    reduce_night("imager", raw=raw, out=out, cluster="threads", workers=2, **more)
    return out / "imager" / "n1"


def of(frames: Path, *kinds: str) -> list[Path]:
    """Return frames whose names begin so, in that order."""
    return [path for kind in kinds for path in sorted(frames.glob(f"{kind}*"))]


@contextmanager
def playing(play: Callable[[], None]) -> Iterator[None]:
    """Let a camera write while the block goes on."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            play()
        except BaseException as error:
            errors.append(error)
            raise

    camera = threading.Thread(target=run)
    camera.start()
    try:
        yield
    finally:
        camera.join()
    assert not errors


def copy(paths: list[Path], folder: Path, **how: Any) -> None:
    """Write frames into a folder as a camera does."""
    play_night(paths, folder, **how)
