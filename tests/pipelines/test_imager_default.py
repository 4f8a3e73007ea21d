"""`imager -c default`: stacks by target and filter, and their source tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from mirar_dask.testing import simulate_night

Reduce = Callable[..., Any]
NIGHT: dict[str, Any] = {
    "size": 128, "n_bias": 3, "n_dark": 3, "n_flat": 3, "n_science": 3, "dither": 5.0,
}  # fmt: skip


def test_images_are_stacked_by_target_and_filter(tmp_path: Path, reduce: Reduce):
    """One stack for each pair, which names its inputs; calibrated frames are saved as well."""
    simulate_night(tmp_path / "raw", targets=("A", "B"), filters=("g", "r"), **NIGHT)
    done = reduce(tmp_path / "raw", "default")
    assert done.counts["succeeded"] == 12
    assert len(done.products("reduced")) == 12
    stacks = [path for path in done.products("stacks") if not path.name.endswith("weight.fits")]
    assert [path.name for path in stacks] == [
        f"{target}_{band}_0001_stack.fits" for target in "AB" for band in "gr"
    ]
    for path in stacks:
        header = fits.getheader(path)
        names = [Path(name).name for name in header["RAWPATH"].split(",")]
        stem = path.name.removesuffix("1_stack.fits")
        assert names == [f"{stem}{i}.fits" for i in (1, 2, 3)]
        assert header["EXPTIME"] == 90.0
        assert header["COADDS"] == 3


def test_a_stack_is_deeper_than_a_frame(tmp_path: Path, reduce: Reduce):
    """Its sky is less noisy, at the same level."""
    simulate_night(tmp_path / "raw", filters=("r",), **NIGHT)
    done = reduce(tmp_path / "raw", "default")
    frame = fits.getdata(done.products("reduced")[0])[20:-20, 20:-20]
    stack = fits.getdata(done.products("stacks")[0])[20:-20, 20:-20]

    def noise(image: np.ndarray) -> float:
        return float(1.4826 * np.nanmedian(np.abs(image - np.nanmedian(image))))

    assert noise(stack) < 0.85 * noise(frame)
    assert abs(np.nanmedian(stack) - np.nanmedian(frame)) < noise(frame)


@pytest.mark.parametrize(
    ("settings", "n_stacks"),
    [({"group.keys": "FILTER"}, 1), ({"group.keys": "target, filter, date-obs"}, 6)],
)
def test_what_is_stacked_is_a_setting(
    tmp_path: Path, reduce: Reduce, settings: dict[str, str], n_stacks: int
):
    """By other header keys: all targets together, or each frame alone."""
    simulate_night(tmp_path / "raw", targets=("A", "B"), filters=("r",), wcs=False, **NIGHT)
    more = {**settings, "stack.align_by": "none", "stack.write_weights": "no"}
    done = reduce(tmp_path / "raw", "default", settings=more)
    assert len(done.products("stacks")) == n_stacks


def test_sources_of_the_stacks_are_the_stars_that_are_there(tmp_path: Path, reduce: Reduce):
    """A table for each stack: bright stars are found where they are, with RA and Dec."""
    truth = simulate_night(tmp_path / "raw", filters=("r",), **NIGHT)
    done = reduce(tmp_path / "raw", "default", settings={"parquet.enabled": "yes"})
    folder = done.out / "imager" / "night" / "sources"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["FIELD1_r_0001_stack.csv", "FIELD1_r_0001_stack.parquet"]
    found = pd.read_csv(folder / names[0])
    assert list(found.columns[:5]) == ["objectid", "ra", "dec", "xpos", "ypos"]
    stars = truth.stars("FIELD1_r_0001.fits")[:5]
    for star in stars[(np.abs(stars["x"] - 64) < 50) & (np.abs(stars["y"] - 64) < 50)]:
        apart = np.hypot(found["xpos"] - star["x"], found["ypos"] - star["y"])
        nearest = found.iloc[int(apart.argmin())]
        assert apart.min() < 0.5
        assert abs(nearest["ra"] - star["ra"]) < 2e-4
        assert abs(nearest["dec"] - star["dec"]) < 2e-4


def test_columns_and_detection_are_settings(tmp_path: Path, reduce: Reduce):
    """Fewer columns, another aperture, another threshold."""
    simulate_night(tmp_path / "raw", filters=("r",), **NIGHT)
    settings = {"detect.threshold": "20", "detect.aper_diameters": "6, 9"}
    done = reduce(tmp_path / "raw", "default", settings=settings)
    (table,) = (done.out / "imager" / "night" / "sources").iterdir()
    assert {"fluxap6", "fluxap9"} <= set(pd.read_csv(table).columns)
    settings["export.export_keys"] = "xpos, ypos, TARGET"
    done = reduce(tmp_path / "raw", "default", settings=settings)
    assert list(pd.read_csv(table).columns) == ["xpos", "ypos", "TARGET"]


def test_a_night_can_go_without_stacks(tmp_path: Path, reduce: Reduce):
    """With the step off, nothing is saved as a stack."""
    simulate_night(tmp_path / "raw", filters=("r",), **NIGHT)
    done = reduce(tmp_path / "raw", "default", settings={"stack.enabled": "no"})
    assert done.products("stacks") == []
    assert len(done.products("reduced")) == 3


def test_real_frames_become_one_stack_of_five(reduce: Reduce, real_frames: list[Path]):
    """M13, without calibrations, WCS and keywords: five inputs, named in the header."""
    done = reduce(real_frames[0].parent, "default")
    assert done.failures() == {}
    (stack, _) = done.products("stacks")
    header = fits.getheader(stack)
    assert header["COADDS"] == 5
    assert [Path(p).name for p in header["RAWPATH"].split(",")] == [p.name for p in real_frames]
