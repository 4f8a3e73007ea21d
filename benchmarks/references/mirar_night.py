"""Reduce a night with mirar's own engine and calibrators; run it with mirar's Python.

Bias and dark from the whole night, flats by filter, calibrated science frames saved: what
`mirar-dask run imager -c reduce` does. The processors are taken one after another as mirar's own
`Pipeline.reduce_images` takes them; the pipelines themselves are not imported, because each of
their instruments asks for packages of its own. As each of those does, the script gives the loader
a function that puts the headers right: mirar leaves BZERO of 16-bit frames in place, which would
raise every pixel of a floating-point product by 32768 when it is read.
"""

from __future__ import annotations

import time

START = time.time()

import argparse  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    # mirar reads these when it is imported.
    os.environ["RAW_DATA_DIR"] = str(options.raw.resolve().parent)
    os.environ["OUTPUT_DATA_DIR"] = str(options.out.resolve())
    os.environ["MAX_N_CPU"] = str(options.workers)

    from mirar.data import Dataset, Image, ImageBatch
    from mirar.data.cache import cache
    from mirar.io import open_fits, open_raw_image
    from mirar.processors.bias import BiasCalibrator
    from mirar.processors.dark import DarkCalibrator
    from mirar.processors.flat import FlatCalibrator
    from mirar.processors.utils.image_loader import ImageLoader
    from mirar.processors.utils.image_saver import ImageSaver
    from mirar.processors.utils.image_selector import ImageBatcher, ImageSelector

    def open_unscaled(path: Path) -> tuple[object, object]:
        data, header = open_fits(path)
        for key in ("BZERO", "BSCALE"):
            header.remove(key, ignore_missing=True)
        return data, header

    def load_image(path: Path) -> Image:
        return open_raw_image(path, open_f=open_unscaled)

    logging.disable(logging.WARNING)
    steps = [
        ImageLoader(input_sub_dir=options.raw.resolve().name, load_image=load_image),
        BiasCalibrator(),
        DarkCalibrator(),
        ImageSelector(("OBSCLASS", ["flat", "science"])),
        ImageBatcher("FILTER"),
        FlatCalibrator(),
        ImageSelector(("OBSCLASS", "science")),
        ImageSaver("reduced"),
    ]
    phases = {"start": time.time() - START}
    with tempfile.TemporaryDirectory(dir=options.out) as scratch:
        cache.set_cache_dir(Path(scratch))
        dataset = Dataset([ImageBatch()])
        for number, step in enumerate(steps):
            begin = time.time()
            step.set_night("")
            step.set_preceding_steps(steps[:number])
            dataset, errors = step.base_apply(dataset)
            if errors.reports:
                raise SystemExit(errors.reports[0].generate_full_traceback())
            phases[step.base_key] = phases.get(step.base_key, 0.0) + time.time() - begin
        del dataset
    if options.json:
        options.json.write_text(json.dumps({"phases": phases}))


if __name__ == "__main__":
    main()
