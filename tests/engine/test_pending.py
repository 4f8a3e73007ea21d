"""Pixels that an earlier run did not keep come back, bit by bit, when somebody reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io.fits import Header

from mirar_dask.data import Image, ImageBatch, ImageHandle
from mirar_dask.data.cache import cache
from mirar_dask.engine.batch_work import do_batch
from mirar_dask.engine.bench import Bench, use_bench
from mirar_dask.engine.pending import PendingPixels, pending_batches
from mirar_dask.engine.types import BatchWork, Bunch, Link
from mirar_dask.errors import ProcessorError
from mirar_dask.paths import Roots
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.testing.engine_contract import configured


class Centre(BaseImageProcessor):
    """Subtract the mean of the batch, in mirar's way."""

    base_key = "pending_centre"

    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        mean = np.mean([image.get_data() for image in batch], axis=0)
        for image in batch:
            image.set_data(image.get_data() - mean)
        return batch


class Root(BaseImageProcessor):
    """Take the root of each pixel; refuse negative ones."""

    base_key = "pending_root"

    def apply_to_image(self, image: Image, context: object = None) -> Image:
        if (image.view_data() < 0).any():
            raise ProcessorError("there is a negative pixel")
        image.set_data(np.sqrt(image.get_data()))
        return image


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(configured([Centre(), Root()]), Roots(tmp_path, tmp_path), None, 1 << 20)


def handles(*levels: float) -> tuple[ImageHandle, ...]:
    found = []
    for number, level in enumerate(levels):
        header = Header({"RAWPATH": f"/raw/{number}.fits", "BASENAME": f"{number}.fits"})
        header["CALSTEPS"], header["PROCFAIL"] = "", ""
        found.append(Image(np.full((3, 4), level, "f4"), header).handle())
    return tuple(found)


def test_an_image_is_made_again_from_where_it_was(bench: Bench) -> None:
    """By the links that led to it, and read as often as somebody likes."""
    (start,) = handles(9.0)
    pixels = PendingPixels(start, (Link(1),), {}, {}, start.shape, start.dtype)
    with use_bench(bench):
        for _ in range(2):
            np.testing.assert_array_equal(pixels.read(), np.full((3, 4), 3, "f4"))
        np.testing.assert_array_equal(pixels.read_rows(1, 2), np.full((1, 4), 3, "f4"))


def test_an_image_of_a_batch_is_made_again_with_the_batch(bench: Bench) -> None:
    """Each gets its own pixels, and no file of it is left."""
    work = BatchWork(0, 1, Bunch(handles(1.0, 2.0, 6.0)))
    with use_bench(bench):
        expected = do_batch(work, bench)
        before = set(cache.ensure_cache_dir().iterdir())
        (bunch,) = pending_batches(work, expected.batches)
        found = [handle.open().get_data() for handle in bunch.members]
    assert set(cache.ensure_cache_dir().iterdir()) == before
    for data, level in zip(found, (-2, -1, 3), strict=True):
        np.testing.assert_array_equal(data, np.full((3, 4), level, "f4"))


def test_what_cannot_be_made_again_says_why(bench: Bench) -> None:
    """The error names image, step and reason."""
    (start,) = handles(-1.0)
    pixels = PendingPixels(start, (Link(1),), {}, {}, start.shape, start.dtype)
    with use_bench(bench), pytest.raises(ProcessorError, match=r"'0\.fits'.*negative pixel"):
        pixels.read()


def test_they_are_readable_in_their_run_only() -> None:
    """Nobody else has its steps."""
    (start,) = handles(1.0)
    pixels = PendingPixels(start, (Link(1),), {}, {}, start.shape, start.dtype)
    with pytest.raises(ProcessorError, match="in a task of their run only"):
        pixels.read()
