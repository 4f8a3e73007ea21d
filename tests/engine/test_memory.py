"""What a task needs is estimated, and what cannot fit is refused before it starts."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.data import Dataset, Image, ImageBatch, NpyPixels
from mirar_dask.data.memory import current_task_memory
from mirar_dask.engine import Engine
from mirar_dask.engine.bench import Bench, ContextCache
from mirar_dask.engine.memory import (
    SMALL,
    TaskTooLargeError,
    held_by_images,
    largest_task,
    least_worker,
    of_band,
    of_chain,
    of_master,
    refuse_if_too_large,
    unsaid,
    usable,
    worker_for,
)
from mirar_dask.engine.task import execute
from mirar_dask.engine.travel import PackedArray, unpack
from mirar_dask.engine.types import BandWork, BatchWork, Bunch, MasterWork, Task
from mirar_dask.paths import Roots
from mirar_dask.pipelines.frames import open_frame
from mirar_dask.pipelines.imager import ImagerPipeline
from mirar_dask.processors.base_processor import BaseProcessor
from mirar_dask.processors.bias import BiasCalibrator
from mirar_dask.processors.combine import DEFAULT_MAX_BYTES
from mirar_dask.processors.sources import SourceDetector
from mirar_dask.processors.utils.image_loader import ImageLoader
from mirar_dask.processors.utils.image_saver import ImageSaver
from mirar_dask.testing.engine_contract import Doubles, configured, reduction, settings_for
from mirar_dask.testing.images import make_image


def frames(n: int, shape: tuple[int, int] = (100, 50)) -> list[Image]:
    return [make_image(f"{i}.fits", np.zeros(shape, np.float32)) for i in range(n)]


def test_the_smallest_worker_with_room_for_a_task_is_known():
    """A few bytes less are too few."""
    worker = worker_for(10**9)
    assert usable(worker) >= 10**9 > usable(worker - 4)


def test_the_smallest_worker_of_a_run_has_room_for_all_its_tasks():
    """Although in a smaller worker fewer images are held at once, so that less is needed."""
    steps = [BiasCalibrator(), Tells()]
    images = frames(40, (1000, 500))
    worker = least_worker(steps, images)
    assert largest_task(steps, images, held_by_images(worker))[0] <= usable(worker)
    assert worker < worker_for(largest_task(steps, images)[0])
    smaller = round(0.97 * worker)
    assert largest_task(steps, images, held_by_images(smaller))[0] > usable(smaller)
    assert least_worker(steps, []) == 0


class Tells(Doubles):
    """Says how much memory it needs."""

    base_key = "tells"

    def memory_needed(self, shape: tuple[int, ...], n_images: int) -> int:
        """A thousand bytes an image."""
        return 1000 * n_images


def test_a_step_on_whole_batches_counts_what_images_hold_and_three_more() -> None:
    """The largest image decides, and so does what the images of a task may hold together."""
    images = [make_image("a.fits"), *frames(9)]
    frame = 4 * 5000
    assert largest_task([Doubles()], images) == (SMALL + 10 * frame + 3 * frame, "doubles")
    assert largest_task([Doubles()], images, budget=2 * frame)[0] == SMALL + 5 * frame


def test_a_step_may_say_itself_what_it_needs() -> None:
    """It does not count three images then, and the plan has no caveat about it."""
    assert largest_task([Tells()], frames(3))[0] == SMALL + 3 * 4 * 5000 + 3000
    assert unsaid([Doubles(), Tells(), ImageSaver("x")]) == [Doubles().step_name]


def test_a_chain_counts_its_image_and_its_masters() -> None:
    """Our steps work in place; one that says nothing counts three images more."""
    frame = 4 * 2000 * 3000
    own = [step for step in reduction() if not isinstance(step, ImageLoader)]
    plain = of_chain(frame, 3 * frame, own)
    assert 4 * frame <= plain <= 4 * frame + SMALL + (4 << 20)
    assert of_chain(frame, 3 * frame, [*own, Doubles()]) == SMALL + 7 * frame


def test_masters_count_their_bands() -> None:
    """They are made by bands of rows, whatever the number of frames."""
    step = BiasCalibrator()
    small, large = frames(3, (2000, 2000)), frames(300, (2000, 2000))
    frame = large[0].nbytes
    assert of_master(step, small) <= 1.5 * frame + SMALL
    assert of_master(step, large) <= frame + DEFAULT_MAX_BYTES + SMALL
    assert of_master(step, large, banded=True) <= 1.5 * frame + SMALL
    assert of_band(small, (0, 1000)) < of_master(step, small)


def test_kept_masters_make_room_for_a_task() -> None:
    """Those that it uses stay, and so do the last used of the others while there is room."""
    cache = ContextCache(10_000)
    arrays = {name: np.zeros(500, np.float32) for name in "abcd"}
    packed = {name: PackedArray(NpyPixels.publish(a)) for name, a in arrays.items()}
    for name, value in packed.items():
        cache.get(name, value)
    cache.make_room(2000, wanted=["a"])
    kept = list(cache.names)
    assert kept == ["a", "d"]


def test_the_refusal_gives_both_numbers_and_what_to_do() -> None:
    """One sentence."""
    with pytest.raises(TaskTooLargeError, match=r"2\.00 GB.*0\.67 GB.*--memory"):
        refuse_if_too_large(2 * 10**9, "bias master", 10**9)
    refuse_if_too_large(6 * 10**8, "bias master", 10**9)


def test_a_run_that_cannot_fit_is_refused_and_can_be_forced(
    local: Engine, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is begun; with the check off the same run goes through."""
    monkeypatch.setattr("mirar_dask.engine.memory.SMALL", 10**15)
    start = Dataset([ImageBatch()])
    with pytest.raises(TaskTooLargeError):
        local.run(configured(reduction()), start, settings_for(raw, tmp_path))
    assert not list(tmp_path.rglob("*.fits"))
    forced = settings_for(raw, tmp_path, check_memory=False)
    result = local.run(configured(reduction()), start, forced)
    assert result.counts()["failed"] == 0
    assert result.counts()["succeeded"] > 0


class Watches(Doubles):
    """Doubles images, and notes how many bytes the images of the batch hold."""

    base_key = "watches"
    held: ClassVar[list[int]] = []

    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        memory = current_task_memory()
        assert memory is not None
        for image in batch:
            image.set_data(image.get_data() * 2)
            self.held.append(memory.nbytes)
        return batch


def bench_for(step: BaseProcessor, folder: Path, budget: int) -> Bench:
    return Bench(configured([step]), Roots(folder, folder), None, budget)


def test_a_batch_passes_a_step_without_all_its_pixels_in_memory(tmp_path: Path) -> None:
    """Forty images, of which three may be held, and three more that the step works on."""
    shape, n = (256, 512), 40
    frame = 4 * shape[0] * shape[1]
    handles = []
    for number in range(n):
        fits.PrimaryHDU(np.full(shape, number, np.int16)).writeto(tmp_path / f"{number}.fits")
        (image,) = open_frame(tmp_path / f"{number}.fits")
        handles.append(image.handle())
    step = Watches()
    work = BatchWork(0, 1, Bunch(tuple(handles)))
    task = Task("watches", 0, work, (), memory=0)
    bench = bench_for(step, tmp_path, budget=3 * frame)
    tracemalloc.start()
    try:
        outcome = execute(bench, task)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not outcome.failed
    assert max(Watches.held) <= 3 * frame
    assert 3 * frame < peak < 8 * frame
    for number, handle in enumerate(outcome.batches[0].members):
        assert np.all(handle.open().view_data() == 2 * number)


@pytest.mark.parametrize("write", [True, False])
def test_a_master_is_read_from_its_product(write: bool, tmp_path: Path) -> None:
    """No second copy is kept in the cache, unless there is no product."""
    step = BiasCalibrator(write_to_cache=write)
    images = [make_image(f"{i}.fits", np.full((40, 50), i, np.float32)) for i in range(3)]
    bench = bench_for(step, tmp_path, budget=1 << 20)
    path = tmp_path / "bias.fits"
    handles = tuple(image.handle() for image in images)
    work = MasterWork(0, handles, (1.0, 1.0, 1.0), (), path)
    outcome = execute(bench, Task("bias master", 0, work, (), memory=0))
    assert not outcome.failed, outcome.records
    assert path.exists() == write
    assert bool(outcome.files) != write
    assert np.all(unpack(outcome.context).view_data() == 1)


def test_bands_join_to_what_one_task_makes(tmp_path: Path) -> None:
    """A master does not tell how it was divided."""
    step = BiasCalibrator()
    rng = np.random.default_rng(1)
    images = [make_image(f"{i}.fits", rng.normal(size=(41, 50)).astype("f4")) for i in range(4)]
    bench = bench_for(step, tmp_path, budget=1 << 20)
    handles, ones = tuple(image.handle() for image in images), (1.0,) * 4
    bands = []
    for start, stop in ((0, 7), (7, 40), (40, 41)):
        band = Task("band", 0, BandWork(0, handles, ones, start, stop), (), memory=0)
        bands.append(execute(bench, band).context)
    found = []
    for name, parts in (("one", ()), ("three", tuple(bands))):
        work = MasterWork(0, handles, ones, parts, tmp_path / f"{name}.fits")
        outcome = execute(bench, Task("bias master", 0, work, (), memory=0))
        found.append(unpack(outcome.context).get_data())
    assert found[0].tobytes() == found[1].tobytes()


def test_every_step_of_the_imager_says_what_it_needs() -> None:
    """Nobody is told that a step of ours is reckoned with by a rule of thumb."""
    steps = ImagerPipeline("default").set_configuration("default")
    assert unsaid(steps) == []


def test_finding_sources_needs_several_copies_of_one_image() -> None:
    """However many images there are: one is looked at after the other."""
    frame = 4 * 4096 * 4096
    step = SourceDetector()
    assert 5 * frame < step.memory_needed((4096, 4096), 1) < 10 * frame
    assert step.memory_needed((4096, 4096), 100) == step.memory_needed((4096, 4096), 1)
