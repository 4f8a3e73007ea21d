"""`imager -c default`: stacks by target and filter, and their source tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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
