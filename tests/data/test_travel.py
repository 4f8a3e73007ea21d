"""Images that go to other processes and come back, and what the end of a process leaves."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mirar_dask.data import (
    CacheError,
    FitsPixels,
    Image,
    ImageBatch,
    MemoryPixels,
    NpyPixels,
    SourceTable,
    cache,
    task_memory,
)
from mirar_dask.data.cache import remove_temporary
from mirar_dask.data.generations import link_generation

MakeImage = Callable[..., Image]


# What the other processes do. They import nothing but the package (`pickle` sends the code).


def make_image(value: float, name: str = "made.fits") -> Image:
    header = {"RAWPATH": f"/raw/{name}", "BASENAME": name}
    return Image(np.full((20, 30), value), header)


def add_one(image: Image) -> Image:
    image.set_data(image.get_data() + 1)
    image["ADDED"] = 1
    return image


def look_and_drop(image: Image) -> float:
    total = float(image.get_data().sum())
    del image
    gc.collect()
    return total


def change_a_copy(image: Image) -> float:
    other = copy.copy(image)
    other.set_data(other.get_data() * 0)
    del image
    gc.collect()
    return float(other.get_data().sum())


# ---- pickles --------------------------------------------------------------------------------


def test_a_large_image_travels_as_a_path(image: MakeImage, header: Any):
    """A pickle of 2048 x 2048 pixels is far below 100 kB, whatever they are backed by."""
    data = np.zeros((2048, 2048), np.float32)
    made = image(data=data)
    assert len(pickle.dumps(made)) < 2000
    with task_memory(None):
        in_task = image(data=data)
        assert isinstance(in_task.pixels, MemoryPixels)
        assert len(pickle.dumps(in_task)) < 2000
        assert isinstance(in_task.pixels, NpyPixels)


def test_a_pickled_image_leaves_its_file_to_the_folder(image: MakeImage):
    """Neither the original nor what was read from the pickle removes it."""
    made = image()
    path = made.cache_path
    arrived = pickle.loads(pickle.dumps(made))
    assert Image.cache_files == []
    np.testing.assert_array_equal(arrived.get_data(), made.get_data())
    del arrived
    gc.collect()
    assert made.get_data()[0, 1] == 1
    del made
    assert path.exists()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_works(protocol: int, image: MakeImage):
    """Older ones are used by some tools."""
    made = image(EXPTIME=0.1 + 0.2)
    arrived = pickle.loads(pickle.dumps(made, protocol=protocol))
    assert arrived["EXPTIME"] == 0.1 + 0.2
    np.testing.assert_array_equal(arrived.get_data(), made.get_data())


def test_with_the_cache_off_pixels_travel_with_the_image(
    image: MakeImage, monkeypatch: pytest.MonkeyPatch
):
    """Out of band, so that nothing copies them on the way."""
    monkeypatch.setenv("USE_MIRAR_CACHE", "off")
    made = image(data=np.ones((100, 100)))
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(made, protocol=5, buffer_callback=buffers.append)
    assert len(pickled) < 2000
    arrived = pickle.loads(pickled, buffers=buffers)
    assert arrived.get_data().sum() == 10_000
    with task_memory(None):
        data = arrived.take_data()
        data += 1
        assert made.get_data().sum() == 10_000


def test_attributes_and_class_survive_a_pickle(image: MakeImage):
    """What a user's step noted on an image is there in the next step."""
    made = image()
    made.remark = {"seeing": 1.5}
    assert pickle.loads(pickle.dumps(made)).remark == {"seeing": 1.5}


def test_handles_survive_a_pickle(image: MakeImage, table: Callable[..., SourceTable]):
    """And are equal to what was sent."""
    handle = image(EXPTIME=1.5).handle()
    arrived = pickle.loads(pickle.dumps(handle))
    assert arrived == handle
    assert arrived.open()["EXPTIME"] == 1.5
    sources = pickle.loads(pickle.dumps(table(EXPTIME=2.5).handle()))
    assert sources.open()["EXPTIME"] == 2.5


def test_a_deep_copy_is_no_pickle(image: MakeImage):
    """The image still owns its file."""
    made = image()
    duplicate = copy.deepcopy({"image": made, "batch": ImageBatch(made)})
    assert Image.cache_files == [made.cache_path]
    assert duplicate["image"].pixels is made.pixels


# ---- processes --------------------------------------------------------------------------------


SPAWN = pytest.param("spawn", marks=pytest.mark.slow)  # in the default suite Dask spawns


@pytest.fixture(params=["fork", SPAWN])
def pool(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    """One process, made in either way after the test has begun to use the cache."""
    cache.ensure_cache_dir()
    context = multiprocessing.get_context(request.param)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        yield executor


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_an_image_is_whole_there_and_back(pool: ProcessPoolExecutor, image: MakeImage):
    """Changed in another process, it is whole when it returns; the original is what it was."""
    made = image(EXPTIME=0.1 + 0.2)
    returned = pool.submit(add_one, made).result()
    np.testing.assert_array_equal(returned.get_data(), made.get_data() + 1)
    assert returned["ADDED"] == 1
    assert returned["EXPTIME"] == 0.1 + 0.2
    assert "ADDED" not in made
    assert returned.cache_path.parent == cache.get_cache_dir()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_dropping_a_copy_elsewhere_leaves_the_original_whole(
    pool: ProcessPoolExecutor, image: MakeImage
):
    """Neither the end of the copy nor that of the process takes the file."""
    made = image()
    total = made.get_data().sum()
    assert pool.submit(look_and_drop, made).result() == total
    assert pool.submit(change_a_copy, made).result() == 0
    assert made.get_data().sum() == total
    pool.shutdown()
    assert made.get_data().sum() == total


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_an_image_made_in_a_fresh_process_is_whole(pool: ProcessPoolExecutor):
    """It lies in the folder of the process that made the pool, and outlives the pool."""
    made = pool.submit(make_image, 2.0).result()
    pool.shutdown()
    assert made.get_data().sum() == 2.0 * 600
    assert made.cache_path.parent == cache.get_cache_dir()


@pytest.mark.parametrize("method", ["fork", SPAWN])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_an_image_is_whole_though_its_maker_had_a_folder_of_its_own(method: str):
    """A pool made before there was a cache: its processes remove their folders at their end."""
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        made = [pool.submit(make_image, value).result() for value in (1.0, 2.0)]
        theirs = pool.submit(folder_of_the_cache).result()
    assert not Path(theirs).exists()
    assert [image.get_data().mean() for image in made] == [1.0, 2.0]
    assert {image.cache_path.parent for image in made} == {cache.get_cache_dir()}
    assert sorted(Image.cache_files) == sorted(image.cache_path for image in made)


def folder_of_the_cache() -> str:
    return str(cache.get_cache_dir())


def test_a_pickle_whose_maker_is_gone_says_so():
    """The error comes when the pixels are read, not when the pickle is."""
    folder, pickled = in_a_fork(make_and_pickle)
    remove_temporary(folder, "")
    arrived = pickle.loads(pickled)
    assert arrived.get_name() == "made.fits"
    with pytest.raises(CacheError, match="is not there"):
        arrived.get_data()


def make_and_pickle() -> tuple[Path, bytes]:
    made = make_image(1.0)
    cache.ends_early = True  # as in a child of multiprocessing
    return cache.get_cache_dir(), pickle.dumps(made)


def in_a_fork(work: Callable[[], Any]) -> Any:
    """Run a function in a plain fork of this process, which ends in the orderly way."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(receive)
            with os.fdopen(send, "wb") as stream:
                pickle.dump(work(), stream)
            gc.collect()
            code = 0
        finally:
            os._exit(code)
    os.close(send)
    with os.fdopen(receive, "rb") as stream:
        content = stream.read()
    assert os.waitpid(child, 0)[1] == 0
    return pickle.loads(content)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_that_drops_an_image_leaves_it_whole(image: MakeImage):
    """Only the process that made a file removes it."""
    before = Image.cache_files
    images = [image()]
    path = images[0].cache_path

    def drop() -> list[Path]:
        images.clear()
        gc.collect()
        return Image.cache_files

    assert in_a_fork(drop) == []
    assert path.exists()
    assert images[0].get_data()[0, 1] == 1
    assert Image.cache_files == [*before, path]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_may_send_back_an_image_that_it_inherited(image: MakeImage):
    """What it sends outlives the original."""
    originals = [image()]
    path = originals[0].cache_path
    returned = in_a_fork(lambda: originals[0])
    assert returned.cache_path != path
    originals.clear()
    gc.collect()
    assert not path.exists()
    assert returned.get_data()[0, 1] == 1


def test_a_file_without_hard_links_is_copied(monkeypatch: pytest.MonkeyPatch, image: MakeImage):
    """Some file systems have none."""

    def refuse(*arguments: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    made = image()
    fresh = link_generation(made.cache_path)
    assert fresh.read_bytes() == made.cache_path.read_bytes()


# ---- Dask -------------------------------------------------------------------------------------


def test_dask_computes_with_images_in_processes(image: MakeImage):
    """`dask.compute(scheduler="processes")` returns whole images, made there or sent there."""
    import dask

    sent = [image(f"{n}.fits", np.full((4, 4), float(n))) for n in range(3)]
    tasks = [dask.delayed(add_one)(one) for one in sent] + [dask.delayed(make_image)(7.0)]
    computed = dask.compute(*tasks, scheduler="processes", num_workers=1)
    assert [one.get_data().mean() for one in computed] == [1.0, 2.0, 3.0, 7.0]
    assert [one.get_data().mean() for one in sent] == [0.0, 1.0, 2.0]


def test_dask_computes_with_images_in_threads(image: MakeImage):
    """The scheduler hands over the very objects."""
    import dask

    computed = dask.compute(dask.delayed(add_one)(image()), scheduler="threads")
    assert computed[0].get_data()[0, 0] == 1


def test_dask_tokens_are_deterministic(image: MakeImage, table: Callable[..., SourceTable]):
    """The same in a copy and after a journey; another header or other pixels change them."""
    from dask.base import tokenize

    made = image(EXPTIME=1.5)
    handle = made.handle()
    token = tokenize(handle, ensure_deterministic=True)
    assert tokenize(made.handle()) == tokenize(pickle.loads(pickle.dumps(handle))) == token
    first = tokenize(made, ensure_deterministic=True)
    assert tokenize(copy.copy(made)) == first
    made["EXPTIME"] = 2.5
    assert tokenize(made) != first
    other = copy.copy(made)
    other.set_data(other.get_data() + 1)
    assert tokenize(other) != tokenize(made)
    sources = table()
    assert tokenize(sources, ensure_deterministic=True) == tokenize(sources.handle())
    assert tokenize(pickle.loads(pickle.dumps(sources))) == tokenize(sources)
    sources.get_data().loc[0, "objectid"] = "other"
    assert tokenize(table()) != tokenize(sources)


def test_dask_knows_the_size(image: MakeImage, monkeypatch: pytest.MonkeyPatch):
    """An image in a file is small, one in memory is not, alone or in a batch or a handle."""
    from dask.sizeof import sizeof

    large = np.zeros((200, 200))
    made = image(data=large)
    assert sizeof(made) < 10_000
    assert sizeof(made.handle()) < 3_000
    monkeypatch.setenv("USE_MIRAR_CACHE", "false")
    made = image(data=large)
    for thing in (made, made.handle(), ImageBatch(made)):
        assert 320_000 < sizeof(thing) < 340_000


@pytest.mark.slow
def test_a_local_cluster_returns_whole_images(image: MakeImage):
    """By `client.submit`, for images made here, made there, and after the cluster has ended."""
    from distributed import Client, LocalCluster

    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options, processes=True) as cluster, Client(cluster) as client:
        there = client.submit(make_image, 3.0).result()
        sent = image(data=np.ones((4, 4)))
        back = client.submit(add_one, sent).result()
        assert client.submit(look_and_drop, sent).result() == 16
        assert sent.get_data().sum() == 16
        assert there.get_data().mean() == 3.0
    assert back.get_data().mean() == 2.0
    assert there.get_data().mean() == 3.0
    assert sent.get_data().sum() == 16


def test_images_of_fits_files_keep_their_pixels_after_a_journey(
    fits_pixels: Callable[..., FitsPixels], header: Any
):
    """A pickle of an opened frame is its header and its path."""
    frame = Image(fits_pixels(np.arange(20, dtype=np.uint16).reshape(4, 5)), header())
    arrived = pickle.loads(pickle.dumps(frame))
    assert arrived.pixels == frame.pixels
    np.testing.assert_array_equal(arrived.get_data(), frame.get_data())
    assert cache.cache_dir is None
