"""The simulator: reproducible frames, right statistics, valid FITS, any dialect."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.testing import DIALECTS, Camera, NightTruth, simulate_night, truth_folder

from .conftest import read

SMALL = {"size": 64, "n_bias": 2, "n_dark": 1, "n_flat": 1, "n_science": 2}


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.fits")}


def test_the_default_night_has_forty_frames(raw: Path, night: NightTruth):
    """Ten bias, six dark, and six flats and six science frames in each of two filters."""
    counts = {kind: len(night.names(kind)) for kind in ("bias", "dark", "flat", "science")}
    assert counts == {"bias": 10, "dark": 6, "flat": 12, "science": 12}
    assert sorted(p.name for p in raw.iterdir()) == sorted(night.frames)


def test_the_same_seed_gives_the_same_files(tmp_path: Path):
    """Files are equal byte for byte, and another seed gives others."""
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        simulate_night(tmp_path / name, **SMALL, seed=seed)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert not set(digests(tmp_path / "a").values()) & set(digests(tmp_path / "c").values())


def test_frames_do_not_depend_on_how_many_others_there_are(tmp_path: Path):
    """A night with more frames, filters and targets holds the smaller night's files."""
    simulate_night(tmp_path / "small", **SMALL, filters=["r"], targets=["A"])
    more = {"size": 64, "n_bias": 3, "n_dark": 2, "n_flat": 2, "n_science": 4}
    simulate_night(tmp_path / "large", **more, filters=["r", "g"], targets=["A", "B"])
    small, large = digests(tmp_path / "small"), digests(tmp_path / "large")
    assert small.items() <= large.items()


def test_frames_of_a_series_have_noise_of_their_own(tmp_path: Path):
    """No frame's noise is another's, beyond the ten-thousandth either."""
    simulate_night(tmp_path, **{**SMALL, "n_bias": 5})
    stack = [read(p).ravel() for p in sorted(tmp_path.glob("bias*"))]
    noise = np.array(stack) - np.mean(stack, axis=0)
    correlation = np.corrcoef(noise)[np.triu_indices(5, 1)]
    assert np.all(np.abs(correlation + 1 / 4) < 0.1)  # -1/(n-1): the mean was taken off


def test_bias_frames_have_level_columns_and_read_noise(raw: Path, night: NightTruth):
    """Mean and scatter of bias frames are those of the camera."""
    stack = np.array([read(raw / name) for name in night.names("bias")])
    camera = night.camera
    expected = camera.read_noise / camera.gain
    noise = np.sqrt(np.mean(np.var(stack, axis=0, ddof=1)) - 1 / 12)
    assert noise == pytest.approx(expected, rel=0.01)
    assert np.mean(stack) == pytest.approx(np.mean(night.patterns.bias), abs=0.02)
    columns = np.std(np.mean(stack, axis=(0, 1)))
    assert columns == pytest.approx(camera.column_structure, rel=0.2)


def test_dark_current_grows_with_time(tmp_path: Path):
    """Counts of dark frames over the bias are dark current times seconds over gain."""
    camera = Camera(cosmic_rate=0, hot_fraction=0.01)
    for seconds in (10.0, 100.0):
        night = simulate_night(
            tmp_path / f"{seconds}", size=128, n_dark=8, n_bias=0, n_flat=0, n_science=0,
            dark_exptime=seconds, camera=camera,
        )  # fmt: skip
        darks = np.mean([read(tmp_path / f"{seconds}" / n) for n in night.names("dark")], axis=0)
        electrons = (darks - night.patterns.bias) * camera.gain
        assert np.mean(electrons / (night.patterns.dark * seconds)) == pytest.approx(1, abs=0.04)
        hot = night.patterns.dark > 5
        assert np.median(electrons[hot] / night.patterns.dark[hot]) == pytest.approx(
            seconds, rel=0.02
        )


@pytest.mark.parametrize("gain", [0.7, 1.5, 4.0])
def test_photon_noise_follows_gain(tmp_path: Path, gain: float):
    """Half the variance of the difference of two flats is light over gain, plus readout."""
    camera = Camera(gain=gain, dead_fraction=0, bad_columns=0, cosmic_rate=0)
    night = simulate_night(
        tmp_path, size=256, n_bias=0, n_dark=0, n_flat=2, n_science=0, filters=["V"], camera=camera
    )
    names = night.names("flat")
    signals = [read(tmp_path / name) - night.patterns.bias for name in names]
    lamps = [night.frames[name].light for name in names]
    shape = night.patterns.flats["V"]
    noise = (signals[0] / lamps[0] - signals[1] / lamps[1]) / shape
    electrons = [lamp * shape + camera.read_noise**2 for lamp in lamps]
    expected = sum(e / (gain * lamp * shape) ** 2 for e, lamp in zip(electrons, lamps, strict=True))
    assert np.mean(noise**2 / expected) == pytest.approx(1, abs=0.03)
    for signal, lamp in zip(signals, lamps, strict=True):
        assert np.median(signal) * gain == pytest.approx(lamp, rel=0.01)


def test_flats_differ_by_filter_and_have_median_one(night: NightTruth):
    """Vignetting, pixel response and dust leave a flat whose median is one."""
    g, r = night.patterns.flats["g"], night.patterns.flats["r"]
    for flat in (g, r):
        assert np.median(flat) == pytest.approx(1, abs=1e-6)
        corners = np.mean([flat[:20, :20], flat[-20:, -20:], flat[:20, -20:], flat[-20:, :20]])
        assert corners < 0.9 * np.median(flat[100:150, 130:190])
    assert np.std((g / r)[~night.patterns.bad]) > 0.01


def test_bad_pixels_see_hardly_any_light(raw: Path, night: NightTruth):
    """Dead pixels and blind columns stay dark in flats."""
    name = night.names("flat")[0]
    signal = (read(raw / name) - night.patterns.bias) / np.median(read(raw / name))
    assert night.patterns.bad.sum() > 100
    assert np.max(signal[night.patterns.bad]) < 0.1
    assert np.median(signal[~night.patterns.bad]) > 0.9


def test_bright_stars_saturate_and_raw_pixels_stay_below_the_limit(raw: Path, night: NightTruth):
    """The saturation level is reached, never exceeded, and the truth knows where."""
    for name in night.names("science"):
        data = read(raw / name)
        assert data.max() == night.camera.saturation
        assert np.array_equal(
            np.flatnonzero(data >= night.camera.saturation), night.saturated[name]
        )


def test_cosmic_rays_are_where_the_truth_says(raw: Path, night: NightTruth):
    """Pixels of cosmic rays stand out of the frame by far, and nothing else does."""
    name = max(night.names("dark"), key=lambda n: night.cosmic_rays[n].size)
    hits = night.cosmic_rays[name]
    frame = night.frames[name]
    model = night.patterns.bias + night.patterns.dark * frame.exptime / night.camera.gain
    noise = np.sqrt(night.patterns.dark * frame.exptime + night.camera.read_noise**2)
    excess = ((read(raw / name) - model) * night.camera.gain / noise).ravel()
    assert hits.size > 10
    assert np.mean(excess[hits] > 10) > 0.95
    assert np.max(np.delete(excess, hits)) < 6.5


@pytest.mark.parametrize("side", ["left", "right"])
def test_overscan_columns_follow_the_drifting_level(tmp_path: Path, side: str):
    """With an overscan the level drifts from frame to frame, and the overscan shows by how much."""
    camera = Camera(overscan=24, overscan_side=side, bias_drift=20.0)
    night = simulate_night(
        tmp_path, size=(80, 96), n_bias=6, n_dark=0, n_flat=0, n_science=1, camera=camera,
        filters=["r"],
    )  # fmt: skip
    levels, inside = [], []
    for name in night.names("bias"):
        with fits.open(tmp_path / name) as hdus:
            header, data = hdus[0].header, hdus[0].data.astype(float)
        assert data.shape == (80, 120)
        expected = "[1:24,1:80]" if side == "left" else "[97:120,1:80]"
        assert header["BIASSEC"] == expected
        assert header["TRIMSEC"] == header["DATASEC"]
        assert header["TRIMSEC"] == ("[25:120,1:80]" if side == "left" else "[1:96,1:80]")
        rows, columns = camera.exposed(night.shape)
        inside.append(np.mean(data[rows, columns] - night.patterns.bias))
        outer = np.delete(data, np.r_[columns], axis=1)
        levels.append(np.mean(outer) - camera.bias_level - camera.row_ramp / 2)
    assert np.std(levels) > 5
    assert np.allclose(levels, inside, atol=0.6)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_files_are_valid_fits_in_every_dialect(tmp_path: Path, dialect: str):
    """Astropy verifies every file without a word and finds unsigned 16-bit pixels."""
    night = simulate_night(tmp_path, **SMALL, dialect=dialect)
    words = DIALECTS[dialect]
    for frame in night.frames.values():
        with fits.open(tmp_path / frame.name) as hdus:
            hdus.verify("exception")
            header, data = hdus[0].header.copy(), hdus[0].data
        assert data.dtype == np.uint16
        assert data.shape == (64, 64)
        assert header["BITPIX"] == 16
        assert header[words.kind_key] == words.kinds[frame.kind]
        assert header[words.exptime_keys[0]] == frame.exptime
        assert header["DATE-OBS"] == frame.date
        if frame.kind in ("flat", "science"):
            assert header["FILTER"] == frame.filter
        if frame.kind == "science":
            assert header[words.target_key] == frame.target


def test_other_readers_see_the_same_pixels(raw: Path, night: NightTruth):
    """Fitsio reads what astropy reads."""
    fitsio = pytest.importorskip("fitsio")
    name = night.names("science")[0]
    assert np.array_equal(fitsio.read(raw / name).astype(float), read(raw / name))


def test_the_mirar_dialect_has_mirars_core_fields(raw: Path, night: NightTruth):
    """Every core field is there, but for the two that loading adds."""
    from mirar_dask.paths import core_fields

    for name in (night.names(kind)[0] for kind in ("bias", "dark", "flat", "science")):
        header = fits.getheader(raw / name)
        assert {key for key in core_fields if key not in header} == {"RAWPATH", "BASENAME"}


def test_broken_frames_are_planted_beside_the_good_ones(tmp_path: Path):
    """Each broken file is broken in its own way; the good ones are what they were."""
    simulate_night(tmp_path / "good", **SMALL)
    night = simulate_night(tmp_path / "bad", **SMALL, bad_files=True)
    good, all_files = digests(tmp_path / "good"), digests(tmp_path / "bad")
    assert good.items() <= all_files.items()
    assert set(all_files) - set(good) == set(night.broken)
    folder = tmp_path / "bad"
    assert (folder / "broken_empty.fits").stat().st_size == 0
    model = folder / night.names("science")[0]
    missing = model.stat().st_size - (folder / "broken_truncated.fits").stat().st_size
    assert 2880 < missing < 64 * 64 * 2
    assert not (folder / "broken_text.fits").read_bytes().startswith(b"SIMPLE")
    assert "EXPTIME" not in fits.getheader(folder / "broken_no_exptime.fits")
    assert fits.getdata(folder / "broken_other_size.fits").shape == (32, 32)
    assert fits.getdata(folder / "broken_colour_cube.fits").shape == (3, 64, 64)


def test_the_truth_lies_beside_the_frames_not_among_them(tmp_path: Path):
    """A folder called raw gets a sister called truth; another folder's truth bears its name."""
    assert truth_folder(tmp_path / "raw") == tmp_path / "truth"
    assert truth_folder(tmp_path / "monday") == tmp_path / "monday_truth"
    night = simulate_night(tmp_path / "raw", **SMALL)
    assert night.folder == tmp_path / "truth"
    assert not list((tmp_path / "raw").glob("*truth*"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 8}, "16 by 16"),
        ({"n_bias": -1}, "0 or more"),
        ({"filters": "gr"}, "filters must be a list"),
        ({"filters": ["g", "g"]}, "different names"),
        ({"targets": ["flat"]}, "two frames would be called 'flat_g_0001.fits'"),
        ({"dialect": "klingon"}, "unknown dialect 'klingon'"),
        ({"seed": -3}, "seed is 0 or more"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(tmp_path: Path, wrong: dict, message: str):
    """What makes no sense raises ValueError that says what was found."""
    with pytest.raises(ValueError, match=message):
        simulate_night(tmp_path, **{**SMALL, **wrong})


def test_importing_the_simulator_is_light():
    """Neither astropy nor anything else heavy is imported before a night is simulated."""
    code = "import sys, mirar_dask.testing; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"astropy", "scipy", "pandas", "dask", "matplotlib"} & set(loaded)
