"""Masking pixels."""

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.errors import UsageError
from mirar_dask.io import open_image
from mirar_dask.paths import Roots, use_roots
from mirar_dask.processors.mask import (
    BaseMask,
    MaskAboveThreshold,
    MaskDatasecPixels,
    MaskPixelsFromFunction,
    MaskPixelsFromPath,
    MaskPixelsFromPathInverted,
    MaskPixelsFromWCS,
    WriteMaskedCoordsToFile,
)
from mirar_dask.testing.images import make_image

DATA = np.array([[1, 2, 3], [4, np.nan, 6]], dtype=np.float32)
WCS_KEYS = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.0,
    "CRVAL2": 2.0,
    "CRPIX1": 4.5,
    "CRPIX2": 5.5,
    "CDELT1": -0.001,
    "CDELT2": 0.001,
    "CUNIT1": "deg",
    "CUNIT2": "deg",
}


@pytest.fixture(autouse=True)
def roots(tmp_path):
    """Let every test write below its own folder."""
    with use_roots(Roots(tmp_path / "raw", tmp_path / "out")) as roots:
        yield roots


def run(processor, *images):
    processor.set_night("cam/20240301")
    return processor.base_apply(Dataset([ImageBatch(list(images))]))


def mask(processor, *images):
    dataset, errors = run(processor, *images)
    assert len(errors.get_all_reports()) == 0
    return list(dataset[0])


def write_mask(path, values):
    fits.PrimaryHDU(np.asarray(values)).writeto(path, overwrite=True)
    return path


def odd(image):
    """Pick the odd pixels."""
    return image.get_data() % 2 == 1


def wrong_shape(image):
    """Return a mask of another shape."""
    return np.zeros((3, 2), dtype=bool)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_zeros_of_a_mask_file_are_masked(tmp_path, dtype):
    """1, or any other value, is good; what was NaN stays NaN."""
    path = write_mask(tmp_path / "m.fits", np.array([[0, 1, 2], [1, 1, 0]], dtype=dtype))
    (image,) = mask(MaskPixelsFromPath(path), make_image("a.fits", DATA))
    np.testing.assert_array_equal(image.get_data(), [[np.nan, 2, 3], [4, np.nan, np.nan]])
    assert image.dtype == np.float32


def test_the_inverted_form_masks_what_is_not_zero(tmp_path):
    """For files in which bad pixels are marked with 1."""
    path = write_mask(tmp_path / "m.fits", np.array([[0, 1, 2], [0, 0, 0]], dtype=np.uint8))
    (image,) = mask(MaskPixelsFromPathInverted(path), make_image("a.fits", DATA))
    np.testing.assert_array_equal(image.get_data(), [[1, np.nan, np.nan], [4, np.nan, 6]])


def test_each_image_may_name_its_own_mask(tmp_path):
    """The path is read from the header of every image."""
    first = write_mask(tmp_path / "1.fits", np.array([[0, 1, 1], [1, 1, 1]], dtype=np.uint8))
    second = write_mask(tmp_path / "2.fits", np.array([[1, 1, 0], [1, 1, 1]], dtype=np.uint8))
    images = mask(
        MaskPixelsFromPath(mask_path_key="BADPIX"),
        make_image("a.fits", DATA, BADPIX=str(first)),
        make_image("b.fits", DATA, BADPIX=str(second)),
    )
    assert np.isnan(images[0].get_data()[0, 0])
    assert np.isnan(images[1].get_data()[0, 2])
    assert np.count_nonzero(np.isnan(images[1].get_data())) == 2


def test_a_mask_file_that_changes_is_read_again(tmp_path):
    """What is kept for the next image is kept as long as the file is the same."""
    path = write_mask(tmp_path / "m.fits", np.array([[0, 1, 1], [1, 1, 1]], dtype=np.uint8))
    mask(MaskPixelsFromPath(path), make_image("a.fits", DATA))
    write_mask(path, np.array([[1.0, 0, 1], [1, 1, 1]]))
    (image,) = mask(MaskPixelsFromPath(path), make_image("a.fits", DATA))
    np.testing.assert_array_equal(image.get_data(), [[1, np.nan, 3], [4, np.nan, 6]])


def test_a_function_picks_pixels():
    """True where a pixel shall be masked."""
    (image,) = mask(MaskPixelsFromFunction(odd), make_image("a.fits", DATA))
    np.testing.assert_array_equal(image.get_data(), [[np.nan, 2, np.nan], [4, np.nan, 6]])


def test_pixels_above_a_threshold_are_masked():
    """A pixel that equals the threshold stays."""
    (image,) = mask(MaskAboveThreshold(3), make_image("a.fits", DATA))
    np.testing.assert_array_equal(image.get_data(), [[1, 2, 3], [np.nan, np.nan, np.nan]])


def test_every_image_is_masked_at_its_own_threshold():
    """The first image's limit does not stick to the next."""
    processor = MaskAboveThreshold(threshold_key="SATURATE")
    images = mask(
        processor,
        make_image("a.fits", DATA, SATURATE=2.5),
        make_image("b.fits", DATA, SATURATE=5),
    )
    assert np.count_nonzero(np.isnan(images[0].get_data())) == 4
    assert np.count_nonzero(np.isnan(images[1].get_data())) == 2
    assert processor.threshold is None


def test_integers_become_floats_so_that_they_can_be_masked():
    """No value is lost: 16 bits fit float32, 32 bits need float64."""
    for dtype, expected in ((np.uint16, np.float32), (np.int32, np.float64)):
        data = np.array([[1, 2], [3, 2**15]], dtype=dtype)
        (image,) = mask(MaskAboveThreshold(5), make_image("a.fits", data))
        assert image.dtype == expected
        np.testing.assert_array_equal(image.get_data(), [[1, 2], [3, np.nan]])


def test_the_mask_is_saved_with_ones_where_pixels_are_good(roots):
    """MASKFITS names the file; the image's header gets nothing else, its pixels are masked."""
    before = make_image("a.fits", DATA, SAVEPATH="/somewhere/a.fits")
    (image,) = mask(MaskAboveThreshold(3, write_masked_pixels_to_file=True), before)
    path = roots.output / "cam/20240301/mask/a.mask.fits"
    assert image["MASKFITS"] == str(path)
    assert image["SAVEPATH"] == "/somewhere/a.fits"
    saved = open_image(path)
    np.testing.assert_array_equal(saved.get_data(), [[1, 1, 1], [0, 1, 0]])
    assert saved["SAVEPATH"] == str(path)
    assert np.isnan(image.get_data()[1, 0])


def test_only_the_mask_may_be_wanted(roots):
    """The pixels then stay as they were."""
    processor = MaskAboveThreshold(
        3, write_masked_pixels_to_file=True, output_dir_name="sat", only_write_mask=True
    )
    (image,) = mask(processor, make_image("a.fits", DATA))
    np.testing.assert_array_equal(image.get_data(), DATA)
    assert (roots.output / "cam/20240301/sat/a.mask.fits").is_file()


def test_masked_pixels_are_saved_and_found_again_on_the_sky():
    """A mask that is carried over by the WCS falls on the same stars, wherever they are."""
    first = make_image("a.fits", **WCS_KEYS)
    data = first.get_data()
    data[0, 0] = data[3, 2] = data[9, 7] = np.nan
    first.set_data(data)
    (saved,) = mask(WriteMaskedCoordsToFile(), first)
    shifted = {**WCS_KEYS, "CRPIX1": WCS_KEYS["CRPIX1"] + 2, "CRPIX2": WCS_KEYS["CRPIX2"] - 1}
    same, moved = mask(
        MaskPixelsFromWCS(),
        make_image("b.fits", MASKFITS=saved["MASKFITS"], **WCS_KEYS),
        make_image("c.fits", MASKFITS=saved["MASKFITS"], **shifted),
    )
    assert np.argwhere(~same.get_mask()).tolist() == [[0, 0], [3, 2], [9, 7]]
    assert np.argwhere(~moved.get_mask()).tolist() == [[2, 4]]


def test_positions_on_the_sky_may_be_given():
    """The pixel that a position falls into is masked; positions elsewhere mask nothing."""
    image = make_image("a.fits", **WCS_KEYS)
    sky = image.wcs.pixel_to_world([3.4, 100.0], [5.6, 2.0])
    (image,) = mask(MaskPixelsFromWCS(list(sky.ra.deg), list(sky.dec.deg)), image)
    assert np.argwhere(~image.get_mask()).tolist() == [[6, 3]]


@pytest.mark.parametrize(
    ("section", "good"),
    [
        ("[2:3,1:2]", [[0, 1, 1], [0, 1, 1]]),
        ("[1:3,2:2]", [[0, 0, 0], [1, 1, 1]]),
        ("[1:3,1:2]", [[1, 1, 1], [1, 1, 1]]),
    ],
)
def test_pixels_outside_the_data_section_are_masked(section, good):
    """Sections count from one and include both ends."""
    data = np.ones((2, 3), dtype=np.float32)
    (image,) = mask(MaskDatasecPixels(), make_image("a.fits", data, DATASEC=section))
    np.testing.assert_array_equal(image.get_mask(), np.array(good, dtype=bool))


@pytest.mark.parametrize(
    ("processor", "text"),
    [
        (MaskPixelsFromPath("nosuch.fits"), "nosuch.fits'"),
        (MaskPixelsFromPath(mask_path_key="NOSUCH"), "'a.fits' has no header key 'NOSUCH'"),
        (MaskAboveThreshold(threshold_key="NOSUCH"), "'a.fits' has no header key 'NOSUCH'"),
        (MaskAboveThreshold(threshold_key="TARGET"), "TARGET='field' where a number is needed"),
        (MaskPixelsFromFunction(wrong_shape), r"has shape (3, 2), the image (2, 3)"),
        (MaskDatasecPixels(), "'a.fits' has no section in header key 'DATASEC'"),
        (MaskPixelsFromWCS(10.0, 3.0), "'a.fits' has no celestial WCS"),
    ],
)
def test_what_cannot_be_masked_fails_alone_with_its_reason(processor, text):
    """The report names the file and says what is wrong."""
    dataset, errors = run(processor, make_image("a.fits", DATA))
    assert len(dataset) == 0
    (report,) = errors.get_all_reports()
    assert report.contents == ["a.fits"]
    assert report.known_error_bool
    assert text in report.generate_full_traceback()


def test_relative_paths_are_those_of_the_process_that_names_them(tmp_path, monkeypatch):
    """A worker in another folder finds the same file."""
    write_mask(tmp_path / "m.fits", np.array([[0, 1, 1], [1, 1, 1]], dtype=np.uint8))
    monkeypatch.chdir(tmp_path)
    processor = MaskPixelsFromPath("m.fits")
    monkeypatch.chdir("/")
    (image,) = mask(processor, make_image("a.fits", DATA))
    assert np.isnan(image.get_data()[0, 0])


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (MaskAboveThreshold, {}),
        (MaskAboveThreshold, {"threshold": 1, "threshold_key": "SATURATE"}),
        (MaskPixelsFromPath, {}),
        (MaskPixelsFromPathInverted, {"mask_path": "m.fits", "mask_path_key": "BADPIX"}),
    ],
)
def test_one_of_two_options_is_needed(cls, options):
    """Neither none nor both."""
    with pytest.raises(UsageError, match=f"{cls.__name__} needs one of"):
        cls(**options)


def test_positions_need_both_coordinates():
    """As many of one as of the other."""
    with pytest.raises(ValueError, match="as many values in ra as in dec"):
        MaskPixelsFromWCS([1.0, 2.0], [1.0])


def test_a_mask_of_the_users_overrides_get_mask():
    """Three lines make a masking processor, as in mirar."""

    class MaskCorner(BaseMask):
        base_key = "maskcorner"

        def get_mask(self, image):
            found = np.zeros(image.get_data().shape)
            found[0, 0] = 1
            return found

    (image,) = mask(MaskCorner(), make_image("a.fits", DATA))
    np.testing.assert_array_equal(image.get_data(), [[np.nan, 2, 3], [4, np.nan, 6]])
    assert image["CALSTEPS"] == "maskcorner,"
