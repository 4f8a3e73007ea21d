"""What the framework itself costs: steps that do nothing, regroups, plans of large nights.

    python benchmarks/overhead.py [--images 10000] [--steps 10] [--workers 2] [--json FILE]

Each figure is taken in a process of its own, so that peaks of memory are its own. CPU seconds are
those of driver, scheduler, nannies and workers together while the run lasts.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from astropy.io import fits
from measure import Result, Row, add_common_options, show

from mirar_dask.data import Dataset, Image, ImageBatch
from mirar_dask.processors.base_processor import BaseImageProcessor

CARDS = 60
"""Cards of a header, as a plain camera writes them."""
SHARES = {"bias": 0.05, "dark": 0.05, "flat_g": 0.05, "flat_r": 0.05, "FIELD1_g": 0.4}
"""Part of the night that is of each kind; the rest is the other filter."""
FRACTIONS = (8, 4, 2, 1)
"""The night is planned whole and in these parts, to see how the cost grows."""


class Idle(BaseImageProcessor):
    """Do nothing to an image, and say so in its history."""

    base_key = "idle"
    writes_products = False

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Return the image."""
        return image

    def changes_keys(self) -> frozenset[str]:
        """Change nothing but the history."""
        return frozenset()


def make_frames(folder: Path, n: int) -> None:
    """Write n small frames with whole headers, the kinds in the proportions of a night."""
    from mirar_dask.testing import simulate_night

    with tempfile.TemporaryDirectory() as scratch:
        simulate_night(scratch, size=32, n_bias=1, n_dark=1, n_flat=1, n_science=1)
        templates = {path.stem[:-5]: path for path in sorted(Path(scratch).iterdir())}
        for template in templates.values():
            with fits.open(template, mode="update") as opened:
                header = opened[0].header
                for number in range(CARDS - len(header)):
                    header[f"HK{number:02d}"] = (20.5 + number, "[deg C] housekeeping")
        counts = {kind: int(n * share) for kind, share in SHARES.items()}
        counts["FIELD1_r"] = n - sum(counts.values())
        folder.mkdir(parents=True)
        start = datetime(2026, 3, 14, 20)
        for kind, count in counts.items():
            content = templates[kind].read_bytes()
            then = str(fits.getheader(templates[kind])["DATE-OBS"]).encode()
            for number in range(count):
                now = (start + timedelta(seconds=3 * number)).isoformat(timespec="milliseconds")
                path = folder / f"{kind}_{number:05d}.fits"
                path.write_bytes(content.replace(then, now.encode()))


# -- what is measured, each in a process of its own -----------------------------------------------


def plan_of(raw: Path, n: int, workers: int, steps: int) -> dict[str, float]:
    """Plan the night for `imager -c reduce`."""
    from mirar_dask.run import plan_night

    cpu = time.process_time()

    start = time.perf_counter()
    found = plan_night("imager", raw=raw, out=raw.parent / "out", configuration="reduce")
    seconds = time.perf_counter() - start
    assert found.frames == n, found.frames
    return {"seconds": seconds, "cpu": time.process_time() - cpu, "peak_mb": _peak_mb()}


def idle_run(raw: Path, n: int, workers: int, steps: int) -> dict[str, float]:
    """Take all images through steps that do nothing, on worker processes."""
    import psutil

    dataset = _opened(raw)
    with _engine(workers) as engine:
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        before, start = _cpu(processes), time.perf_counter()
        result = engine.run(_configured([Idle() for _ in range(steps)]), dataset, _settings())
        seconds, cpu = time.perf_counter() - start, _cpu(processes) - before
    assert result.counts()["succeeded"] == n, result.counts()
    return {"seconds": seconds, "cpu": cpu, "peak_mb": _peak_mb()}


def regroup(raw: Path, n: int, workers: int, steps: int) -> dict[str, float]:
    """Divide the night, merge it by other keys, put everything together again."""
    from mirar_dask.processors.utils.image_selector import (
        ImageBatcher,
        ImageDebatcher,
        ImageRebatcher,
    )

    dataset = _opened(raw)
    moves = [ImageBatcher("FILTER"), ImageRebatcher("OBSCLASS"), ImageDebatcher()]
    with _engine(workers) as engine:
        start = time.perf_counter()
        result = engine.run(_configured(moves), dataset, _settings())
        seconds = time.perf_counter() - start
    assert [len(batch) for batch in result.dataset] == [n]
    return {"seconds": seconds, "regroups": 2.0}


MEASURES: dict[str, Callable[[Path, int, int, int], dict[str, float]]] = {
    "plan": plan_of,
    "idle": idle_run,
    "regroup": regroup,
}


def _opened(raw: Path) -> Dataset:
    from mirar_dask.io import open_raw_image

    images = [open_raw_image(path) for path in sorted(raw.iterdir())]
    for image in images:
        image.own_header()  # as in a run, where the loader leaves the compact form
    return Dataset([ImageBatch(images)])


def _engine(workers: int) -> Any:
    from mirar_dask.cluster import ClusterSpec, connect

    return connect(ClusterSpec.parse("local", workers=workers), dashboard=False)


def _settings() -> Any:
    from mirar_dask.engine.types import RunSettings

    return RunSettings(keep_results=False)


def _configured(steps: list[Any]) -> list[Any]:
    for number, step in enumerate(steps):
        step.step_name = f"{step.base_key}{number}"
        step.set_night("night")
    return steps


def _cpu(processes: list[Any]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_process(name: str, raw: Path, n: int, options: argparse.Namespace) -> dict[str, float]:
    """Take one measure in a process of its own."""
    command = [sys.executable, __file__, "--measure", name, str(raw), str(n)]
    command += ["--workers", str(options.workers), "--steps", str(options.steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(options: argparse.Namespace) -> Result:
    """Take all measures."""
    n, steps = options.images, options.steps
    rows, figures = [], {}
    with tempfile.TemporaryDirectory(prefix="overhead-") as scratch:
        per_frame = {}
        for fraction in FRACTIONS:
            raw = Path(scratch) / f"night{fraction}"
            make_frames(raw, n // fraction)
            in_process("plan", raw, n // fraction, options) if fraction == max(FRACTIONS) else None
            planned = figures[f"plan {n // fraction}"] = in_process(
                "plan", raw, n // fraction, options
            )
            per_frame[fraction] = 1e3 * planned["seconds"] / (n // fraction)
            last = fraction == min(FRACTIONS)
            rows.append(
                Row.at_most(f"plan of {n // fraction:,} frames", planned["seconds"], "s", 15 if last else None)
            )  # fmt: skip
        growth = per_frame[min(FRACTIONS)] / per_frame[max(FRACTIONS)]
        rows.append(Row.at_most("cost a frame, whole night to an eighth", growth, "", 1.25))
        rows.append(Row.at_most("peak memory of that plan", planned["peak_mb"], "MB", 1000))
        idle = figures["idle"] = in_process("idle", raw, n, options)
        each = 1e3 * idle["cpu"] / (n * steps)
        rows.append(Row.at_most("CPU for each image and step", each, "ms", 1))
        rows.append(Row.at_most("peak memory of the driver", idle["peak_mb"], "MB", 1000))
        rows.append(Row.at_most("wall time of that run", idle["seconds"], "s"))
        moved = figures["regroup"] = in_process("regroup", raw, n, options)
        each = moved["seconds"] / moved["regroups"]
        rows.append(Row.at_most(f"regroup of {n:,} images", each, "s", 2))
    sizes = f"{n:,} images of 32 x 32 with {CARDS} cards, {steps} steps, {options.workers} workers"
    return Result("overhead", "What the framework itself costs", sizes, rows, figures)


def main() -> None:
    """Take one measure, or all and show them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=10_000, help="images of the night")
    parser.add_argument("--steps", type=int, default=10, help="steps that do nothing")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--measure", nargs=3, metavar=("NAME", "FOLDER", "N"), help=argparse.SUPPRESS)
    add_common_options(parser)
    options = parser.parse_args()
    if options.measure:
        name, folder, n = options.measure
        print(json.dumps(MEASURES[name](Path(folder), int(n), options.workers, options.steps)))
    else:
        show([run(options)], options)


if __name__ == "__main__":
    main()
