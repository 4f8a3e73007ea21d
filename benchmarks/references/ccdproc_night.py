"""Reduce a night with ccdproc, as its own guide does it, with a pool of processes.

Masters by `ccdproc.combine` (median), then `subtract_bias`, `subtract_dark` with scaling, and
`flat_correct`, which divides by the flat over its mean. Masters are made first; the processes of
the pool inherit them and take the science frames one by one.
"""

from __future__ import annotations

import time

START = time.time()

import argparse  # noqa: E402
import functools  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import multiprocessing  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402

import ccdproc  # noqa: E402
import numpy as np  # noqa: E402
from astropy import units as u  # noqa: E402
from astropy.io import fits  # noqa: E402
from astropy.nddata import CCDData  # noqa: E402


@dataclass(frozen=True)
class Masters:
    """What science frames are corrected with."""

    bias: CCDData
    dark: CCDData
    flats: dict[str, CCDData]


def read(path: Path) -> CCDData:
    """Read a raw frame; in float32, as all the others do."""
    frame = CCDData.read(path, unit="adu")
    frame.data = frame.data.astype(np.float32)
    return frame


def combine(frames: Sequence[CCDData], scale: object = None) -> CCDData:
    """Combine frames by their median.

    Without the uncertainties, which none of the others has: they take most of the time of a
    master, and frames that are corrected with it would get some too.
    """
    master = ccdproc.combine(
        list(frames),
        method="median",
        scale=scale,
        dtype=np.float32,
        combine_uncertainty_function=no_uncertainty,
    )
    master.uncertainty = None
    return master


def no_uncertainty(data: np.ndarray, axis: int) -> np.ndarray:
    """Stand in for the standard deviation of what is combined."""
    return np.zeros(data.shape[1:])


def correct(path: Path, bias: CCDData, dark: CCDData) -> CCDData:
    """Read a frame and subtract bias and dark."""
    frame = ccdproc.subtract_bias(read(path), bias)
    return ccdproc.subtract_dark(
        frame, dark, exposure_time="EXPTIME", exposure_unit=u.second, scale=True
    )


def make_masters(paths: Sequence[Path]) -> tuple[Masters, list[Path]]:
    """Make bias, dark and flats; the science frames are left."""
    kinds: dict[str, list[Path]] = {}
    filters: dict[Path, str] = {}
    for path in paths:
        header = fits.getheader(path)
        kinds.setdefault(header["OBSCLASS"], []).append(path)
        filters[path] = header["FILTER"]
    bias = combine([read(path) for path in kinds["bias"]])
    dark = combine([ccdproc.subtract_bias(read(path), bias) for path in kinds["dark"]])
    flats = {
        band: combine(
            [correct(path, bias, dark) for path in kinds["flat"] if filters[path] == band],
            scale=lambda data: 1 / np.median(data),
        )
        for band in dict.fromkeys(filters[path] for path in kinds["flat"])
    }
    return Masters(bias, dark, flats), kinds["science"]


def reduce_frame(path: Path, out: Path, masters: Masters) -> None:
    """Calibrate one frame and save it."""
    frame = correct(path, masters.bias, masters.dark)
    reduced = ccdproc.flat_correct(frame, masters.flats[frame.header["FILTER"]])
    fits.PrimaryHDU(reduced.data.astype(np.float32), reduced.header).writeto(
        out / path.name, overwrite=True
    )


work: Callable[[Path], None]
"""What the pool's processes do; they inherit it, masters and all, when they are forked."""


def do(path: Path) -> None:
    work(path)


def main() -> None:
    global work
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    folder = options.out / "reduced"
    folder.mkdir(parents=True, exist_ok=True)
    begin = time.time()
    masters, science = make_masters(sorted(options.raw.glob("*.fits")))
    middle = time.time()
    work = functools.partial(reduce_frame, out=folder, masters=masters)
    with multiprocessing.get_context("fork").Pool(options.workers) as pool:
        for _ in pool.imap_unordered(do, science):
            pass
    if options.json:
        phases = {
            "start": begin - START,
            "masters": middle - begin,
            "frames": time.time() - middle,
        }
        options.json.write_text(json.dumps({"phases": phases}))


if __name__ == "__main__":
    main()
