"""Saving images as FITS files."""

import os
import pickle

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.data.memory import task_memory
from mirar_dask.data.pixels import FitsPixels
from mirar_dask.io import open_image
from mirar_dask.processors.utils import HeaderEditor, ImageSaver
from mirar_dask.testing.images import make_image

PIXELS = np.array([[1.5, np.nan, -3.25], [1e-30, 2e30, 65535.0]], dtype=np.float32)


def saver(*args, **kwargs):
    made = ImageSaver(*args, **kwargs)
    made.set_night("cam/20240301")
    return made


def save(processor, *images):
    dataset, errors = processor.base_apply(Dataset([ImageBatch(list(images))]))
    assert len(errors.get_all_reports()) == 0
    return dataset[0]


@pytest.mark.parametrize("compress", [False, True])
def test_what_is_saved_is_read_back_to_the_bit(roots, compress):
    """Pixels, NaN included, and header are the image's; nothing else is left in the folder."""
    (image,) = save(saver("reduced", compress=compress), make_image("a.fits", PIXELS, FILTER="r"))
    folder = roots.output / "cam/20240301/reduced"
    assert os.listdir(folder) == ["a.fits"]
    back = open_image(folder / "a.fits")
    np.testing.assert_array_equal(back.get_data(), PIXELS)
    assert back["FILTER"] == "r"
    assert back["SAVEPATH"] == image["SAVEPATH"] == str(folder / "a.fits")
    assert back["DATE"] == image["DATE"]
    assert len(back["DATE"]) == len("2024-03-01T05:00:00.000")


def test_the_image_is_backed_by_its_product(roots):
    """No second copy of the pixels is kept: the handle names the FITS file."""
    (image,) = save(saver("reduced"), make_image("a.fits", PIXELS))
    assert isinstance(image.pixels, FitsPixels)
    assert str(image.pixels.path) == image["SAVEPATH"]
    np.testing.assert_array_equal(image.get_data(), PIXELS)
    arrived = pickle.loads(pickle.dumps(image))
    np.testing.assert_array_equal(arrived.get_data(), PIXELS)


def test_inside_a_task_the_pixels_stay_in_memory_and_get_no_cache_file(roots):
    """The step behind the saver reads nothing, and what leaves the task is the product."""
    with task_memory(None):
        (image,) = save(saver("reduced"), make_image("a.fits", PIXELS))
        os.unlink(image["SAVEPATH"])
        np.testing.assert_array_equal(image.view_data(), PIXELS)
        assert image.handle().files == ()


@pytest.mark.parametrize(
    ("data", "compress"),
    [(PIXELS, True), (np.arange(6, dtype=np.int16).reshape(2, 3), False)],
)
def test_a_product_that_does_not_give_the_pixels_as_they_are_backs_nothing(roots, data, compress):
    """Rows of compressed files cannot be read alone, and integers would come back as floats."""
    (image,) = save(saver("reduced", compress=compress), make_image("a.fits", data))
    assert not isinstance(image.pixels, FitsPixels)
    assert image.dtype == data.dtype
    np.testing.assert_array_equal(image.get_data(), data)


def test_a_product_that_a_later_step_replaces_backs_nothing(roots):
    """A step that is done twice, after a worker died, must find its input as it was."""
    first, other, last = saver("reduced"), saver("other"), saver("reduced")
    last.set_preceding_steps([first, other])
    assert (first.backs_images, other.backs_images, last.backs_images) == (False, True, True)
    (image,) = save(first, make_image("a.fits", PIXELS))
    assert not isinstance(image.pixels, FitsPixels)


def test_the_mask_has_ones_where_pixels_are_good(roots):
    """The science image keeps its own SAVEPATH; the mask's header names the mask."""
    (image,) = save(saver("reduced", write_mask=True), make_image("a.fits", PIXELS))
    folder = roots.output / "cam/20240301/reduced"
    mask = open_image(folder / "a.mask.fits")
    np.testing.assert_array_equal(mask.get_data(), [[1, 0, 1], [1, 1, 1]])
    assert mask["SAVEPATH"] == str(folder / "a.mask.fits")
    assert image["SAVEPATH"] == str(folder / "a.fits")
    assert open_image(folder / "a.fits")["SAVEPATH"] == str(folder / "a.fits")


def test_the_mask_takes_the_weights_where_there_are_any(roots, tmp_path):
    """Good pixels get the weight of the map that WGHTPATH names, masked ones 0."""
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    fits.PrimaryHDU(weights).writeto(tmp_path / "w.fits")
    image = make_image("a.fits", PIXELS, WGHTPATH=str(tmp_path / "w.fits"))
    save(saver("reduced", write_mask=True), image)
    mask = open_image(roots.output / "cam/20240301/reduced/a.mask.fits").get_data()
    np.testing.assert_array_equal(mask, [[0, 0, 2], [3, 4, 5]])


def test_the_root_can_be_chosen(tmp_path, roots):
    """output_dir stands for the output root."""
    (image,) = save(saver("reduced", output_dir=tmp_path / "mine"), make_image("a.fits"))
    assert image["SAVEPATH"] == str(tmp_path / "mine/cam/20240301/reduced/a.fits")
    assert not roots.output.exists()


def test_a_name_never_leads_out_of_the_folder(roots, tmp_path):
    """Separators in a header's name are made harmless."""
    (image,) = save(saver("reduced"), make_image("../../../evil.fits"))
    folder = roots.output / "cam/20240301/reduced"
    assert os.path.dirname(image["SAVEPATH"]) == str(folder)
    assert [p for p in tmp_path.rglob("*evil*") if folder not in p.parents] == []


def test_two_images_are_never_saved_over_each_other(roots):
    """The second of two whose paths are one fails; the report names both."""
    one, other = make_image("a/b.fits", RAWPATH="/n/x.fits"), make_image("a_b.fits")
    dataset, errors = saver("reduced").base_apply(Dataset([ImageBatch([one, other])]))
    assert [image.get_name() for image in dataset[0]] == ["a/b.fits"]
    (report,) = errors.get_all_reports()
    assert report.contents == ["a_b.fits"]
    text = report.generate_full_traceback()
    assert "'a_b.fits' (from a_b.fits) would be saved over 'a/b.fits' (from x.fits)" in text


def test_saving_again_replaces_the_product(roots):
    """An image that is backed by its product is saved over it with a new header."""
    processor = saver("reduced")
    batch = save(processor, make_image("a.fits", PIXELS))
    edited, _ = HeaderEditor("TARGET", "m13").base_apply(Dataset([batch]))
    (image,) = save(processor, *edited[0])
    np.testing.assert_array_equal(image.get_data(), PIXELS)
    back = open_image(image["SAVEPATH"])
    assert back["TARGET"] == "m13"
    np.testing.assert_array_equal(back.get_data(), PIXELS)


def test_a_folder_that_cannot_be_written_costs_a_clear_report(roots):
    """A file in the place of the folder is named."""
    roots.output.mkdir()
    (roots.output / "cam").write_text("in the way")
    _, errors = saver("reduced").base_apply(Dataset([ImageBatch([make_image("a.fits")])]))
    (report,) = errors.get_all_reports()
    assert str(roots.output / "cam") in report.generate_full_traceback()
