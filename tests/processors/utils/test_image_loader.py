"""Loading raw frames."""

import os
import pickle
from functools import partial

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.data import Dataset, Image, ImageBatch
from mirar_dask.data.pixels import FitsPixels
from mirar_dask.errors import ImageNotFoundError
from mirar_dask.io import open_fits, open_mef_image, open_raw_image
from mirar_dask.paths import Roots, use_roots
from mirar_dask.processors.base_processor import Status
from mirar_dask.processors.utils import (
    ImageListLoader,
    ImageLoader,
    LoadImageFromHeader,
    MEFLoader,
)
from mirar_dask.processors.utils.image_loader import (
    BadImageError,
    InvalidImage,
    load_from_dir,
    load_from_list,
)
from mirar_dask.testing.images import make_header, make_image

START = Dataset([ImageBatch()])


def loader(cls=ImageLoader, *args, **kwargs):
    made = cls(*args, **kwargs)
    made.set_night("cam/20240301")
    return made


def names(batch):
    return [image.get_name() for image in batch]


def traceback_of(report):
    return report.generate_full_traceback()


def test_all_frames_come_in_one_batch_sorted_by_name(night_folder, frame):
    """Every suffix is accepted, compressed or not; other and hidden files are no frames."""
    for name in ("c.fits", "a.fit", "b.fts", "d.fits.gz"):
        frame(night_folder / name)
    (night_folder / "notes.txt").write_text("clouds")
    (night_folder / ".a.fits").write_text("half a copy")
    dataset, errors = loader().base_apply(START)
    assert [names(batch) for batch in dataset] == [["a.fit", "b.fts", "c.fits", "d.fits"]]
    assert len(errors.get_all_reports()) == 0


def test_pixels_stay_in_the_files_and_are_right(night_folder, frame):
    """An image of 16-bit integers becomes one of float32 with the same values."""
    written = frame(night_folder / "a.fits")
    image = loader().base_apply(START)[0][0][0]
    assert isinstance(image.pixels, FitsPixels)
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image.get_data(), written)
    assert image["RAWPATH"] == str(night_folder / "a.fits")
    assert image["CALSTEPS"] == "load,"


def test_the_folder_is_left_as_it_was(night_folder, frame):
    """Nothing is renamed, removed or rewritten, tile-compressed files included."""
    data = frame(night_folder / "a.fits")
    fits.CompImageHDU(data, make_header("b.fits")).writeto(night_folder / "b.fits.fz")
    before = {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(night_folder)}
    dataset, _ = loader().base_apply(START)
    assert names(dataset[0]) == ["a.fits", "b.fits"]
    assert {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(night_folder)} == before


def test_each_bad_file_is_one_report_that_names_it(night_folder, frame):
    """Truncated, empty, wrong and incomplete files cost themselves and nothing else."""
    frame(night_folder / "good.fits")
    frame(night_folder / "noexp.fits", EXPTIME=None)
    frame(night_folder / "short.fits")
    whole = (night_folder / "short.fits").read_bytes()
    (night_folder / "short.fits").write_bytes(whole[: len(whole) - 2880 - 40])
    (night_folder / "empty.fits").write_bytes(b"")
    (night_folder / "text.fits").write_text("clouds\n" * 1000)
    dataset, errors = loader().base_apply(START)
    assert [names(batch) for batch in dataset] == [["good.fits"]]
    found = {tuple(report.contents): report for report in errors.get_all_reports()}
    assert set(found) == {("empty.fits",), ("noexp.fits",), ("short.fits",), ("text.fits",)}
    for (name,), report in found.items():
        assert name in traceback_of(report)
        assert report.known_error_bool
    assert "EXPTIME" in traceback_of(found[("noexp.fits",)])


def test_a_second_image_of_one_name_fails(night_folder, frame):
    """Two files whose images are called the same would overwrite each other's products."""
    frame(night_folder / "a.fits")
    frame(night_folder / "a.fits.gz")
    dataset, errors = loader().base_apply(START)
    assert names(dataset[0]) == ["a.fits"]
    (report,) = errors.get_all_reports()
    assert report.contents == ["a.fits.gz"]


def test_an_absent_folder_is_named(roots):
    """The report gives the path that was looked for."""
    dataset, errors = loader().base_apply(START)
    assert len(dataset) == 0
    (report,) = errors.get_all_reports()
    assert f"there is no folder '{roots.raw}/cam/20240301/raw'" in traceback_of(report)
    with pytest.raises(ImageNotFoundError, match="no images found: there is no folder"):
        loader().list_inputs()


def test_a_folder_without_frames_is_named(night_folder):
    """The message says what the folder holds instead, and what frames are."""
    (night_folder / "notes.txt").write_text("clouds")
    with pytest.raises(
        FileNotFoundError, match=r"holds 1 other files .* no frame; frames are \.fi"
    ):
        loader().list_inputs()


def test_the_folder_can_be_chosen(tmp_path, frame):
    """Sub-folder and parent are parameters; a night's own folder stands for the default."""
    own = tmp_path / "elsewhere" / "cam/20240301" / "split"
    own.mkdir(parents=True)
    frame(own / "a.fits")
    chosen = loader(ImageLoader, "split", tmp_path / "elsewhere")
    assert names(chosen.base_apply(START)[0][0]) == ["a.fits"]
    with use_roots(Roots(tmp_path / "raw", tmp_path / "out", night_raw=own)):
        assert names(loader().base_apply(START)[0][0]) == ["a.fits"]


def make_two(path):
    """Make two images of every file."""
    data, header = open_fits(path)
    images = []
    for part in ("x", "y"):
        own = header.copy()
        own["BASENAME"] = f"{path.stem}_{part}.fits"
        images.append(Image(data.astype("float32"), own))
    return images


def passes_focus_over(path):
    """Say of focus frames that they are of no use."""
    if "focus" in path.name:
        raise InvalidImage("focus frame")
    return open_raw_image(path)


def returns_an_array(path):
    """Forget to make an Image."""
    return open_fits(path)[0]


def fails_for_b(path):
    """Have a bug that shows with one file."""
    if path.name == "b.fits":
        raise RuntimeError("no such amplifier")
    return open_raw_image(path)


def test_a_function_of_the_users_may_make_several_images(night_folder, frame):
    """A list of images is as good as one."""
    frame(night_folder / "a.fits")
    dataset, errors = loader(load_image=make_two).base_apply(START)
    assert names(dataset[0]) == ["a_x.fits", "a_y.fits"]
    assert len(errors.get_all_reports()) == 0


def test_frames_that_the_function_calls_invalid_are_set_aside(night_folder, frame):
    """Passing a frame over is no error, but it is on record."""
    frame(night_folder / "a.fits")
    frame(night_folder / "focus.fits")
    stepped = loader(load_image=passes_focus_over).step(START)
    assert names(stepped.dataset[0]) == ["a.fits"]
    (record,) = stepped.records
    assert (record.names, record.status, record.report) == (
        ("focus.fits",),
        Status.SET_ASIDE,
        None,
    )
    assert "focus frame" in record.reason


@pytest.mark.parametrize(
    ("function", "text"),
    [(fails_for_b, "no such amplifier"), (returns_an_array, "returned ndarray for")],
)
def test_errors_of_the_users_function_name_the_file(night_folder, frame, function, text):
    """Whatever it raises or returns concerns one file."""
    frame(night_folder / "b.fits")
    _, errors = loader(load_image=function).base_apply(START)
    (report,) = errors.get_all_reports()
    assert report.contents == ["b.fits"]
    assert text in traceback_of(report)


def test_a_function_of_the_users_is_not_given_half_a_file(night_folder, frame):
    """An incomplete file is refused before the function sees it."""
    frame(night_folder / "a.fits")
    whole = (night_folder / "a.fits").read_bytes()
    (night_folder / "a.fits").write_bytes(whole[:-2900])
    _, errors = loader(load_image=make_two).base_apply(START)
    (report,) = errors.get_all_reports()
    assert "is not complete" in traceback_of(report)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (None, True),
        (open_mef_image, True),
        (partial(open_raw_image, dtype="float64"), True),
        (partial(open_raw_image, open_f=open_fits), False),
        (make_two, False),
    ],
)
def test_a_loader_knows_whether_it_reads_headers_only(function, expected):
    """Of a function of the user's that is not known."""
    assert ImageLoader(load_image=function).headers_only is expected
    assert pickle.loads(pickle.dumps(ImageLoader(load_image=function))).headers_only is expected


def test_every_extension_is_an_image_for_the_mef_loader_alone(night_folder):
    """The image loader refuses several images in a file and says what loads them."""
    header = make_header("m.fits")
    del header["RAWPATH"], header["BASENAME"]
    planes = [np.full((4, 5), value, np.uint16) for value in (7, 8)]
    fits.HDUList(
        [fits.PrimaryHDU(header=header), *(fits.ImageHDU(plane) for plane in planes)]
    ).writeto(night_folder / "m.fits")
    dataset, errors = loader(MEFLoader).base_apply(START)
    assert len(errors.get_all_reports()) == 0
    assert len(set(names(dataset[0]))) == 2
    assert [image.get_data()[0, 0] for image in dataset[0]] == [7, 8]
    assert {image["TARGET"] for image in dataset[0]} == {"field"}
    _, errors = loader().base_apply(START)
    (report,) = errors.get_all_reports()
    assert report.contents == ["m.fits"]
    assert "MEFLoader" in traceback_of(report)


def test_a_list_is_loaded_in_its_order(tmp_path, frame):
    """Files may be anywhere; one that is absent fails alone."""
    for name in ("a.fits", "b.fits"):
        frame(tmp_path / name)
    listed = ImageListLoader([tmp_path / "b.fits", str(tmp_path / "a.fits"), tmp_path / "no.fits"])
    dataset, errors = listed.base_apply(START)
    assert names(dataset[0]) == ["b.fits", "a.fits"]
    (report,) = errors.get_all_reports()
    assert report.contents == ["no.fits"]


def test_an_empty_list_is_refused():
    """It would make an empty night without a word."""
    with pytest.raises(ImageNotFoundError, match="empty list"):
        ImageListLoader([])


def test_the_function_forms_leave_bad_files_out_with_a_word(tmp_path, frame, caplog):
    """load_from_dir and load_from_list return the good images and name the rest in the log."""
    frame(tmp_path / "a.fits")
    (tmp_path / "bad.fits").write_text("clouds")
    frame(tmp_path / "focus.fits")
    assert names(load_from_dir(tmp_path, passes_focus_over)) == ["a.fits"]
    assert "bad.fits is left out" in caplog.text
    assert "focus.fits is passed over: focus frame" in caplog.text
    assert names(load_from_list([str(tmp_path / "a.fits")], open_raw_image)) == ["a.fits"]


def test_pixels_are_loaded_again_from_the_file_in_the_header(tmp_path, frame):
    """The file's pixels and header replace the image's, but for the keys that are copied."""
    written = frame(tmp_path / "a.fits", EXPTIME=12.5)
    image = make_image("a.fits", RAWPATH=str(tmp_path / "a.fits"), EXPTIME=1.0, SEEING=2.5)
    image.get_header().comments["SEEING"] = "arcsec"
    reload = LoadImageFromHeader(copy_header_keys="SEEING")
    dataset, errors = reload.base_apply(Dataset([ImageBatch([image])]))
    assert len(errors.get_all_reports()) == 0
    new = dataset[0][0]
    np.testing.assert_array_equal(new.get_data(), written)
    assert (new["EXPTIME"], new["SEEING"]) == (12.5, 2.5)
    assert new.get_header().comments["SEEING"] == "arcsec"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"header_key": "NOSUCH"}, "has no header key 'NOSUCH'"),
        ({"copy_header_keys": ["NOSUCH"]}, "has no header key 'NOSUCH'"),
        ({"load_image": make_two}, "holds 2 images; one is needed"),
    ],
)
def test_reloading_that_fails_concerns_one_image(tmp_path, frame, options, text):
    """The report says what is wrong with which image."""
    frame(tmp_path / "a.fits")
    image = make_image("a.fits", RAWPATH=str(tmp_path / "a.fits"))
    dataset, errors = LoadImageFromHeader(**options).base_apply(Dataset([ImageBatch([image])]))
    assert len(dataset) == 0 or len(dataset[0]) == 0
    (report,) = errors.get_all_reports()
    assert text in traceback_of(report)


def test_reloading_from_an_absent_file_names_it(tmp_path):
    """The path in the header is shown."""
    image = make_image("a.fits", RAWPATH=str(tmp_path / "gone.fits"))
    _, errors = LoadImageFromHeader().base_apply(Dataset([ImageBatch([image])]))
    (report,) = errors.get_all_reports()
    assert "gone.fits" in traceback_of(report)


def test_bad_image_error_is_known():
    """Errors that functions of the user's raise on purpose count as ours."""
    assert issubclass(BadImageError, Exception)
    assert BadImageError.__mro__[1].__name__ == "ProcessorError"
    assert InvalidImage.__mro__[1].__name__ == "NoncriticalProcessingError"
