"""Reduce a night with ccdproc, as its own guide does it; used for comparison only.

Masters by `ccdproc.combine` (median), then `subtract_bias`, `subtract_dark` with scaling, and
`flat_correct`, which divides by the flat over its mean.
"""

from __future__ import annotations

import time

START = time.time()

import argparse  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import warnings  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
from astropy import units as u  # noqa: E402
from astropy.io import fits  # noqa: E402
from astropy.nddata import CCDData  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1, help="ccdproc uses one process")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    phases = reduce_night(options.raw, options.out / "reduced")
    if options.json:
        options.json.write_text(json.dumps({"seconds": phases}))


def reduce_night(raw: Path, folder: Path) -> dict[str, float]:
    """Reduce the frames of a folder into another; seconds by phase."""
    import ccdproc

    folder.mkdir(parents=True, exist_ok=True)
    begin = time.time()
    kinds: dict[str, list[Path]] = {}
    filters: dict[Path, str] = {}
    for path in sorted(raw.glob("*.fits")):
        header = fits.getheader(path)
        kinds.setdefault(header["OBSCLASS"], []).append(path)
        filters[path] = header["FILTER"]

    def read(path: Path) -> CCDData:
        frame = CCDData.read(path, unit="adu")
        frame.data = frame.data.astype(np.float32)
        return frame

    def combine(frames: list[CCDData], scale: object = None) -> CCDData:
        return ccdproc.combine(frames, method="median", scale=scale, dtype=np.float32)

    bias = combine([read(path) for path in kinds["bias"]])
    dark = combine([ccdproc.subtract_bias(read(path), bias) for path in kinds["dark"]])

    def correct(path: Path) -> CCDData:
        frame = ccdproc.subtract_bias(read(path), bias)
        return ccdproc.subtract_dark(
            frame, dark, exposure_time="EXPTIME", exposure_unit=u.second, scale=True
        )

    flats = {
        band: combine(
            [correct(path) for path in kinds["flat"] if filters[path] == band],
            scale=lambda data: 1 / np.median(data),
        )
        for band in dict.fromkeys(filters[path] for path in kinds["flat"])
    }
    middle = time.time()
    for path in kinds["science"]:
        reduced = ccdproc.flat_correct(correct(path), flats[filters[path]])
        fits.PrimaryHDU(reduced.data.astype(np.float32), reduced.header).writeto(
            folder / path.name, overwrite=True
        )
    return {"start": begin - START, "masters": middle - begin, "frames": time.time() - middle}


if __name__ == "__main__":
    main()
