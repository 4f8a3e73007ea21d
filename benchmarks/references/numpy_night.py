"""Reduce a night as a careful astronomer does by hand: NumPy, astropy and a pool of processes.

The same arithmetic as `mirar-dask run imager -c reduce`, in float32: median bias, median dark a
second, median of the normalised flats of each filter, one pass over each science frame. Medians
are taken by blocks of rows with bottleneck; masters are made before the pool starts, which
inherits them.
"""

from __future__ import annotations

import time

START = time.time()

import argparse  # noqa: E402
import functools  # noqa: E402
import json  # noqa: E402
import multiprocessing  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Callable, Iterable  # noqa: E402
from pathlib import Path  # noqa: E402

import bottleneck  # noqa: E402
import numpy as np  # noqa: E402
from astropy.io import fits  # noqa: E402

ROWS = 32


def read(path: Path) -> tuple[np.ndarray, fits.Header]:
    """Read a raw frame: its pixels in float32, and its header."""
    with fits.open(path, memmap=True, do_not_scale_image_data=True) as hdus:
        header = hdus[0].header
        data = hdus[0].data.astype(np.float32)
    data += np.float32(header.get("BZERO", 0))
    return data, header


def median(frames: list[np.ndarray]) -> np.ndarray:
    """Median of frames, by blocks of rows."""
    result = np.empty_like(frames[0])
    for row in range(0, len(result), ROWS):
        block = np.stack([frame[row : row + ROWS] for frame in frames], axis=-1)
        result[row : row + ROWS] = bottleneck.nanmedian(block, axis=-1)
    return result


def make_masters(
    paths: Iterable[Path],
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], list[Path]]:
    """Make bias, dark and flats; the science frames are left."""
    kinds: dict[str, list[Path]] = {}
    filters = {}
    for path in paths:
        header = fits.getheader(path)
        kinds.setdefault(header["OBSCLASS"], []).append(path)
        filters[path] = header["FILTER"]
    bias = median([read(path)[0] for path in kinds["bias"]])

    def subtract_bias(path: Path) -> tuple[np.ndarray, float]:
        data, header = read(path)
        data -= bias
        return data, header["EXPTIME"]

    darks = []
    for path in kinds["dark"]:
        data, seconds = subtract_bias(path)
        data /= np.float32(seconds)
        darks.append(data)
    dark = median(darks)
    flats = {}
    for band in dict.fromkeys(filters[path] for path in kinds["flat"]):
        stack = []
        for path in kinds["flat"]:
            if filters[path] == band:
                data, seconds = subtract_bias(path)
                data -= dark * np.float32(seconds)
                data /= bottleneck.nanmedian(data)
                stack.append(data)
        flats[band] = median(stack)
        flats[band][flats[band] <= 0] = np.nan
    return bias, dark, flats, kinds["science"]


def reduce_frame(
    path: Path, out: Path, bias: np.ndarray, dark: np.ndarray, flats: dict[str, np.ndarray]
) -> None:
    """Calibrate one frame and save it."""
    data, header = read(path)
    data -= bias
    data -= dark * np.float32(header["EXPTIME"])
    data /= flats[header["FILTER"]]
    for key in ("BZERO", "BSCALE"):
        header.remove(key, ignore_missing=True)
    fits.PrimaryHDU(data, header).writeto(out / path.name, overwrite=True)


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
    folder = options.out / "reduced"
    folder.mkdir(parents=True, exist_ok=True)
    begin = time.time()
    bias, dark, flats, science = make_masters(sorted(options.raw.glob("*.fits")))
    middle = time.time()
    work = functools.partial(reduce_frame, out=folder, bias=bias, dark=dark, flats=flats)
    if options.workers > 1:
        with multiprocessing.get_context("fork").Pool(options.workers) as pool:
            for _ in pool.imap_unordered(do, science):
                pass
    else:
        for path in science:
            do(path)
    if options.json:
        phases = {
            "start": begin - START,
            "masters": middle - begin,
            "frames": time.time() - middle,
        }
        options.json.write_text(json.dumps({"phases": phases}))


if __name__ == "__main__":
    main()
