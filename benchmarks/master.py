"""A master of many large frames, made by the engine, against numpy on the whole cube.

50 frames of 4096 by 4096 pixels, 16-bit integers as cameras write them, read from files that are
in the page cache: median, and sigma-clipped mean. The engine makes the master on a local cluster,
writes it to disk, and is timed from the frames' headers in hand to the result (the start of the
cluster is given apart). The reference loads the frames into a float32 cube and calls
``np.nanmedian(cube, axis=0)``; the rows are divided among as many processes, so that it has the
same parallelism, and within a process as far as the free memory asks for it. ``astropy``'s
sigma_clip is timed on a few rows, and scaled up.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from measure import Result, Row, main, options, turns
from peaks import Peaks
from raw_frames import make_frames, warm

METHODS = ("median", "sigma_clip")
ROOM = 5
"""np.nanmedian takes so many times the memory of the cube that it is given."""
ASTROPY_ROWS = 64


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    found = options(__doc__)
    found.add_argument("--frames", type=int, default=50)
    found.add_argument("--size", type=int, default=4096)
    found.add_argument("--workers", type=int, default=2)
    return found


def run(chosen: argparse.Namespace) -> Result:
    """Time the engine and the references in turns."""
    n, size = (10, 1024) if chosen.quick else (chosen.frames, chosen.size)
    paths = make_frames(chosen.work / f"frames-{size}-{n}", n, size)
    warm(paths)
    times: dict[str, list[float]] = {}
    peaks: dict[str, int] = {}
    starts: list[float] = []
    sides = [*METHODS, "nanmedian"]
    masters: dict[str, np.ndarray] = {}
    for _, side in turns(sides, chosen.repeat):
        if side == "nanmedian":
            seconds, peak, masters[side] = nanmedian(paths, size, chosen.workers)
        else:
            before = time.perf_counter()
            with cluster(chosen.workers) as engine:
                starts.append(time.perf_counter() - before)
                seconds, peak, masters[side] = engine_master(engine, paths, side, chosen.work)
        times.setdefault(side, []).append(seconds)
        peaks[side] = max(peak, peaks.get(side, 0))
    by_astropy = astropy_clip(paths, size) / chosen.workers
    middle = {side: statistics.median(found) for side, found in times.items()}
    rows = []
    for method in METHODS:
        ratio = middle["nanmedian"] / middle[method]
        target = "" if chosen.quick else ">= 4"  # so little work is done while tasks are sent
        rows.append(Row(f"np.nanmedian / {method}", ratio, target=target))
        rows.append(Row(f"{method}: peak of a worker", peaks[method] / 1e9, "GB", "< 1"))
    same = np.array_equal(masters["median"], masters["nanmedian"])
    rows.append(Row("median equals np.nanmedian in all bits", float(same), target=">= 1"))
    rows.append(Row("astropy sigma_clip / sigma_clip", by_astropy / middle["sigma_clip"]))
    lines = [f"{side:10} {middle[side]:6.2f} s, {peaks[side] / 1e9:.2f} GB" for side in sides]
    lines.append(f"start of the cluster {statistics.median(starts):.2f} s, not counted")
    return Result(
        "master",
        f"a master of {n} frames of {size} by {size}, {chosen.workers} processes",
        f"uint16 from files in the page cache; medians of {chosen.repeat} runs in turns",
        rows,
        {"seconds": times, "peaks": peaks, "starts": starts, "astropy_seconds": by_astropy},
        lines,
    )


# -- ours ----------------


@contextmanager
def cluster(workers: int, memory: int | None = None) -> Iterator[object]:
    """Start a local cluster as the command does, and give its engine."""
    from mirar_dask.cluster import ClusterSpec, connect
    from mirar_dask.forkserver import start_early

    start_early()
    with connect(ClusterSpec(workers=workers, memory=memory), dashboard=False) as engine:
        yield engine


def engine_master(
    engine: object, paths: list[Path], method: str, work: Path
) -> tuple[float, int, np.ndarray]:
    """Have a master bias made: seconds, peak of a worker, and the master as it was saved."""
    from mirar_dask.data import Dataset, ImageBatch
    from mirar_dask.engine import RunSettings
    from mirar_dask.engine.events import TaskFinished
    from mirar_dask.io import open_fits
    from mirar_dask.paths import Roots
    from mirar_dask.pipelines.base_pipeline import name_steps
    from mirar_dask.pipelines.frames import open_frame
    from mirar_dask.processors.bias import BiasCalibrator
    from mirar_dask.processors.utils.image_selector import ImageSelector

    output = work / "master-output"
    shutil.rmtree(output, ignore_errors=True)
    steps = [BiasCalibrator(method=method), ImageSelector(("OBSCLASS", "science"))]
    name_steps(steps)
    batch = ImageBatch([image for path in paths for image in open_frame(path)])
    (science,) = open_frame(paths[0])  # or nobody would need the master
    science["OBSCLASS"], science["TARGET"], science["BASENAME"] = "science", "m13", "m13.fits"
    batch.append(science)
    for image in batch:
        image["COADDS"], image["GAIN"] = 1, 1.5
    made: list[float] = []

    def listen(event: object) -> None:
        if isinstance(event, TaskFinished) and event.label.endswith(" master"):
            made.append(time.perf_counter())

    settings = RunSettings(roots=Roots(paths[0].parent, output), listeners=(listen,))
    pids = list(engine.client.run(os.getpid).values())
    with Peaks(pids) as peaks:
        start = time.perf_counter()
        result = engine.run(steps, Dataset([batch]), settings)
    seconds = made[-1] - start
    failed = result.counts()["failed"] + result.counts()["blocked"]
    if failed:
        raise SystemExit(f"{failed} frames failed: {result.records[-1]}")
    (master,) = output.rglob("bias_*.fits")
    data = open_fits(master)[0]
    shutil.rmtree(output, ignore_errors=True)
    return seconds, peaks.largest, data


# -- the others ----------------


def nanmedian(paths: list[Path], size: int, workers: int) -> tuple[float, int, np.ndarray]:
    """Take np.nanmedian of the cube, its rows divided among processes: seconds, peak, median."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    cached = next(int(line.split()[1]) << 10 for line in _meminfo() if line.startswith("Cached"))
    whole = ROOM * 4 * len(paths) * size**2
    pieces = max(1, -(-whole // round(0.6 * (free + cached)))) * workers
    edges = [round(size * i / pieces) for i in range(pieces + 1)]
    jobs = [(paths, start, stop) for start, stop in pairwise(edges)]
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        pids = set(pool.map(_pid, range(4 * workers)))
        with Peaks(sorted(pids)) as peaks:
            start_time = time.perf_counter()
            parts = list(pool.map(_nanmedian_rows, jobs))
            seconds = time.perf_counter() - start_time
    return seconds, peaks.largest, np.concatenate(parts)


def _meminfo() -> list[str]:
    return Path("/proc/meminfo").read_text().splitlines()


def _pid(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def _load(paths: list[Path], start: int, stop: int) -> np.ndarray:
    """Load rows of all frames as a careful script does: mapped, and straight into a cube."""
    from astropy.io import fits

    cube = None
    for number, path in enumerate(paths):
        with fits.open(path, memmap=True, do_not_scale_image_data=True) as hdus:
            rows = hdus[0].data[start:stop]
            if cube is None:
                cube = np.empty((len(paths), *rows.shape), np.float32)
            np.copyto(cube[number], rows)
    cube += 32768
    return cube


def _nanmedian_rows(job: tuple[list[Path], int, int]) -> np.ndarray:
    return np.nanmedian(_load(*job), axis=0)


def astropy_clip(paths: list[Path], size: int) -> float:
    """Seconds that astropy's sigma_clip, and the mean of what it leaves, would take by itself."""
    from astropy.stats import sigma_clip

    cube = _load(paths, 0, ASTROPY_ROWS)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sigma_clip(cube, sigma=3, cenfunc="median", stdfunc="mad_std", axis=0).mean(axis=0)
    return (time.perf_counter() - start) * size / ASTROPY_ROWS


if __name__ == "__main__":
    main(parser(), run)
