"""Images: header, pixels, copies, and what a task keeps in memory."""

from __future__ import annotations

import copy
import gc
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io.fits import Header

from mirar_dask.data import (
    FitsFilePixels,
    FitsPixels,
    Image,
    ImageBatch,
    MemoryPixels,
    NpyPixels,
    cache,
    pack_header,
    task_memory,
)
from mirar_dask.data.memory import current_task_memory

MODES = {"cache": "true", "memory": "false"}
MakeImage = Callable[..., Image]


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test with the cache and without."""
    monkeypatch.setenv("USE_WINTER_CACHE", MODES[request.param])
    return request.param


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def files() -> list[Path]:
    return [] if cache.cache_dir is None else list(cache.cache_dir.iterdir())


# ---- header ---------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["RAWPATH", "BASENAME"])
def test_a_header_without_a_core_key_is_refused_by_name(missing: str, header: Callable[..., Any]):
    """One clear error, and nothing is left behind."""
    incomplete = header()
    del incomplete[missing]
    for given in (incomplete, pack_header(incomplete)):
        with pytest.raises(KeyError, match=f"Image has no '{missing}'"):
            Image(np.zeros((2, 2)), given)
    gc.collect()
    assert files() == []


def test_an_image_uses_the_header_it_was_given(image: MakeImage, header: Callable[..., Any]):
    """As in mirar: what is changed in the one is changed in the other."""
    given = header(EXPTIME=5.0)
    made = Image(np.zeros((2, 2)), given)
    assert made.header is made.get_header() is given
    given["EXPTIME"] = 6.0
    assert made["EXPTIME"] == 6.0
    made["FILTER"] = ("r", "the filter")
    assert given["FILTER"] == "r"
    assert list(made.keys()) == list(given) == list(made)
    other = header("b.fits")
    made.set_header(other)
    assert made.header is other
    made.header = given
    assert made.get_name() == "a.fits"


def test_images_that_share_a_header_get_their_own(header: Callable[..., Any]):
    """Afterwards a change in one does not reach the other."""
    shared = header(EXPTIME=5.0)
    one, two = (Image(np.zeros((2, 2)), shared) for _ in range(2))
    one.own_header()
    two.own_header()
    one["EXPTIME"] = 1.0
    two.header["EXPTIME"] = 2.0
    assert (one["EXPTIME"], two["EXPTIME"], shared["EXPTIME"]) == (1.0, 2.0, 5.0)


def test_keys_can_be_asked_without_parsing_the_header(image: MakeImage):
    """An image that has just arrived answers for one key at a time."""
    arrived = image(EXPTIME=5.5, NOTHING=None).handle().open()
    assert arrived["EXPTIME"] == 5.5
    assert arrived["exptime"] == 5.5
    assert arrived["NOTHING"] is None
    assert arrived.get("EXPTIME") == 5.5
    assert arrived.get("MISSING", "default") == "default"
    assert arrived._header is None
    with pytest.raises(KeyError, match="MISSING"):
        arrived["MISSING"]
    assert "EXPTIME" in arrived
    assert "MISSING" not in arrived
    assert "HISTORY" not in arrived
    assert arrived[0] == "/raw/a.fits"


def test_commentary_of_an_arrived_image_can_be_edited(image: MakeImage):
    """The list of HISTORY lines is the image's own."""
    sent = image()
    sent.header["HISTORY"] = "one"
    arrived = sent.handle().open()
    arrived["HISTORY"][0] = "two"
    assert list(arrived.header["HISTORY"]) == ["two"]


def test_a_header_that_nobody_touched_is_not_packed_again(image: MakeImage):
    """It travels on as it came."""
    handle = image().handle()
    arrived = handle.open()
    assert arrived.handle().header is handle.header
    assert len(arrived.header)
    assert arrived.handle().header is handle.header
    arrived["NEW"] = 1
    assert arrived.handle().header != handle.header


def test_a_mapping_serves_as_header():
    """A dictionary is made into a header."""
    made = Image(np.zeros((2, 2)), {"RAWPATH": "a", "BASENAME": "a"})
    assert isinstance(made.header, Header)


# ---- pixels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "f8", ">f4", "?", "c8"])
def test_the_type_of_the_pixels_is_kept(mode: str, dtype: str, image: MakeImage):
    """Neither the constructor nor `set_data` converts."""
    data = np.ones((3, 4), dtype)
    made = image(data=data)
    for _ in range(2):
        assert made.dtype == made.get_data().dtype == made.view_data().dtype == data.dtype
        assert made.shape == (3, 4)
        assert made.nbytes == data.nbytes
        made.set_data(data)


def test_an_array_given_stays_the_callers(mode: str, image: MakeImage):
    """What he does to it afterwards changes no image, in a task or not."""
    for task in (False, True):
        data = np.zeros((3, 3))
        made = image(data=data)
        if task:
            with task_memory(None):
                made.set_data(data)
                data += 1
                assert made.get_data().sum() == 0
        data += 1
        assert made.get_data().sum() == 0
        made.set_ram_data(data)
        data += 1
        assert made.get_data().sum() == 9 * (data[0, 0] - 1)


def test_an_array_taken_is_the_callers(mode: str, image: MakeImage):
    """`get_data` gives a new writable array; the image changes by `set_data` only."""
    made = image()
    data = made.get_data()
    data[:] = 7
    assert made.get_data()[0, 1] == 1
    made.set_data(data)
    assert (made.get_data() == 7).all()
    assert (made.get_ram_data() == 7).all()
    assert made.get_ram_data().flags.owndata


def test_a_view_is_read_only(mode: str, image: MakeImage):
    """In a task, too."""
    made = image()
    with pytest.raises(ValueError, match="read-only"):
        made.view_data()[0, 0] = 1
    with task_memory(None):
        made.set_data(np.zeros((2, 2)))
        with pytest.raises(ValueError, match="read-only"):
            made.view_data()[0, 0] = 1


def test_rows_can_be_read_alone(mode: str, image: MakeImage):
    """As a slice takes them, in a task or not."""
    made = image()
    with task_memory(None):
        np.testing.assert_array_equal(made.read_rows(2, 4), made.get_data()[2:4])
    np.testing.assert_array_equal(made.read_rows(-2, None), made.get_data()[-2:])


def test_shape_and_type_read_nothing(fits_pixels: Callable[..., FitsPixels], header: Any):
    """An image of a file that is gone still knows how large it was."""
    pixels = fits_pixels(np.zeros((4, 5), np.float32))
    made = Image(pixels, header())
    pixels.path.unlink()
    assert (made.shape, made.dtype, made.nbytes) == ((4, 5), np.float32, 80)
    assert made.pixels is pixels
    assert repr(made) == "<Image 'a.fits' (4, 5) float32>"


def test_the_mask_is_true_where_a_pixel_is_good(image: MakeImage):
    """NaN is masked; infinity is not; integers have no mask."""
    mask = image(data=np.array([[1.0, np.nan], [np.inf, 0.0]])).get_mask()
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, [[True, False], [True, True]])
    assert image(data=np.zeros((2, 2), np.uint16)).get_mask().all()


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8"])
def test_masked_arrays_become_nan(dtype: str, image: MakeImage):
    """What numpy hides is masked in the image."""
    data = np.ma.array(np.ones((2, 2), dtype), mask=[[False, True], [False, False]])
    made = image(data=data)
    np.testing.assert_array_equal(np.isnan(made.get_data()), data.mask)
    assert made.dtype == data.dtype


def test_masked_integers_become_floats(image: MakeImage):
    """Integers have no NaN; without a masked pixel they stay what they are."""
    mask = [[False, True], [False, False]]
    made = image(data=np.ma.array([[1, 2], [3, 4]], mask=mask, dtype=np.int16))
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made.get_data(), [[1, np.nan], [3, 4]])
    assert image(data=np.ma.array([[1]], mask=mask[0][:1], dtype=np.int64)).dtype == np.int64
    assert image(data=np.ma.array([1, 2], mask=[0, 1], dtype=np.int64)).dtype == np.float64


def test_an_image_of_a_fits_file_copies_nothing(
    fits_pixels: Callable[..., FitsPixels], header: Any
):
    """Reading, sending and copying it makes no cache file; changing it does."""
    data = np.arange(20, dtype=np.uint16).reshape(4, 5)
    made = Image(fits_pixels(data), header())
    assert cache.cache_dir is None
    np.testing.assert_array_equal(made.get_data(), data)
    assert made.publish() == made.pixels.path
    assert made.handle().files == ()
    copy.copy(made)
    assert cache.cache_dir is None
    made.set_data(made.get_data() + 1)
    assert files() == [made.cache_path]


def test_asking_for_the_cache_file_copies_a_fits_file_once(
    fits_pixels: Callable[..., FitsPixels], header: Any
):
    """`cache_path` is an npy file, as in mirar."""
    made = Image(fits_pixels(np.arange(20, dtype=np.uint16)), header())
    path = made.cache_path
    np.testing.assert_array_equal(np.load(path), np.arange(20))
    assert made.cache_path == path
    np.testing.assert_array_equal(made.get_cache_data(), np.arange(20))


def test_cache_data_are_written_at_once(image: MakeImage):
    """In a task, too."""
    made = image()
    with task_memory(None):
        made.set_cache_data(np.ones((2, 2)))
        assert isinstance(made.pixels, NpyPixels)
        assert made.get_cache_data().sum() == 4
        made.set_data(np.zeros((2, 2)))
        assert isinstance(made.pixels, MemoryPixels)
        assert made.get_cache_data().sum() == 0
        assert isinstance(made.pixels, NpyPixels)


def test_data_in_memory_stay_there_until_they_need_a_file(image: MakeImage):
    """`set_ram_data` writes nothing; asking for the file does."""
    made = image()
    made.set_ram_data(np.ones((2, 2)))
    assert files() == []
    assert made.get_data().sum() == 4
    assert np.load(made.cache_path).sum() == 4


# ---- generations ----------------------------------------------------------------------------


def test_new_pixels_are_a_new_generation(image: MakeImage):
    """The file of before is never written to, and goes when nobody needs it."""
    made = image()
    first = made.cache_path
    view = made.view_data()
    content = first.read_bytes()
    second = copy.copy(made)
    made.set_data(np.zeros((6, 5), np.float32))
    assert made.cache_path != first
    assert first.read_bytes() == content
    np.testing.assert_array_equal(second.get_data(), view)
    del second
    assert not first.exists()
    assert files() == [made.cache_path]


def test_copies_share_pixels_and_nothing_else(mode: str, image: MakeImage):
    """No file is written for a copy, and each goes its own way."""
    for duplicate in (copy.copy, copy.deepcopy):
        made = image(EXPTIME=1.0)
        made.remark = ["something"]
        other = duplicate(made)
        assert type(other) is Image
        assert other.pixels is made.pixels
        other["EXPTIME"] = 2.0
        other.set_data(np.zeros((1, 1)))
        assert made["EXPTIME"] == 1.0
        assert made.get_data().shape == (6, 5)
        assert other.header is not made.header
        assert other.remark == ["something"]


def test_a_file_goes_with_the_last_image_that_has_it(image: MakeImage):
    """Copies keep it, whichever goes first."""
    made = image()
    path = made.cache_path
    other = copy.deepcopy(made)
    handle = other.handle()
    assert Image.cache_files == made.cache_files == [path]
    del made
    assert path.exists()
    del other
    assert path.exists()
    del handle
    assert not path.exists()
    assert Image.cache_files == []


def test_a_file_that_was_disowned_stays(image: MakeImage):
    """From then on it belongs to the folder."""
    made = image()
    path = made.cache_path
    made.disown()
    made.disown()
    assert Image.cache_files == []
    del made
    assert path.exists()


def test_nothing_is_disowned_without_a_file(image: MakeImage, monkeypatch: pytest.MonkeyPatch):
    """An image in memory has none."""
    monkeypatch.setenv("USE_MIRAR_CACHE", "no")
    made = image()
    made.disown()
    assert made.pixels.path is None
    assert Image.cache_files == []


def test_a_failed_step_leaves_the_image_as_it_was(image: MakeImage):
    """Pixels that cannot be taken over change nothing."""
    made = image()
    before = made.get_data()
    with pytest.raises(ValueError, match="must be numbers"):
        made.set_data(np.array([None]))
    np.testing.assert_array_equal(made.get_data(), before)


# ---- tasks ----------------------------------------------------------------------------------


def test_a_task_writes_nothing_until_the_image_leaves(image: MakeImage):
    """Ten steps, one file."""
    made = image()
    first = files()
    with task_memory(None):
        for _ in range(10):
            made.set_data(made.get_data() + 1)
        assert files() == []
        assert first
        handle = made.handle()
        assert files() == list(handle.files)
    assert handle.open().get_data()[0, 0] == 10


def test_a_frame_is_read_once_in_a_task(
    fits_pixels: Callable[..., FitsPixels], header: Any, monkeypatch: pytest.MonkeyPatch
):
    """However many steps look at it."""
    reads = []
    read = FitsPixels.read
    monkeypatch.setattr(FitsPixels, "read", lambda self: reads.append(1) or read(self))
    made = Image(fits_pixels(np.ones((4, 4), np.float32)), header())
    with task_memory(None):
        made.view_data()
        made.get_mask()
        made.get_data()
        made.read_rows(0, 2)
        data = made.take_data()
        made.give_data(data)
        made.get_data()
    assert len(reads) == 1


def test_taking_and_giving_copies_nothing_in_a_chain(
    fits_pixels: Callable[..., FitsPixels], header: Any
):
    """The array that was read is the one that the last step works on."""
    made = Image(fits_pixels(np.ones((4, 4), np.float32)), header())
    with task_memory(None):
        data = made.take_data()
        place = address(data)
        for _ in range(3):
            data += 1
            made.give_data(data)
            del data
            data = made.take_data()
            assert address(data) == place
        made.give_data(data)
    assert made.get_data()[0, 0] == 4


def test_what_somebody_else_holds_is_not_moved(image: MakeImage):
    """A view, a copy of the image, its handle or its pixels: each of them keeps what it sees."""
    with task_memory(None):
        made = image(data=np.zeros((4, 4)))
        holders: list[Callable[[], Any]] = [
            made.view_data,
            lambda: made.view_data()[1:],
            lambda: copy.copy(made),
            lambda: made.pixels,
            lambda: iter([made.pixels.view()]),
        ]
        for hold in holders:
            held = hold()
            data = made.take_data()
            data += 1
            assert made.get_data().sum() == 0
            del held
        place = address(made._pixels.array)
        data = made.take_data()
        assert address(data) == place
        with pytest.raises(RuntimeError, match="taken"):
            made.get_data()
        assert made.shape == (4, 4)
        assert made.dtype == np.float64
        made.give_data(data)
        assert made.get_data().sum() == 0


def test_what_was_read_in_a_task_is_not_moved_while_somebody_looks_at_it(
    fits_pixels: Callable[..., FitsPixels], header: Any
):
    """A view of a frame keeps its pixels when the frame is taken."""
    made = Image(fits_pixels(np.zeros((4, 4), np.float32)), header())
    with task_memory(None):
        view = made.view_data()
        data = made.take_data()
        data += 1
        assert view.sum() == 0
        del view
        place = address(made._loaded)
        assert address(made.take_data()) == place
        assert made.get_data().sum() == 0  # from the file


def test_a_read_only_array_that_was_given_is_copied_when_it_is_taken(image: MakeImage):
    """What is taken can always be written to."""
    with task_memory(None):
        made = image()
        data = np.zeros((3, 3))
        data.flags.writeable = False
        made.give_data(data)
        taken = made.take_data()
        taken += 1
        assert made.get_data().sum() == 0


def test_outside_a_task_taking_reads_and_giving_publishes(mode: str, image: MakeImage):
    """The same calls work everywhere."""
    made = image(data=np.zeros((3, 3)))
    data = made.take_data()
    data += 1
    made.give_data(data)
    assert made.get_data().sum() == 9
    assert isinstance(made.pixels, NpyPixels if mode == "cache" else MemoryPixels)


def test_the_budget_writes_the_least_recently_used_first(image: MakeImage):
    """A task of many images keeps as many as it may."""
    with task_memory(2 * 800) as memory:
        one, two, three = (image(f"{n}.fits", np.full((10, 10), float(n))) for n in range(3))
        assert [type(i.pixels) for i in (one, two, three)] == [
            NpyPixels,
            MemoryPixels,
            MemoryPixels,
        ]
        two.view_data()
        one.set_data(np.zeros((10, 10)))
        assert isinstance(three.pixels, NpyPixels)
        assert isinstance(two.pixels, MemoryPixels)
        assert memory.nbytes == 1600
        del one, two
        assert memory.nbytes == 0
        assert three.get_data()[0, 0] == 2


def test_an_image_larger_than_the_budget_is_written_at_once(image: MakeImage):
    """It is whole, nevertheless."""
    with task_memory(100) as memory:
        made = image(data=np.ones((10, 10)))
        assert isinstance(made.pixels, NpyPixels)
        assert memory.nbytes == 0
        data = made.take_data()
        made.give_data(data + 1)
        assert made.get_data().sum() == 200


def test_frames_that_were_only_read_are_dropped_without_a_file(
    fits_pixels: Callable[..., FitsPixels], header: Any
):
    """Their pixels are in their files already."""
    frames = [
        Image(fits_pixels(np.full((10, 10), n, np.float32), f"{n}.fits"), header()) for n in (1, 2)
    ]
    with task_memory(500) as memory:
        for number, frame in enumerate(frames, start=1):
            assert frame.view_data()[0, 0] == number
        assert memory.nbytes == 400
        assert frames[0]._loaded is None
        assert frames[0].take_data()[0, 0] == 1
    assert cache.cache_dir is None


def test_with_the_cache_off_everything_stays_in_memory(
    image: MakeImage, monkeypatch: pytest.MonkeyPatch
):
    """A budget cannot send it anywhere."""
    monkeypatch.setenv("USE_MIRAR_CACHE", "0")
    with task_memory(10):
        made = image(data=np.ones((10, 10)))
        assert isinstance(made.pixels, MemoryPixels)
        assert made.get_data().sum() == 100
        assert made.handle().files == ()


def test_tasks_of_two_threads_do_not_know_each_other(image: MakeImage):
    """Each has a budget of its own, and none holds outside."""
    seen = {}

    def work() -> None:
        seen["other"] = current_task_memory()
        seen["pixels"] = type(image("b.fits").pixels)

    with task_memory(None) as memory:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert current_task_memory() is memory
        with task_memory(5) as inner:
            assert current_task_memory() is inner
        assert current_task_memory() is memory
    assert current_task_memory() is None
    assert seen == {"other": None, "pixels": NpyPixels}


def test_threads_may_look_at_one_master(fits_pixels: Callable[..., FitsPixels], header: Any):
    """Each in a task with little memory, so that they evict it from under each other."""
    data = np.arange(400, dtype=np.float32).reshape(20, 20)
    masters = [Image(fits_pixels(data + n, f"{n}.fits"), header()) for n in range(3)]

    def work() -> list[float]:
        with task_memory(2000):
            return [
                float(master.view_data()[3, 3] - n)
                for _ in range(50)
                for n, master in enumerate(masters)
            ]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: work(), range(8)):
            assert set(found) == {63.0}


def test_an_image_in_memory_survives_its_task(image: MakeImage):
    """It gets its file when it needs one."""
    with task_memory(None):
        made = image()
    assert isinstance(made.pixels, MemoryPixels)
    assert made.get_data()[0, 1] == 1
    assert made.publish() == made.cache_path
    assert made.get_data()[0, 1] == 1


def test_a_saved_product_can_back_an_image(
    image: MakeImage, fits_pixels: Callable[..., FitsPixels]
):
    """No cache file is needed then; what a task has in memory stays there."""
    data = np.ones((6, 5), np.float32)
    with task_memory(None) as memory:
        made = image(data=data)
        product = fits_pixels(data)
        made.back_by(product)
        assert made.pixels is product
        assert memory.nbytes == data.nbytes
        assert made.handle().files == ()
        made.evict()
        assert made.get_data().sum() == 30
    made = image(data=data)
    made.back_by(product)
    assert made.get_data().sum() == 30
    assert files() == []
    with pytest.raises(ValueError, match="cannot be backed by"):
        image(data=data.astype(np.float64)).back_by(product)


# ---- handles --------------------------------------------------------------------------------


def test_a_handle_says_what_a_plan_needs(image: MakeImage):
    """Keys, names, files and sizes, without a pixel."""
    made = image("b.fits", RAWPATH="/raw/x.fits,/raw/y.fits", EXPTIME=5.0)
    handle = made.handle()
    assert handle.get("EXPTIME") == 5.0
    assert handle.get("MISSING", 3) == 3
    assert handle.name == "b.fits"
    assert handle.names == ["x.fits", "y.fits"]
    assert handle.files == (made.cache_path,)
    assert (handle.shape, handle.dtype, handle.nbytes) == ((6, 5), np.float32, 120)
    assert handle == made.handle()
    assert hash(handle) == hash(made.handle())
    assert handle != image("b.fits").handle()
    assert sys.getsizeof(handle) < 2000


def test_each_opening_gives_an_image_of_its_own(image: MakeImage):
    """Their headers and pixels change apart from each other."""
    handle = image(EXPTIME=5.0).handle()
    one, two = handle.open(), handle.open()
    one["EXPTIME"] = 1.0
    one.set_data(np.zeros((1, 1)))
    assert two["EXPTIME"] == 5.0
    assert two.shape == (6, 5)
    assert handle.get("EXPTIME") == 5.0


def test_a_handle_does_not_follow_its_image(image: MakeImage):
    """It is the image as it was."""
    made = image(EXPTIME=5.0)
    handle = made.handle()
    made["EXPTIME"] = 6.0
    made.set_data(np.zeros((6, 5)))
    assert handle.get("EXPTIME") == 5.0
    assert handle.open().get_data()[0, 1] == 1


class SpecialImage(Image):
    """An image of a user's class."""

    def __init__(self, data: Any, header: Any, label: str) -> None:
        super().__init__(data, header)
        self.label = label


def test_subclasses_and_added_attributes_survive(header: Callable[..., Any]):
    """Opening a handle gives an image of the same class."""
    made = SpecialImage(np.zeros((2, 2)), header(), "mine")
    for other in (made.handle().open(), copy.copy(made)):
        assert type(other) is SpecialImage
        assert other.label == "mine"
    assert ImageBatch(made)[0] is made


def test_the_size_of_an_image_counts_pixels_in_memory(
    image: MakeImage, fits_pixels: Callable[..., FitsPixels], header: Any
):
    """Dask is told the truth: little for a file, all of an array."""
    made = image(data=np.zeros((100, 100)))
    assert sys.getsizeof(made) < 10_000
    made.set_ram_data(np.zeros((100, 100)))
    assert sys.getsizeof(made) > 80_000
    framed = Image(fits_pixels(np.zeros((100, 100), np.float32)), header())
    assert sys.getsizeof(framed.handle().open()) < 10_000
    with task_memory(None):
        framed.view_data()
        assert sys.getsizeof(framed) > 40_000


def test_an_image_of_a_file_that_must_be_read_whole(tmp_path: Path, header: Any):
    """Outside a task each look reads it; asking for the cache file copies it once."""
    import gzip

    from astropy.io import fits

    plain = tmp_path / "a.fits"
    fits.PrimaryHDU(np.ones((4, 4), np.float32)).writeto(plain)
    path = tmp_path / "a.fits.gz"
    path.write_bytes(gzip.compress(plain.read_bytes()))
    status = os.stat(path)
    stamp = (status.st_size, status.st_mtime_ns, status.st_ino)
    made = Image(FitsFilePixels(path, 0, (4, 4), np.dtype("f4"), *stamp), header())
    assert made.get_data().sum() == 16
    assert not made.pixels.rows_readable
    assert np.load(made.cache_path).sum() == 16
    assert made.pixels.rows_readable
