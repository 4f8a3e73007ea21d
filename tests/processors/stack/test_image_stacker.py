"""ImageStacker: a batch in, one image out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.data import Dataset, Image, ImageBatch
from mirar_dask.errors import UsageError
from mirar_dask.paths import Roots, use_roots
from mirar_dask.processors.align.transform import Transform
from mirar_dask.processors.base_processor import Status
from mirar_dask.processors.stack import ImageStacker
from mirar_dask.testing.contracts import check_processor

SHIFTS = [(0.0, 0.0), (6.4, -3.2), (-8.7, 5.5), (3.1, 9.8)]


@pytest.fixture(autouse=True)
def output(tmp_path: Path):
    """Send products below the test's own folder."""
    with use_roots(Roots(tmp_path / "raw", tmp_path / "out")):
        yield tmp_path / "out"


def stacker(*args: Any, **options: Any) -> ImageStacker:
    made = ImageStacker(*args, **options)
    made.set_night("pipe/n1")
    return made


def make_batch(simulator, *, seed: int = 1, n: int = 4, **options: Any) -> ImageBatch:
    """Images of one field, dithered."""
    sim = simulator.seed(seed, 21)
    sky = sim.sky(30, bright=5000)
    images = []
    for i, shift in enumerate(SHIFTS[:n]):
        data = sim.frame(sky, sim.place(*shift), **options)
        keys = {"DATE__OBS": f"2024-03-01T05:0{9 - i}:00", "FILTER": "r", "SEQ": i}
        images.append(sim.image(f"f{i}.fits", data, SATURATE=60000 - i, **keys))
    return ImageBatch(images)


def only(batch: ImageBatch | None) -> Image:
    assert batch is not None
    (image,) = batch
    return image


def wcs_cards(shift: tuple[float, float], wrong: float = 0.0) -> dict[str, Any]:
    """TAN cards of a frame with that dither."""
    return {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": 150.0,
        "CRVAL2": 20.0,
        "CRPIX1": 200.5 + shift[0] + wrong,
        "CRPIX2": 150.5 + shift[1],
        "CD1_1": -2e-4,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": 2e-4,
    }


def sharpness(data: np.ndarray) -> float:
    """Sum of squares of what is above the sky: higher if the same light is on fewer pixels."""
    part = np.nan_to_num(data - np.nanmedian(data))[20:-20, 20:-20]
    return float((part[part > 40] ** 2).sum())


def test_one_image_comes_out_with_mirars_header(simulator, output: Path):
    """Sums, the earliest time, joined names, and what all inputs have in common."""
    done = stacker().process(make_batch(simulator))
    stack = only(done.batch)
    header = stack.header
    assert done.records == []
    assert stack.get_name() == "f0_stack.fits"
    assert (header["COADDS"], header["EXPTIME"]) == (4, 120.0)
    assert header["DATE-OBS"] == "2024-03-01T05:06:00"
    assert header["RAWPATH"] == ",".join(f"/night/raw/f{i}.fits" for i in range(4))
    assert header["STCKCMPT"] == "f0.fits,f1.fits,f2.fits,f3.fits"
    assert header["FILTER"] == "r"
    assert "SEQ" not in header
    assert header["SATURATE"] == 59997
    assert header["CALSTEPS"] == "stack,"
    assert stack.dtype == np.float32
    assert len(stack.get_raw_img_list()) == 4


def test_the_header_says_how_each_input_lay(simulator):
    """Offsets are where a star is in the input less where it is in the reference."""
    header = only(stacker().process(make_batch(simulator)).batch).header
    assert header["ALIGNBY"] == "stars"
    assert header["ALIGNREF"] == "f0.fits"
    assert header["NCOMBINE"] == 4
    for i, (dx, dy) in enumerate(SHIFTS, start=1):
        assert header[f"IMCMB00{i}"] == f"f{i - 1}.fits"
        assert header[f"ALDX00{i}"] == pytest.approx(dx, abs=0.1)
        assert header[f"ALDY00{i}"] == pytest.approx(dy, abs=0.1)


def test_stars_are_where_the_reference_has_them(simulator):
    """The stack has the noise of four frames and the stars of one."""
    batch = make_batch(simulator)
    first = batch[0].get_data()
    stack = only(stacker("mean").process(batch).batch).get_data()
    middle = slice(30, -30), slice(30, -30)
    bright = first[middle] > 700
    assert np.corrcoef(first[middle][bright], stack[middle][bright])[0, 1] > 0.99
    dark = ~(first[middle] > 525)
    assert np.nanstd(stack[middle][dark]) < 0.7 * np.nanstd(first[middle][dark])


def test_inputs_are_left_alone(simulator):
    """Pixels and headers of the images are what they were."""
    batch = make_batch(simulator)
    before = [(image.get_data(), image.header.tostring()) for image in batch]
    stacker("sigma_clip", background="subtract", flux_scaling="stars").process(batch)
    for image, (data, header) in zip(batch, before, strict=True):
        np.testing.assert_array_equal(image.get_data(), data)
        assert image.header.tostring() == header


def test_the_weight_map_is_written_and_named(simulator, output: Path):
    """Zero where there is nothing; ``<stack>.weight.fits`` under WGHTPATH."""
    batch = make_batch(simulator, n=2)
    hole = batch[0].get_data()
    hole[100:110, 200:220] = np.nan
    batch[0].set_data(hole)
    other = batch[1].get_data()
    other[90:115, 195:230] = np.nan
    batch[1].set_data(other)
    stack = only(stacker("mean", output_sub_dir="stacks").process(batch).batch)
    path = output / "pipe" / "n1" / "stacks" / "f0_stack.weight.fits"
    assert Path(stack["WGHTPATH"]) == path
    weight = fits.getdata(path)
    assert weight.shape == stack.shape
    np.testing.assert_array_equal(weight == 0, np.isnan(stack.get_data()))
    assert (weight[100:108, 203:217] == 0).all()
    assert weight.max() == pytest.approx(stack["ALWT001"] + stack["ALWT002"], rel=1e-5)


def test_no_weight_map_if_none_is_wanted(simulator, output: Path):
    """Nothing is written then, and nothing named."""
    stack = only(stacker(write_weights=False).process(make_batch(simulator, n=2)).batch)
    assert "WGHTPATH" not in stack
    assert not list(output.rglob("*.fits"))


@pytest.mark.parametrize("method", ["median", "mean", "sigma_clip"])
def test_every_method_gives_the_same_sky_and_stars(simulator, method: str):
    """Values of the first frame are met within the noise."""
    batch = make_batch(simulator)
    first = batch[0].get_data()
    stack = only(stacker(method).process(batch).batch).get_data()
    assert abs(np.nanmedian(stack) - np.median(first)) < 1.0
    inner = slice(30, -30), slice(30, -30)
    assert np.nansum(stack[inner] - 500) == pytest.approx(np.sum(first[inner] - 500), rel=0.05)


def test_an_aligned_stack_is_sharper_than_one_that_is_not(simulator):
    """The same light on fewer pixels."""
    batch = make_batch(simulator)
    aligned = only(stacker("mean").process(batch).batch)
    smeared = only(stacker("mean", "none").process(batch).batch)
    assert sharpness(aligned.get_data()) > 2 * sharpness(smeared.get_data())
    assert smeared["ALIGNBY"] == "none"


def test_an_image_of_another_field_is_left_out_and_named(simulator):
    """The stack is made of the others; the caveat names the frame and the reason."""
    batch = make_batch(simulator)
    sim = simulator.seed(99)
    batch[2].set_data(sim.frame(sim.sky(30, bright=5000)))
    done = stacker().process(batch)
    stack = only(done.batch)
    (record,) = done.records
    assert (record.names, record.status) == (("f2.fits",), Status.CAVEATS)
    assert "'f2.fits' is left out of the stack" in record.reason
    assert stack["ALIGNOUT"] == "f2.fits"
    assert stack["NCOMBINE"] == 3
    assert "f2.fits" not in stack["RAWPATH"]
    assert stack["EXPTIME"] == 90.0


def test_too_few_images_fail_the_batch_with_one_error(simulator):
    """It says how many there are, how many are needed, and why the others are not used."""
    batch = make_batch(simulator, n=3)
    sim = simulator.seed(98)
    batch[2].set_data(sim.frame(None))
    done = stacker(min_inputs=3).process(batch)
    assert done.batch is None
    (record,) = done.records
    assert record.status is Status.FAILED
    assert "2 of 3 images can be stacked, 3 are needed (f2.fits: " in record.reason


def test_nothing_but_the_reference_is_no_stack(simulator):
    """Two images of different fields fail, whatever `min_inputs` says."""
    sim = simulator.seed(97)
    frames = [sim.image(f"{i}.fits", sim.frame(sim.sky(30, 5000))) for i in range(2)]
    done = stacker().process(ImageBatch(frames))
    assert done.batch is None
    assert "1 of 2 images can be stacked, 2 are needed" in done.records[0].reason


def test_a_single_image_is_a_stack_of_one(simulator):
    """A target with one frame goes on, under the name of a stack."""
    batch = make_batch(simulator, n=1)
    before = batch[0].get_data()
    done = stacker().process(batch)
    stack = only(done.batch)
    np.testing.assert_array_equal(stack.get_data(), before)
    assert (stack["COADDS"], stack.get_name()) == (1, "f0_stack.fits")
    assert done.records == []


def test_images_are_aligned_by_wcs_where_they_have_one(simulator):
    """The WCS of the stack is the reference's."""
    batch = make_batch(simulator)
    for image, shift in zip(batch, SHIFTS, strict=True):
        image.header.update(wcs_cards(shift))
    done = stacker("mean").process(batch)
    stack = only(done.batch)
    assert done.records == []
    assert stack["ALIGNBY"] == "wcs"
    assert (stack["ALDX002"], stack["ALDY002"]) == pytest.approx(SHIFTS[1], abs=1e-3)
    assert (stack["CRPIX1"], stack["CRPIX2"]) == (200.5, 150.5)
    assert sharpness(stack.get_data()) > 0.9 * sharpness(batch[0].get_data())


def test_a_wcs_that_the_stars_contradict_is_not_used(simulator):
    """A mount's guess of the coordinates is no astrometry; the stars win, with a caveat."""
    batch = make_batch(simulator)
    for i, (image, shift) in enumerate(zip(batch, SHIFTS, strict=True)):
        image.header.update(wcs_cards(shift, wrong=12.0 if i == 2 else 0.0))
    done = stacker().process(batch)
    stack = only(done.batch)
    (record,) = done.records
    assert record.names == ("f2.fits",)
    assert "by its WCS it lies 12.0 pixels from where" in record.reason
    assert (stack["ALBY002"], stack["ALBY003"]) == ("wcs", "stars")
    assert stack["ALDX003"] == pytest.approx(SHIFTS[2][0], abs=0.1)


def test_a_frame_without_stars_is_aligned_by_its_wcs(simulator):
    """Coordinates are enough where nothing contradicts them."""
    batch = make_batch(simulator, n=3)
    for image, shift in zip(batch, SHIFTS, strict=False):
        image.header.update(wcs_cards(shift))
    sim = simulator.seed(5)
    batch[1].set_data(sim.frame(None))
    stack = only(stacker().process(batch).batch)
    assert stack["NCOMBINE"] == 3
    assert (stack["ALBY002"], stack["ALNM002"]) == ("wcs", 0)


def test_wcs_alone_refuses_images_without_one(simulator):
    """`align_by="wcs"` looks at nothing else."""
    batch = make_batch(simulator)
    for image, shift in list(zip(batch, SHIFTS, strict=True))[:3]:
        image.header.update(wcs_cards(shift))
    done = stacker(align_by="wcs").process(batch)
    assert only(done.batch)["ALIGNOUT"] == "f3.fits"
    assert "it has no WCS" in done.records[0].reason


def test_broken_wcs_cards_do_no_harm(simulator):
    """What cannot be read is no WCS."""
    batch = make_batch(simulator, n=2)
    for image in batch:
        image.header.update(wcs_cards((0, 0)) | {"CD1_1": 0.0, "CD2_2": 0.0})
    stack = only(stacker().process(batch).batch)
    assert stack["ALIGNBY"] == "stars"


def test_a_union_holds_all_images(simulator):
    """The canvas grows, the WCS moves with it, and the middle is the same."""
    batch = make_batch(simulator, n=3)
    for image, shift in zip(batch, SHIFTS, strict=False):
        image.header.update(wcs_cards(shift))
    small = only(stacker("mean").process(batch).batch)
    large = only(stacker("mean", extent="union").process(batch).batch)
    assert large.shape == (300 + 10, 400 + 16)
    x0, y0 = large["CRPIX1"] - small["CRPIX1"], large["CRPIX2"] - small["CRPIX2"]
    assert (x0, y0) == (7, 6)
    part = large.get_data()[6:306, 7:407]
    both = np.isfinite(part) & np.isfinite(small.get_data())
    np.testing.assert_allclose(part[both], small.get_data()[both], rtol=1e-5)
    assert small.wcs is not None and large.wcs is not None
    sky = small.wcs.pixel_to_world(100, 100)
    assert [float(v) for v in large.wcs.world_to_pixel(sky)] == pytest.approx([107, 106])


def test_sky_levels_are_matched_or_subtracted_or_left(simulator):
    """By a constant, by a smooth surface, or not at all."""
    batch = make_batch(simulator, n=3)
    for i, image in enumerate(batch):
        image.set_data(image.get_data() + np.float32(100 * i))
    skies = {
        kind: float(
            np.nanmedian(only(stacker("mean", background=kind).process(batch).batch).get_data())
        )
        for kind in ("level", "subtract", "none")
    }
    assert skies["level"] == pytest.approx(500, abs=2)
    assert skies["subtract"] == pytest.approx(0, abs=2)
    assert skies["none"] == pytest.approx(600, abs=5)


@pytest.mark.parametrize("scaling", ["exptime", "stars"])
def test_fluxes_are_brought_to_those_of_the_reference(simulator, scaling: str):
    """By exposure time or by common stars."""
    sim = simulator.seed(8)
    sky = sim.sky(30, bright=8000)
    images = []
    for i, (shift, factor) in enumerate(zip(SHIFTS[:3], (1.0, 0.5, 0.25), strict=True)):
        data = sim.frame(sky, sim.place(*shift), transparency=factor)
        images.append(sim.image(f"f{i}.fits", data, EXPTIME=30.0 * factor))
    options = {"background": "subtract", "flux_scaling": scaling}
    stack = only(stacker("mean", **options).process(ImageBatch(images)).batch)
    plain = only(stacker("mean", background="subtract").process(ImageBatch(images)).batch)
    first = images[0].get_data() - 500
    bright = (first > 200) & (np.arange(400) > 20) & (np.arange(400) < 380)
    bright[:20] = bright[-20:] = False
    ratio = np.nansum(stack.get_data()[bright]) / first[bright].sum()
    unscaled = np.nansum(plain.get_data()[bright]) / first[bright].sum()
    assert ratio == pytest.approx(1.0, abs=0.05)
    assert unscaled < 0.95
    assert stack["ALFX002"] == pytest.approx(2.0, rel=0.05)
    assert stack["ALWT003"] < stack["ALWT002"] < stack["ALWT001"]


def test_masked_pixels_are_filled_by_other_frames(simulator):
    """A bad column that is masked leaves no trace in a dithered stack."""
    batch = make_batch(simulator)
    for image in batch:
        data = image.get_data()
        data[:, 200] = np.nan
        image.set_data(data)
    stack = only(stacker("mean").process(batch).batch).get_data()
    assert np.isfinite(stack[20:-20, 180:220]).all()
    assert abs(np.nanmedian(stack[:, 200]) - np.nanmedian(stack[:, 190])) < 3


def test_integers_and_doubles_are_accepted(simulator):
    """Whatever the type of the inputs, the stack is float32."""
    batch = make_batch(simulator, n=2)
    batch[0].set_data(batch[0].get_data().astype(np.uint16))
    batch[1].set_data(batch[1].get_data().astype(np.float64))
    assert only(stacker().process(batch).batch).dtype == np.float32


def test_registered_frames_may_lie_in_the_cache(simulator, monkeypatch: pytest.MonkeyPatch):
    """With no room in memory the result is the same, and no file is left."""
    from mirar_dask.data import cache
    from mirar_dask.processors import stack_register

    batch = make_batch(simulator)
    rich = only(stacker("sigma_clip").process(batch).batch)
    before = {path.name for path in cache.get_cache_dir().iterdir()}
    monkeypatch.setattr(stack_register, "IN_MEMORY_BYTES", 0)
    poor = only(stacker("sigma_clip").process(batch).batch)
    np.testing.assert_array_equal(rich.get_data(), poor.get_data())
    after = {path.name for path in cache.get_cache_dir().iterdir()}
    assert len(after - before) <= 1  # the stack itself


@pytest.mark.parametrize("shape", [(10, 8), (1, 50), (40, 3), (17, 300)])
def test_small_images_do_no_harm(simulator, shape: tuple[int, int]):
    """They cannot be aligned, which is said; as they are they can be stacked."""
    rng = np.random.default_rng(0)
    images = [
        simulator.image(f"{i}.fits", rng.normal(9, 1, shape).astype(np.float32)) for i in range(3)
    ]
    done = stacker().process(ImageBatch(images))
    assert done.batch is None
    assert "1 of 3 images can be stacked" in done.records[0].reason
    assert only(stacker(align_by="none").process(ImageBatch(images)).batch).shape == shape


def test_cubes_and_wrong_parameters_are_refused(simulator):
    """One sentence that says what is expected."""
    with pytest.raises(UsageError, match="method='sum' of ImageStacker: expected one of median"):
        ImageStacker("sum")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="align_by='magic'"):
        ImageStacker(align_by="magic")  # type: ignore[arg-type]
    cube = simulator.image("cube.fits", np.zeros((3, 20, 20), np.float32))
    done = stacker().process(ImageBatch([cube]))
    assert "has shape (3, 20, 20)" in done.records[0].reason


def test_it_keeps_the_promises_of_every_processor(simulator, tmp_path: Path):
    """Picklable, unchanged by its work, the same result each time."""
    folder = tmp_path / "promises"
    folder.mkdir()
    check_processor(ImageStacker("sigma_clip"), make_batch(simulator, n=3), folder=folder)


def test_an_empty_dataset_goes_through():
    """Nothing in, nothing out."""
    dataset, errors = stacker().base_apply(Dataset([ImageBatch()]))
    assert len(errors.get_all_reports()) == 0
    assert sum(len(batch) for batch in dataset) == 0


def test_each_batch_becomes_one_image(simulator):
    """Batches do not mix."""
    dataset = Dataset([make_batch(simulator, seed=1, n=2), make_batch(simulator, seed=2, n=3)])
    for image in dataset[1]:
        image["BASENAME"] = f"g{image['BASENAME']}"
    stacks, errors = stacker().base_apply(dataset)
    assert [[image.get_name() for image in batch] for batch in stacks] == [
        ["f0_stack.fits"],
        ["gf0_stack.fits"],
    ]
    assert len(errors.get_all_reports()) == 0


def test_the_header_survives_being_saved(simulator, tmp_path: Path):
    """Long lists of inputs are read back as they were."""
    stack = only(stacker().process(make_batch(simulator)).batch)
    path = tmp_path / "stack.fits"
    stacker().save_fits(stack, path)
    saved = fits.getheader(path)
    for key in ("RAWPATH", "STCKCMPT", "ALDX003", "IMCMB004", "ALIGNBY", "WGHTPATH"):
        assert saved[key] == stack[key]


def test_a_turned_frame_is_stacked(simulator):
    """After a meridian flip too."""
    sim = simulator.seed(6)
    sky = sim.sky(30, bright=6000)
    turns = [sim.place(), sim.place(5, -7, rotation=180.4), sim.place(-3.3, 2.2, rotation=1.5)]
    images = [sim.image(f"{i}.fits", sim.frame(sky, turn)) for i, turn in enumerate(turns)]
    stack = only(stacker("mean").process(ImageBatch(images)).batch)
    assert abs(stack["ALRO002"]) == pytest.approx(179.6, abs=0.1)
    assert sharpness(stack.get_data()) > 0.8 * sharpness(images[0].get_data())
    assert isinstance(turns[0], Transform)
