"""Five frames of M13 as a small camera gave them: no calibrations, no WCS, a strong pattern.

Where the frames lie was measured in three ways that use no code of this package and agree within
half a pixel: centroids of 45 stars outside the core; all pairs of star lists; and the shifts
that maximise the likelihood of five frames that share one fixed pattern and one sky, wave number
by wave number. They drift by some twelve pixels from one frame to the next.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from scipy import ndimage

from mirar_dask.data import Image, ImageBatch
from mirar_dask.paths import Roots, use_roots
from mirar_dask.processors.align.transform import Limits
from mirar_dask.processors.stack import ImageStacker
from mirar_dask.processors.stack_place import AlignBy, Place, place_frames
from mirar_dask.testing.images import make_header

OFFSETS = [(0.0, 0.0), (-11.6, 0.8), (-24.6, 3.4), (-34.8, 3.3), (-46.0, 3.0)]
"""Of each frame from the first: pixels, good to half a pixel."""

STARS = [(1199, 467), (1344, 233), (1286, 73), (616, 204), (905, 377), (799, 744)]
"""Isolated stars in the first frame: x and y, counted from zero."""


def open_frames(paths: list[Path]) -> ImageBatch:
    images = []
    for path in paths:
        data = fits.getdata(path).astype(np.float32)
        images.append(Image(data, make_header(path.name, RAWPATH=str(path))))
    return ImageBatch(images)


@pytest.fixture(scope="module")
def stacks(real_frames: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    """Return stacks that are aligned in each way, and one that is not."""
    out = tmp_path_factory.mktemp("m13")
    ways = {"aligned": "auto", "sum": "none"}
    made = {}
    with use_roots(Roots(out, out)):
        for name, align_by in ways.items():
            stacker = ImageStacker("mean", align_by=align_by)  # type: ignore[arg-type]
            stacker.set_night("m13")
            done = stacker.process(open_frames(real_frames))
            assert done.records == []
            assert done.batch is not None
            made[name] = done.batch[0]
    return made


def test_offsets_are_right(stacks: dict[str, Image]):
    """Each pair of frames, to a pixel and a half."""
    header = stacks["aligned"].header
    assert header["NCOMBINE"] == 5
    check([(header[f"ALDX00{i}"], header[f"ALDY00{i}"]) for i in range(1, 6)])


@pytest.mark.parametrize("align_by", ["stars", pytest.param("correlation", marks=pytest.mark.slow)])
def test_each_way_gives_the_right_offsets(real_frames: list[Path], align_by: AlignBy):
    """Stars alone and cross-correlation alone know nothing of each other, and agree."""
    places = place_frames(list(open_frames(real_frames)), align_by, Limits())
    solutions = [place.solution for place in places.found if isinstance(place, Place)]
    assert {solution.method for solution in solutions} == {"reference", align_by}
    check([solution.transform.offset((1040, 1392)) for solution in solutions])


def check(offsets: list[tuple[float, float]]) -> None:
    """Compare all pairs with the truth."""
    found = np.array(offsets)
    assert found.shape == (5, 2)
    miss = (found - found[0]) - np.array(OFFSETS)
    for i in range(5):
        for k in range(i):
            assert np.hypot(*(miss[i] - miss[k])) < 1.5, (i, k, found)


def test_the_header_names_the_five_inputs(stacks: dict[str, Image], real_frames: list[Path]):
    """By name one by one, and all together."""
    header = stacks["aligned"].header
    names = [path.name for path in real_frames]
    assert [header[f"IMCMB00{i}"] for i in range(1, 6)] == names
    assert header["STCKCMPT"] == ",".join(names)
    assert [Path(path).name for path in header["RAWPATH"].split(",")] == names


def profile(data: np.ndarray, x: float, y: float) -> tuple[float, float]:
    """Height of a star above its surroundings, and the width of its image along x."""
    smooth = ndimage.gaussian_filter(np.nan_to_num(data, nan=float(np.nanmedian(data))), 2.0)
    part = smooth[y - 12 : y + 13, x - 60 : x + 61]
    part = part - np.median(smooth[y - 40 : y + 41, x - 45 : x + 46])
    j, i = np.unravel_index(int(np.argmax(part[:, 48:73])), (25, 25))
    row = np.clip(part[max(0, j - 3) : j + 4].sum(axis=0), 0, None)
    at = np.arange(row.size)
    near = np.abs(at - (i + 48)) <= 50
    mean = (row * at)[near].sum() / row[near].sum()
    return float(part[j, i + 48]), float(np.sqrt((row * (at - mean) ** 2)[near].sum() / row.sum()))


def test_stars_are_sharper_than_in_a_plain_sum(stacks: dict[str, Image]):
    """Isolated stars are at least twice as high as where the frames were not aligned."""
    aligned, plain = stacks["aligned"].get_data(), stacks["sum"].get_data()
    heights = [(profile(aligned, *star)[0], profile(plain, *star)[0]) for star in STARS]
    gains = [high / max(low, 1.0) for high, low in heights]
    assert np.median(gains) > 2.0, heights


def test_the_fixed_pattern_fades(stacks: dict[str, Image]):
    """Where the stars are together the pattern is not."""
    aligned, plain = (stacks[name].get_data()[100:900, 100:1200] for name in ("aligned", "sum"))
    assert np.nanstd(np.diff(aligned, axis=1)) < 0.75 * np.nanstd(np.diff(plain, axis=1))
