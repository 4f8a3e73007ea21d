"""What a task reads and writes is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.data.metering import Meter, counted_as, metered
from mirar_dask.data.pixels import NpyPixels
from mirar_dask.errors import FileChangedError
from mirar_dask.io import open_image, save_to_path


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    """A raw frame of 20 by 30 pixels of two bytes each."""
    path = tmp_path / "frame.fits"
    fits.PrimaryHDU(np.arange(600, dtype=np.uint16).reshape(20, 30)).writeto(path)
    return path


def test_a_raw_frame_counts_as_it_lies_in_its_file(frame: Path):
    """Two bytes a pixel, and only the rows that were read."""
    image = open_image(frame)
    with metered() as meter:
        image.read_rows(0, 5)
        image.get_data()
    assert meter.read == {"raw": 5 * 30 * 2 + 20 * 30 * 2}
    assert meter.written == {}
    assert meter.read_seconds > 0


def test_generations_and_products_are_counted_apart(tmp_path: Path):
    """Pixels written to the cache and read again, and a file for the user."""
    data = np.ones((20, 30), np.float32)
    with metered() as meter:
        NpyPixels.publish(data).read()
        product = save_to_path(data, None, tmp_path / "product.fits")
    assert meter.read == {"cache": 2400}
    assert meter.written["cache"] == 2400
    # Files are padded to whole blocks, which are no pixels.
    assert 0 <= product.stat().st_size - meter.written["products"] < 2880


def test_masters_are_counted_by_who_writes_them(tmp_path: Path, frame: Path):
    """A FITS file is what it is for; an npy file is of the cache in any case."""
    with metered() as meter, counted_as("masters"):
        save_to_path(np.ones((2, 3)), None, tmp_path / "master.fits")
        open_image(frame).get_data()
        NpyPixels.publish(np.ones(4))
    assert set(meter.written) == {"masters", "cache"}
    assert set(meter.read) == {"masters"}


def test_what_fails_is_not_counted(frame: Path):
    """A frame that is gone was not read."""
    image = open_image(frame)
    frame.unlink()
    with metered() as meter, pytest.raises(FileChangedError):
        image.get_data()
    assert meter.read == {}


def test_meters_are_of_their_own_block_and_add_up():
    """Outside of any, nothing is counted; two can be added."""
    with metered() as outer:
        with metered() as inner:
            NpyPixels.publish(np.ones(4))
        NpyPixels.publish(np.ones(2))
    assert (outer.written, inner.written) == ({"cache": 16}, {"cache": 32})
    total = Meter()
    total.add(outer)
    total.add(inner)
    assert total.written == {"cache": 48}
