"""Processors that fill, mask and plot without parameters from the header."""

import sys

import numpy as np
import pytest

from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.errors import UsageError
from mirar_dask.processors.base_processor import Status
from mirar_dask.processors.utils import ImagePlotter, ModeMasker, NanFiller
from mirar_dask.testing.images import make_image


def run(processor, *images):
    processor.set_night("cam/20240301")
    return processor.step(Dataset([ImageBatch(list(images))]))


def noise(shape=(60, 50)):
    return np.random.default_rng(5).normal(100, 3, shape).astype(np.float32)


def test_masked_pixels_are_filled_with_the_median():
    """The other pixels stay as they are."""
    data = np.array([[1, np.nan, 3], [10, np.nan, 2]], dtype=np.float32)
    (image,) = run(NanFiller(), make_image("a.fits", data)).dataset[0]
    np.testing.assert_array_equal(image.get_data(), [[1, 2.5, 3], [10, 2.5, 2]])
    assert image.dtype == np.float32


def test_an_image_without_masked_pixels_is_left_alone():
    """Not a byte is written for it."""
    image = make_image("a.fits")
    pixels = image.pixels
    run(NanFiller(), image)
    assert image.pixels is pixels


def test_an_image_that_is_masked_altogether_fails():
    """There is no median to fill with."""
    stepped = run(NanFiller(), make_image("a.fits", np.full((3, 3), np.nan, np.float32)))
    (record,) = stepped.records
    assert record.status is Status.FAILED
    assert "every pixel of 'a.fits' is masked" in record.reason


@pytest.mark.parametrize("shape", [(60, 50), (300, 200)])
def test_common_values_are_masked(shape):
    """Fillings go, noise stays, in small images as in large ones."""
    data = noise(shape)
    data[:5, :4] = 0
    data[10:13, 10:15] = 65535
    data[20, 20] = np.nan
    (image,) = run(ModeMasker(), make_image("a.fits", data)).dataset[0]
    masked = np.isnan(image.get_data())
    expected = np.isnan(data) | (data == 0) | (data == 65535)
    np.testing.assert_array_equal(masked, expected)


def test_an_image_without_common_values_is_left_alone():
    """As every image of noise is."""
    image = make_image("a.fits", noise())
    pixels = image.pixels
    run(ModeMasker(), image)
    assert image.pixels is pixels


def test_an_image_of_whole_numbers_is_not_masked_away():
    """It goes on as it was, with a report that says why."""
    data = np.round(noise())
    stepped = run(ModeMasker(), make_image("a.fits", data))
    np.testing.assert_array_equal(stepped.dataset[0][0].get_data(), data)
    (record,) = stepped.records
    assert record.status is Status.CAVEATS
    assert record.report.non_critical_bool
    assert "nothing was masked" in record.reason


@pytest.mark.parametrize(("plot_format", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_an_image_is_plotted_under_its_name(roots, plot_format, magic):
    """The picture is where the parameters say; the image is as it was."""
    data = noise()
    data[3, 3] = np.nan
    plotter = ImagePlotter("quick", plot_format, annotate_fields="TARGET")
    stepped = run(plotter, make_image("a.fits", data))
    assert stepped.records == []
    np.testing.assert_array_equal(stepped.dataset[0][0].get_data(), data)
    picture = roots.output / "cam/20240301/quick" / f"a.{plot_format}"
    assert picture.read_bytes().startswith(magic)


def test_plotting_touches_no_state_of_matplotlib(roots):
    """A notebook's own figures and its backend are left alone."""
    already = "matplotlib.pyplot" in sys.modules
    run(ImagePlotter(), make_image("a.fits", noise()))
    assert ("matplotlib.pyplot" in sys.modules) is already


def test_a_title_that_cannot_be_made_costs_the_picture_only(roots):
    """The image goes on, with a report that names the key."""
    stepped = run(ImagePlotter(annotate_fields=["TARGET", "NOSUCH"]), make_image("a.fits"))
    assert [len(batch) for batch in stepped.dataset] == [1]
    (record,) = stepped.records
    assert record.status is Status.CAVEATS
    assert "'a.fits' lacks header key NOSUCH" in record.reason


def test_other_formats_are_refused():
    """The message names the two that there are."""
    with pytest.raises(UsageError, match="expected 'png' or 'pdf'"):
        ImagePlotter(plot_format="jpg")
