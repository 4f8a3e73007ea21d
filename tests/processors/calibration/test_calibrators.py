"""What bias, dark, flat and sky calibrators have in common."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.data.pixels import MemoryPixels, change
from mirar_dask.errors import ImageNotFoundError, MissingCalibrationError, ShapeMismatchError
from mirar_dask.processors.base_processor import Form, ProcessorWithCache
from mirar_dask.processors.bias import BiasCalibrator, MasterBiasCalibrator, MissingBiasError
from mirar_dask.processors.calibration import SubtractScaled, require_same_shape, select_class
from mirar_dask.processors.dark import DarkCalibrator, MasterDarkCalibrator, MissingDarkError
from mirar_dask.processors.flat import (
    FlatCalibrator,
    MasterFlatCalibrator,
    MissingFlatError,
    SkyFlatCalibrator,
)
from mirar_dask.processors.sky import (
    MasterSkyCalibrator,
    MissingSkyError,
    NightSkyMedianCalibrator,
)

CALIBRATORS = [
    (BiasCalibrator, MasterBiasCalibrator, MissingBiasError, "BIASNAME"),
    (DarkCalibrator, MasterDarkCalibrator, MissingDarkError, "DARKNAME"),
    (FlatCalibrator, MasterFlatCalibrator, MissingFlatError, "FLATNAME"),
    (NightSkyMedianCalibrator, MasterSkyCalibrator, MissingSkyError, "SKYNAME"),
]
ALL = pytest.mark.parametrize(("kind", "premade", "missing", "key"), CALIBRATORS)


def apply(processor, batch: ImageBatch) -> ImageBatch:
    processor.set_night("camera/20240101")
    dataset, errors = processor.base_apply(Dataset([batch]))
    assert len(errors) == 0, [report.get_error_message() for report in errors]
    return dataset[0]


@pytest.mark.parametrize("word", ["bias", "dark", "flat"])
def test_frames_are_chosen_by_class_or_target_in_any_case(word: str, make_image):
    """OBSCLASS wins where it names a kind of calibration."""
    data = np.ones((2, 2), "f4")
    images = ImageBatch(
        [
            make_image(data, "0", word),
            make_image(data, "1", word.upper() + " "),
            make_image(data, "2", "calibration", TARGET=word.title()),
            make_image(data, "3", "science"),
            make_image(data, "4", "flat" if word != "flat" else "dark", TARGET=word),
        ]
    )
    assert [image.get_name() for image in select_class(images, word)] == ["0", "1", "2"]


def test_an_image_without_class_and_target_is_not_chosen(make_image):
    """A key that is missing is no error."""
    image = make_image(np.ones((2, 2), "f4"))
    del image.header["OBSCLASS"], image.header["TARGET"]
    assert len(select_class(ImageBatch([image]), "bias")) == 0


@ALL
def test_each_image_names_the_master_that_was_saved(kind, premade, missing, key, night):
    """All images of the batch are corrected, those of the master too."""
    batch = apply(kind(), night.batch)
    paths = {image[key] for image in batch}
    assert len(batch) == 11
    assert len(paths) == 1
    path = Path(paths.pop())
    assert path.parent.name == "calibration"
    assert path.name.startswith(f"{kind.base_key}_")
    assert fits.getheader(path)["SAVEPATH"] == str(path)
    assert all(image["CALSTEPS"] == f"{kind.base_key}," for image in batch)


@ALL
def test_no_two_images_share_a_header_with_each_other_or_the_master(
    kind, premade, missing, key, night
):
    """The master's SAVEPATH, for one, appears in no frame."""
    batch = apply(kind(), night.batch)
    assert len({id(image.header) for image in batch}) == len(batch)
    assert not any("SAVEPATH" in image or "STCKCMPT" in image for image in batch)


@ALL
def test_a_master_need_not_be_saved(kind, premade, missing, key, night, night_folder: Path):
    """Without ``write_to_cache`` the images name the master all the same."""
    batch = apply(kind(write_to_cache=False), night.batch)
    assert not list(night_folder.rglob("*.fits"))
    assert batch[0][key].startswith(f"{kind.base_key}_")


@ALL
def test_a_master_says_what_it_was_made_of(kind, premade, missing, key, night):
    """Names, number, exposure times and method of its inputs, in mirar's keys and ours."""
    frames = kind().select_frames(night.batch)
    master = kind(method="mean").make_image(night.batch)
    assert master["STCKCMPT"] == ",".join(frame.get_name() for frame in frames)
    assert master["COADDS"] == len(frames)
    assert master["COMBMETH"] == "mean"
    assert len(master.get_raw_img_list()) == len(frames)
    assert master["INDIVEXP"]
    assert ("CAVEAT" in master) == (len(frames) < 3)
    assert master.get_name() not in {frame.get_name() for frame in frames}


@ALL
def test_a_master_made_before_gives_the_same_images(kind, premade, missing, key, night):
    """By its path, and with no frame of its kind in the batch."""
    made = apply(kind(), copy.deepcopy(night.batch))
    path = made[0][key]
    alone = ImageBatch([night.batch[-1]])
    again = apply(premade(lambda images: Path(path)), alone)
    assert np.array_equal(again[0].get_data(), made[-1].get_data(), equal_nan=True)
    assert again[0].get("SATURATE") == made[-1].get("SATURATE")
    assert again[0][key] == path


@ALL
def test_a_path_without_a_master_is_an_error_that_names_it(kind, premade, missing, key, night):
    """Of the kind's own class."""
    with pytest.raises(missing, match=r"no master at 'nowhere\.fits'"):
        premade(lambda images: "nowhere.fits").prepare(night.batch)


@ALL
def test_too_few_frames_are_an_error_with_found_and_wanted(kind, premade, missing, key, night):
    """It derives from mirar's ImageNotFoundError."""
    assert issubclass(missing, MissingCalibrationError)
    assert issubclass(missing, ImageNotFoundError)
    science = night.batch[9:] if kind.base_key != "sky" else night.batch[:3]
    with pytest.raises(missing, match=rf"found 0 {kind.base_key} frames .* need 1"):
        kind().prepare(science)
    with pytest.raises(missing, match=rf"found \d {kind.base_key} frames among 11 .* need 4"):
        kind(min_inputs=4).prepare(night.batch)


@ALL
def test_missing_frames_may_be_skipped_with_a_caveat(kind, premade, missing, key, night):
    """The images go on as they were, and the run says so."""
    others = night.batch[9:] if kind.base_key != "sky" else night.batch[:3]
    before = [image.get_data() for image in others]
    done = kind(missing="skip").process(others)
    assert [record.status for record in done.records] == ["succeeded with caveats"] * len(others)
    assert f"no master {kind.base_key}" in done.records[0].reason
    for image, data in zip(done.batch, before, strict=True):
        assert np.array_equal(image.get_data(), data)
        assert key not in image


@ALL
def test_an_image_of_another_shape_fails_alone_and_unchanged(
    kind, premade, missing, key, night, make_image
):
    """The message gives both shapes, the file and the master."""
    odd = make_image(np.ones((3, 4), "f4"), "odd.fits")
    batch = ImageBatch([*night.batch, odd])
    processor = kind()
    processor.set_night("camera/20240101")
    done = processor.process(batch)
    assert len(done.batch) == 11
    (record,) = [record for record in done.records if record.status == "failed"]
    assert record.names == ("odd.fits",)
    assert "'odd.fits' has shape (3, 4)" in record.reason
    assert "(24, 30)" in record.reason
    assert key not in odd
    assert np.array_equal(odd.get_data(), np.ones((3, 4)))


@ALL
def test_a_frame_of_another_shape_is_left_out_of_the_master(
    kind, premade, missing, key, night, make_image
):
    """The shape that most frames have is that of the master."""
    wanted = kind().select_frames(night.batch)
    odd = make_image(np.ones((3, 4), "f4"), "odd.fits", wanted[0]["OBSCLASS"], 10.0)
    batch = ImageBatch([odd, *night.batch])
    assert list(kind().select_frames(batch)) == list(wanted)


@ALL
def test_a_masked_pixel_stays_masked_and_does_not_spread(kind, premade, missing, key, night):
    """NaN in an image; NaN in one frame of the master is made up for by the others."""
    for image in (night.batch[0], night.batch[3], night.batch[6], night.batch[9]):
        data = image.get_data()
        data[5, 6] = np.nan
        image.set_data(data)
    batch = apply(kind(), night.batch)
    assert np.isnan(batch[9].get_data()[5, 6])
    for image in (batch[1], batch[10]):
        assert np.isfinite(image.get_data()).all()


@ALL
def test_a_pixel_that_every_frame_masks_is_masked_in_all_images(kind, premade, missing, key, night):
    """The master knows nothing about it."""
    for image in kind().select_frames(night.batch):
        data = image.get_data()
        data[5, 6] = np.nan
        image.set_data(data)
    batch = apply(kind(), night.batch)
    for image in batch:
        data = image.get_data()
        assert np.isnan(data[5, 6])
        assert np.isnan(data).sum() == 1


@ALL
def test_the_masters_file_depends_on_frames_and_parameters(kind, premade, missing, key, night):
    """A changed parameter never meets an old master."""

    def name(**parameters) -> str:
        return kind(**parameters).get_cache_file_name(night.batch)

    assert name() == name()
    assert len({name(), name(method="mean"), name(sigma=2.5), name(min_inputs=2)}) == 4
    if issubclass(kind, FlatCalibrator):
        assert name(x_max=9) != name()
        assert name(flat_mode="structure") != name()
        assert name(flat_nan_threshold=0.5) != name()
    fewer = ImageBatch([image for i, image in enumerate(night.batch) if i not in (0, 3, 6, 9)])
    assert kind().get_cache_file_name(fewer) != name()
    assert name(cache_image_name_header_keys=["OBSCLASS", "GAIN"]).startswith(
        f"{kind.base_key}_{kind().select_frames(night.batch)[0]['OBSCLASS']}_1.0_"
    )


@ALL
def test_a_saved_master_is_used_again(kind, premade, missing, key, night, monkeypatch):
    """The second time no frame is combined."""
    made = apply(kind(), copy.deepcopy(night.batch))
    monkeypatch.setattr(kind, "make_image", None)
    again = apply(kind(), night.batch)
    for first, second in zip(made, again, strict=True):
        assert np.array_equal(first.get_data(), second.get_data(), equal_nan=True)
        assert first.get("SATURATE") == second.get("SATURATE")


@ALL
def test_a_batch_looks_the_same_in_mirars_way(kind, premade, missing, key, night):
    """``apply`` on a batch does what image by image processing does."""
    expected = apply(kind(), copy.deepcopy(night.batch))
    processor = kind()
    processor.set_night("camera/20240101")
    found = processor.apply(night.batch)
    for image, other in zip(found, expected, strict=True):
        assert np.array_equal(image.get_data(), other.get_data(), equal_nan=True)


@ALL
def test_a_calibrator_is_a_value(kind, premade, missing, key, night):
    """It pickles, equals another with its parameters, and does not change when it runs."""
    processor = kind()
    before = copy.deepcopy(processor.__dict__)
    processor.apply_to_image(night.batch[9], processor.prepare(night.batch))
    assert (
        processor.parameters()
        == kind().parameters()
        == pickle.loads(pickle.dumps(processor)).parameters()
    )
    assert {name: processor.__dict__[name] for name in before if "latest" not in name} == {
        name: value for name, value in before.items() if "latest" not in name
    }
    assert processor.form is Form.GATHER
    assert kind(method="mean") != kind()


@ALL
def test_pixels_keep_their_type_and_integers_become_floats(
    kind, premade, missing, key, night, make_image
):
    """float32 stays float32, float64 stays float64."""
    master = kind().make_image(night.batch)
    master["SAVEPATH"] = "here"
    pixels = night.batch[-1].get_data()
    for dtype, expected in (("f4", "f4"), ("f8", "f8"), ("u2", "f4"), ("i4", "f8")):
        image = kind().apply_to_image(make_image(pixels.astype(dtype)), master)
        assert image.dtype == np.dtype(expected)


@ALL
def test_rows_of_a_master_can_be_made_apart(kind, premade, missing, key, night):
    """The parts of `combine_frames` are the whole."""
    from mirar_dask.processors.combine import combine_frames

    processor = kind()
    frames, scales = processor.scaled_frames(processor.select_frames(night.batch))
    parts = [combine_frames(list(frames), scales, rows=slice(i, i + 5)) for i in range(0, 24, 5)]
    master = processor.finish_master(frames, np.concatenate(parts))
    assert np.array_equal(
        master.get_data(), processor.make_image(night.batch).get_data(), equal_nan=True
    )
    assert processor.combines_rows


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (300, 1000), (3, 200_000)])
def test_a_multiple_is_subtracted_block_by_block(shape):
    """As float32 arithmetic on whole frames gives it, to the bit, with less memory."""
    rng = np.random.default_rng(0)
    data, master = rng.normal(100, 9, (2, *shape)).astype("f4")
    expected = data - master * np.float32(2.7)
    change(data, (SubtractScaled(MemoryPixels(master), 2.7),))
    assert np.array_equal(data, expected)


def test_a_processor_in_mirars_style_can_still_be_derived(night):
    """One that overrides ``_apply_to_images`` works a batch at a time."""

    class Doubled(BiasCalibrator):
        base_key = "doubled_bias"

        def _apply_to_images(self, batch):
            master = self.get_cache_file(batch)
            for image in batch:
                image.set_data(image.get_data() - 2 * master.get_data())
            return batch

    assert Doubled().form is Form.BATCH
    assert isinstance(Doubled(), ProcessorWithCache)
    found = apply(Doubled(), night.batch)
    assert np.allclose(found[0].get_data(), -night.truth.bias)


def test_sky_flats_are_made_of_science_images(night):
    """In upper or lower case."""
    night.batch[9]["OBSCLASS"] = "Science"
    names = [image.get_name() for image in SkyFlatCalibrator().select_frames(night.batch)]
    assert names == ["sci0.fits", "sci1.fits"]


def test_shapes_are_compared_before_anything_is_read(make_image):
    """The error names both."""
    image, master = make_image(np.ones((3, 4), "f4")), make_image(np.ones((4, 3), "f4"), "m.fits")
    with pytest.raises(ShapeMismatchError, match=r"'a.fits' has shape \(3, 4\).*'m.fits' \(4, 3\)"):
        require_same_shape(image, master, "bias")
