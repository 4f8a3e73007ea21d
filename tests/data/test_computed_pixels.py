"""Pixels that are computed when they are read."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.data import Image, MemoryPixels, NpyPixels, cache
from mirar_dask.data.cache import task_memory
from mirar_dask.data.metering import metered
from mirar_dask.data.pixels import ComputedPixels, KeptPixels, RowOperation, keep
from mirar_dask.errors import FileChangedError
from mirar_dask.io import open_image

SHAPE = (700, 900)  # more rows than one piece has


@dataclass(frozen=True, slots=True)
class Add(RowOperation):
    """Adds a multiple of the operand."""

    factor: float = 1.0

    def apply(self, rows: np.ndarray, operand: np.ndarray) -> None:
        """Add rows."""
        rows += operand * np.float32(self.factor)


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    """A raw frame."""
    data = np.random.default_rng(0).integers(0, 60000, SHAPE, dtype=np.uint16)
    path = tmp_path / "frame.fits"
    fits.PrimaryHDU(data).writeto(path)
    return path


@pytest.fixture
def master() -> np.ndarray:
    """Floats of the frame's shape, some of them masked."""
    data = np.random.default_rng(1).normal(300, 20, SHAPE).astype("f4")
    data[5, 7] = np.nan
    return data


def test_a_change_of_rows_reads_nothing_until_somebody_looks(frame: Path, master: np.ndarray):
    """Two of them; the pixels are those of two steps one after the other, to the bit."""
    expected = open_image(frame).get_data()
    expected += master * np.float32(1)
    expected += master * np.float32(-2.5)
    with task_memory(None), metered() as meter:
        image = open_image(frame)
        operand = MemoryPixels(master)
        image.change_rows(Add(operand))
        image.change_rows(Add(operand, -2.5))
        assert meter.read == {}
        assert isinstance(image.pixels, ComputedPixels)
        assert np.array_equal(image.read_rows(300, 420), expected[300:420], equal_nan=True)
        assert np.array_equal(image.get_data(), expected, equal_nan=True)
        assert np.array_equal(image.view_data(), expected, equal_nan=True)
    # Once for the rows, once for the whole, which the task then has in memory.
    assert meter.read == {"raw": 2 * (SHAPE[0] + 120) * SHAPE[1]}


def test_pixels_in_memory_are_changed_at_once(frame: Path, master: np.ndarray):
    """Where a step before has read them, and outside a task, in which a copy is the image's."""
    expected = open_image(frame).get_data() + master
    for setting in (task_memory(None), pytest.MonkeyPatch.context()):
        with setting:
            image = open_image(frame)
            image.set_data(image.get_data())
            twin = copy.copy(image)
            image.change_rows(Add(MemoryPixels(master)))
            assert not isinstance(image.pixels, ComputedPixels)
            assert np.array_equal(image.get_data(), expected, equal_nan=True)
            assert np.array_equal(twin.get_data(), open_image(frame).get_data())


def test_a_copy_is_as_it_was_before_the_change(frame: Path, master: np.ndarray):
    """And evicting an image from memory loses nothing."""
    raw = open_image(frame).get_data()
    with task_memory(None):
        image = open_image(frame)
        before = copy.deepcopy(image)
        image.change_rows(Add(MemoryPixels(master)))
        image.view_data()
        image.evict()
        assert isinstance(image.pixels, ComputedPixels)  # no file was written for it
        assert np.array_equal(image.get_data(), raw + master, equal_nan=True)
        assert np.array_equal(before.get_data(), raw)


def test_an_image_that_leaves_its_task_takes_a_file_along(frame: Path, master: np.ndarray):
    """Whoever reads it needs no master, wherever that is."""
    with task_memory(None):
        image = open_image(frame)
        image.change_rows(Add(MemoryPixels(master)))
        arrived = pickle.loads(pickle.dumps(image))
    assert isinstance(arrived.pixels, NpyPixels)
    expected = open_image(frame).get_data() + master
    assert np.array_equal(arrived.get_data(), expected, equal_nan=True)


def test_a_handle_may_travel_with_what_is_still_to_be_done(frame: Path, master: np.ndarray):
    """If the master lies in a file; one that arrives twice is in memory once."""
    npy = NpyPixels.publish(master)
    with task_memory(None):
        image = open_image(frame)
        image.change_rows(Add(keep(npy)))
        handle = image.handle(computed=True)
        assert handle.files == (npy.path,)
        in_memory = open_image(frame)
        in_memory.change_rows(Add(MemoryPixels(master)))
        assert isinstance(in_memory.handle(computed=True).pixels, NpyPixels)
    sent = pickle.dumps([handle, handle])
    assert len(sent) < 20_000
    one, other = pickle.loads(sent)
    expected = open_image(frame).get_data() + master
    with metered() as meter:
        assert np.array_equal(one.pixels.read(), expected, equal_nan=True)
        assert np.array_equal(other.pixels.read_rows(9, 20), expected[9:20], equal_nan=True)
    assert meter.read["cache"] == master.nbytes
    assert one == other == handle
    assert one.pixels.token() == handle.pixels.token()


def test_operations_tell_themselves_apart(frame: Path, master: np.ndarray):
    """By kind, numbers and operand."""
    operand, twin = NpyPixels.publish(master), NpyPixels.publish(master)
    tokens = {Add(operand).token(), Add(operand, 2.0).token(), Add(twin).token()}
    assert len(tokens) == 3
    pixels = open_image(frame).pixels
    assert ComputedPixels.of(pixels, Add(operand)).token() != pixels.token()


def test_kept_pixels_are_read_once_and_cannot_be_changed(master: np.ndarray):
    """By all who keep those of one file; they go with the last of them."""
    npy = NpyPixels.publish(master)
    with metered() as meter:
        first, second = keep(npy), keep(npy)
        assert first is second
        assert isinstance(first, KeptPixels)
        assert np.array_equal(first.view(), second.read(), equal_nan=True)
        assert not first.view().flags.writeable
        first.read()[:] = 0
        assert np.array_equal(first.read_rows(3, 5), master[3:5], equal_nan=True)
    assert meter.read == {"cache": master.nbytes}


def test_a_frame_that_has_changed_fails_where_it_is_changed(frame: Path, master: np.ndarray):
    """Not in a step behind, and not in the master that it goes into."""
    with task_memory(None):
        image = open_image(frame)
        frame.unlink()
        with pytest.raises(FileChangedError, match="is gone"):
            image.change_rows(Add(MemoryPixels(master)))


def test_with_the_cache_off_pixels_are_changed_at_once(
    frame: Path, master: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    """They travel with the image then."""
    monkeypatch.setenv("USE_MIRAR_CACHE", "false")
    expected = open_image(frame).get_data() + master
    with task_memory(None):
        image = open_image(frame)
        image.change_rows(Add(MemoryPixels(master)))
        assert isinstance(image.pixels, MemoryPixels)
    assert np.array_equal(image.get_data(), expected, equal_nan=True)


def test_an_image_that_is_a_dask_array_needs_no_master(frame: Path, master: np.ndarray):
    """Its blocks read a file of the cache."""
    with task_memory(None):
        image = open_image(frame)
        image.change_rows(Add(MemoryPixels(master)))
        array = image.to_dask_array(chunks=(100, -1))
    expected = open_image(frame).get_data() + master
    assert np.array_equal(array.compute(scheduler="synchronous"), expected, equal_nan=True)
    assert image.cache_path is not None
    assert image.cache_path.parent == cache.cache_dir
    assert isinstance(image, Image)
