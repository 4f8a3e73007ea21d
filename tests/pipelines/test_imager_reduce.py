"""`imager -c reduce`: calibrated frames of simulated and of real nights."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.errors import UsageError
from mirar_dask.pipelines.imager import ImagerPipeline
from mirar_dask.testing import Camera, NightTruth, simulate_night

Reduce = Callable[..., Any]
SMALL = {"size": 64, "n_bias": 5, "n_dark": 4, "n_flat": 4, "n_science": 2}


def simulate(folder: Path, **more: Any) -> NightTruth:
    return simulate_night(folder, **{**SMALL, **more})


def without(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        path.unlink()


@pytest.mark.parametrize("dialect", ["mirar", "iraf", "maxim", "lco"])
@pytest.mark.parametrize("overscan", [0, 16])
def test_a_night_of_any_dialect_is_calibrated_to_its_noise(
    tmp_path: Path, reduce: Reduce, dialect: str, overscan: int
):
    """The products differ from the truth by photons and readout, and keep the frames' names."""
    truth = simulate(tmp_path / "raw", dialect=dialect, camera=Camera(overscan=overscan))
    done = reduce(tmp_path / "raw")
    assert done.counts == {"succeeded": 4, "set aside": 17}
    assert [path.name for path in done.products("reduced")] == sorted(truth.names("science"))
    assert all(0.9 < truth.deviation(path) < 1.15 for path in done.products("reduced"))
    assert done.caveats() == []
    names = [path.name.rpartition("_")[0] for path in done.products("calibration")]
    assert names == ["bias_1x1", "dark_1x1", "flat_1x1_g", "flat_1x1_r"]


def test_products_name_their_masters_and_say_what_they_are(tmp_path: Path, reduce: Reduce):
    """ADU, mirar's core fields, and the files that they were calibrated with."""
    simulate(tmp_path / "raw", dialect="iraf", filters=("r",))
    done = reduce(tmp_path / "raw")
    masters = {str(path) for path in done.products("calibration")}
    header = fits.getheader(done.products("reduced")[0])
    assert {header["BIASNAME"], header["DARKNAME"], header["FLATNAME"]} == masters
    assert (header["OBSCLASS"], header["TARGET"], header["BUNIT"]) == ("science", "FIELD1", "adu")
    assert header["IMAGETYP"] == "object"
    order = [header["CALSTEPS"].index(f",{kind},") for kind in ("bias", "dark", "flat")]
    assert order == sorted(order)


@pytest.mark.parametrize("kind", ["bias", "dark", "flat"])
def test_a_kind_that_the_night_lacks_is_left_out_with_a_caveat(
    tmp_path: Path, reduce: Reduce, kind: str
):
    """The other steps are done; the run is no failure."""
    simulate(tmp_path / "raw")
    without(tmp_path / "raw", f"{kind}_*")
    done = reduce(tmp_path / "raw")
    assert done.counts["succeeded"] == 4
    assert done.caveats() == [f"no {kind} frames in this night: its step was left out"]
    header = fits.getheader(done.products("reduced")[0])
    assert f",{kind}," not in header["CALSTEPS"]


def test_a_filter_without_flats_blocks_its_frames_by_name(tmp_path: Path, reduce: Reduce):
    """Frames of other filters go on; the caveat says what flats there are."""
    simulate(tmp_path / "raw")
    without(tmp_path / "raw", "flat_g_*")
    done = reduce(tmp_path / "raw")
    assert sorted(done.failures()) == ["FIELD1_g_0001.fits", "FIELD1_g_0002.fits"]
    assert all(reason.startswith("MissingFlatError") for reason in done.failures().values())
    assert "filter g: no frame of this night matches, and 2 frames need it" in done.caveats()[0]
    assert [path.name for path in done.products("reduced")] == [
        "FIELD1_r_0001.fits",
        "FIELD1_r_0002.fits",
    ]


def test_missing_flats_can_be_done_without_if_the_user_says_so(tmp_path: Path, reduce: Reduce):
    """`--set flat.missing=skip`: the frames go on, each with a caveat."""
    simulate(tmp_path / "raw")
    without(tmp_path / "raw", "flat_g_*")
    done = reduce(tmp_path / "raw", settings={"flat.missing": "skip"})
    assert done.counts["succeeded with caveats"] == 2
    assert done.counts["succeeded"] == 2
    assert "FLATNAME" not in fits.getheader(done.products("reduced")[0])


def test_frames_of_different_exposure_times_share_their_darks(tmp_path: Path, reduce: Reduce):
    """Darks are scaled by exposure time."""
    long = simulate(tmp_path / "raw", targets=("LONG",), exptime=90.0)
    short = simulate(tmp_path / "more", targets=("SHORT",), exptime=10.0)
    for path in (tmp_path / "more").glob("SHORT*"):
        shutil.copy(path, tmp_path / "raw")
    done = reduce(tmp_path / "raw")
    assert done.counts["succeeded"] == 8
    for path in done.products("reduced"):
        truth = short if path.name.startswith("SHORT") else long
        assert 0.9 < truth.deviation(path) < 1.2


def test_bad_frames_fail_by_name_and_harm_nobody(tmp_path: Path, reduce: Reduce):
    """Truncated, empty, no FITS, colour, without EXPTIME, of another size: each with its reason."""
    truth = simulate(tmp_path / "raw", bad_files=True)
    done = reduce(tmp_path / "raw")
    failures = done.failures()
    assert sorted(failures) == sorted(truth.broken)
    assert "truncated" in failures["broken_truncated.fits"]
    assert "empty" in failures["broken_empty.fits"]
    assert "not a FITS file" in failures["broken_text.fits"]
    assert "colour image" in failures["broken_colour_cube.fits"]
    assert "no exposure time (tried EXPTIME" in failures["broken_no_exptime.fits"]
    assert failures["broken_other_size.fits"].startswith("MissingBiasError")
    assert "bias for 32x32" in done.caveats()[0]
    assert [path.name for path in done.products("reduced")] == sorted(truth.names("science"))


def test_frames_that_are_neither_science_nor_calibration_are_set_aside(
    tmp_path: Path, reduce: Reduce
):
    """Focus frames are no failures, and are not calibrated."""
    simulate(tmp_path / "raw")
    model = tmp_path / "raw" / "FIELD1_g_0001.fits"
    shutil.copy(model, tmp_path / "raw" / "focus.fits")
    fits.setval(tmp_path / "raw" / "focus.fits", "OBSCLASS", value="focus")
    done = reduce(tmp_path / "raw")
    assert done.result.frames["focus.fits"] == "set aside"
    assert done.counts == {"succeeded": 4, "set aside": 18}


def test_each_extension_gets_masters_of_its_own(tmp_path: Path, reduce: Reduce):
    """A two-chip camera: chips are told apart, calibrated apart and saved apart."""
    truths = [simulate(tmp_path / f"chip{i}", seed=i, n_science=1, filters=("r",)) for i in (1, 2)]
    (tmp_path / "raw").mkdir()
    for first in sorted((tmp_path / "chip1").glob("*.fits")):
        files = [tmp_path / f"chip{i}" / first.name for i in (1, 2)]
        header = fits.getheader(first)
        keys = ("OBSCLASS", "TARGET", "FILTER", "EXPTIME", "GAIN", "DATE-OBS", "INSTRUME")
        primary = fits.PrimaryHDU()
        primary.header.update({key: header[key] for key in keys if key in header})
        bare = [fits.ImageHDU(fits.getdata(file)) for file in files]
        fits.HDUList([primary, *bare]).writeto(tmp_path / "raw" / first.name)
    done = reduce(tmp_path / "raw")
    names = [path.name for path in done.products("reduced")]
    assert names == ["FIELD1_r_0001_0.fits", "FIELD1_r_0001_1.fits"]
    assert len(done.products("calibration")) == 6
    for path, truth in zip(done.products("reduced"), truths, strict=True):
        assert 0.9 < truth.deviation(path, "FIELD1_r_0001.fits") < 1.2


def test_compressed_frames_are_read_like_others(tmp_path: Path, reduce: Reduce):
    """A gzipped and a tile-compressed frame among plain ones; products have plain names."""
    truth = simulate(tmp_path / "raw", filters=("r",))
    one, two = (tmp_path / "raw" / name for name in truth.names("science"))
    with fits.open(one) as hdus:
        hdus.writeto(one.with_suffix(".fits.gz"))
    with fits.open(two) as hdus:
        packed = fits.CompImageHDU(hdus[0].data, hdus[0].header)
        packed.writeto(two.with_suffix(".fits.fz"))
    one.unlink(), two.unlink()
    done = reduce(tmp_path / "raw")
    assert [path.name for path in done.products("reduced")] == truth.names("science")
    assert all(0.9 < truth.deviation(path) < 1.15 for path in done.products("reduced"))


def test_steps_can_be_switched_and_set_by_the_user_and_the_instrument(
    tmp_path: Path, reduce: Reduce
):
    """The user's settings win over the instrument file's."""
    simulate(tmp_path / "raw", filters=("r",))
    toml = tmp_path / "camera.toml"
    toml.write_text("[steps]\nflat = false\n[steps.save]\noutput_dir_name = 'a'\n")
    done = reduce(
        tmp_path / "raw",
        instrument=toml,
        settings={"save.output_dir_name": "b", "gain.enabled": "yes", "bias.method": "mean"},
    )
    assert done.products("a") == []
    header = fits.getheader(done.products("b")[0])
    assert (header["BUNIT"], header["GAINUSED"]) == ("electron", 1.5)
    assert "FLATNAME" not in header
    assert fits.getheader(header["BIASNAME"])["COMBMETH"] == "mean"


def test_saturated_pixels_are_masked_on_request(tmp_path: Path, reduce: Reduce):
    """Off unless asked for; the threshold is in ADU of the raw frame."""
    simulate(tmp_path / "raw", filters=("r",))
    path = tmp_path / "raw" / "FIELD1_r_0001.fits"
    with fits.open(path, mode="update") as hdus:
        hdus[0].data[3, 4] = 65000
    on = {"saturation.enabled": "true", "saturation.threshold": "60001"}
    assert np.isnan(
        fits.getdata(reduce(tmp_path / "raw", settings=on).products("reduced")[0])[3, 4]
    )
    assert np.isfinite(fits.getdata(reduce(tmp_path / "raw").products("reduced")[0])[3, 4])


def test_real_frames_without_calibrations_pass_with_caveats(
    tmp_path: Path, reduce: Reduce, real_frames: list[Path]
):
    """Five frames of M13 with hardly a keyword: what is assumed and what is left out is said."""
    done = reduce(real_frames[0].parent)
    assert done.counts == {"succeeded": 5}
    assert [path.name for path in done.products("reduced")] == [p.name for p in real_frames]
    said = " ".join(done.caveats())
    for kind in ("bias", "dark", "flat"):
        assert f"no {kind} frames in this night" in said
    for field in ("TARGET", "FILTER", "GAIN"):
        assert f"{field} is not in the headers of 5 frames" in said
    product = done.products("reduced")[0]
    assert fits.getheader(product)["TARGET"] == "M13_blue"
    assert np.array_equal(fits.getdata(product), fits.getdata(real_frames[0]).astype(np.float32))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"flatt.missing": "skip"}, "there is no step 'flatt', did you mean 'flat'?; steps: load"),
        ({"flat.mising": "skip"}, "step 'flat' has no parameter 'mising', did you mean 'missing'?"),
        ({"flat.missing": "ski"}, "flat.missing = 'ski', expected 'fail' or 'skip'"),
        ({"flat.sigma": "wide"}, "flat.sigma = 'wide', expected a number"),
        ({"flat": "skip"}, "setting 'flat' has not the form step.parameter"),
        ({"gain.gain": 1.5}, "step 'gain' is off, so that gain.gain does nothing; switch it on by"),
        ({"group.keys": "FILTER"}, "step 'group' is no part of configuration 'reduce'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], sentence: str):
    """One sentence, with what comes near and what there is."""
    with pytest.raises(UsageError, match=sentence.replace("?", r"\?")):
        ImagerPipeline("reduce", settings=settings)


def test_a_folder_of_calibrations_that_is_not_there_is_refused(tmp_path: Path):
    """Before anything is read."""
    with pytest.raises(UsageError, match=r"there is no folder .*nowhere"):
        ImagerPipeline("reduce", calibrations=tmp_path / "nowhere")


def test_every_parameter_on_offer_is_taken_by_its_processor():
    """The table of steps agrees with the constructors."""
    from mirar_dask.pipelines.steps import STEPS

    for step in STEPS.values():
        for parameter in step.parameter_names:
            assert step.type_of(parameter) is not None
            step.default_of(parameter)


def test_the_pipelines_are_imported_without_dask():
    """Planning a night on a login node needs no scheduler."""
    code = "import sys, mirar_dask.pipelines.imager; sys.exit('dask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
