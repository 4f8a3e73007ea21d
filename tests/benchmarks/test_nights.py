"""The nights of the benchmarks, what need be read and written of them, and how products compare."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import products
import pytest
from astropy.io import fits
from nights import EDGE, NAMED, Night, NightSize, ideal, miniature, simulated
from products import Disagreement, agreement, check


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Simulate a night of 3 bias, 2 dark, 2 flat and 4 science frames."""
    return simulated(NightSize(64, 3, 2, 1, 2), 7, tmp_path_factory.mktemp("nights"))


def test_named_nights_have_the_frames_that_they_promise():
    """About 200 and 74 frames of 2048 by 2048 pixels, and others of other sizes."""
    frames = {
        name: (size.size, size.n_bias + size.n_dark + 2 * (size.n_flat + size.n_science))
        for name, size in NAMED.items()
    }
    assert frames == {
        "night-200": (2048, 199),
        "night-74": (2048, 74),
        "night-512": (512, 199),
        "night-4096": (4096, 46),
    }


def test_a_night_is_simulated_once(night: Night):
    """The second call finds the files of the first."""
    folder = night.raw.parents[1]
    before = {path: path.stat().st_mtime_ns for path in night.raw.iterdir()}
    again = simulated(NightSize(64, 3, 2, 1, 2), 7, folder)
    assert again.frames == night.frames
    assert {path: path.stat().st_mtime_ns for path in night.raw.iterdir()} == before


def test_the_ideal_counts_raw_frames_masters_copies_and_products(night: Night):
    """Flats are read twice; a copy is as large as its pixels, a product as its records."""
    raw = {frame.name: frame.bytes for frame in night.frames}
    flats = sum(raw[name] for name in night.names("flat"))
    pixels = 4 * 64 * 64
    product = -(-pixels // 2880) * 2880
    found = ideal(night, (64, 64))
    assert found.read == sum(raw.values()) + flats + 4 * product
    assert found.written == (4 + 4) * product + 7 * pixels


def test_a_miniature_is_the_same_night_with_fewer_pixels(night: Night, tmp_path: Path):
    """Every frame is there, with its header and a corner of its pixels."""
    small = miniature(night, tmp_path / "small")
    assert [(f.name, f.kind, f.filter) for f in small.frames] == [
        (f.name, f.kind, f.filter) for f in night.frames
    ]
    for name in night.names("science"):
        corner, header = fits.getdata(small.raw / name, header=True)
        whole = fits.getdata(night.raw / name)
        assert np.array_equal(corner, whole[:EDGE, :EDGE])
        assert header["EXPTIME"] == fits.getheader(night.raw / name)["EXPTIME"]


def test_a_folder_without_science_frames_is_refused(night: Night, tmp_path: Path):
    """A mistaken folder ends with a sentence that names it."""
    for name in night.names("bias"):
        shutil.copy(night.raw / name, tmp_path)
    with pytest.raises(SystemExit, match="no science frames"):
        Night.of(tmp_path)


def test_agreement_is_the_fraction_of_pixels_within_the_tolerance():
    """One pixel of a hundred differs; NaN agrees with NaN only."""
    a = np.full((10, 10), 100, np.float32)
    b = a.copy()
    b[0, 0], a[1, 1], b[1, 1] = 100.1, np.nan, np.nan
    assert agreement(a, b) == 0.99
    assert agreement(a * 2, a, scaled=True) == 1
    assert agreement(a * 2, a) < 0.1


def test_times_of_sides_that_did_not_do_the_same_are_refused(night: Night, tmp_path: Path):
    """A side whose products differ from the reference's, or are missing, ends the comparison."""
    outputs = {"script": tmp_path / "script", "ours": tmp_path / "ours"}
    for out in outputs.values():
        out.mkdir()
        for name in night.names("science"):
            fits.writeto(out / name, night.truth.expected(name))
    unknown = Night(night.raw, night.frames, None)
    assert check(outputs, unknown, "script")["ours"] == {"agreement": 1}
    assert products.shape(outputs["ours"], night) == (64, 64)
    first = outputs["ours"] / night.names("science")[0]
    fits.writeto(first, fits.getdata(first) + 1, overwrite=True)
    with pytest.raises(Disagreement, match="of the pixels of ours agree with script"):
        check(outputs, unknown, "script")
    first.unlink()
    with pytest.raises(Disagreement, match="no product of 1 of 4 frames"):
        check(outputs, unknown, "script")
