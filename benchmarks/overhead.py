"""What the framework itself costs: steps that do nothing, regroups, plans of large nights.

    python benchmarks/overhead.py [--quick] [--images 10000] [--steps 10] [--workers 2]

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
from measure import Result, Row, main, options

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
    """Divide the night, merge it by another key, put everything together again."""
    from mirar_dask.processors.utils.image_selector import (
        ImageBatcher,
        ImageDebatcher,
        ImageRebatcher,
    )

    dataset = _opened(raw)
    moves = [ImageBatcher("FILTER"), ImageRebatcher("OBSCLASS"), ImageDebatcher()]
    with _engine(workers) as engine:
        start, cpu = time.perf_counter(), time.process_time()
        result = engine.run(_configured(moves), dataset, _settings())
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert [len(batch) for batch in result.dataset] == [n]
    return {"seconds": seconds, "cpu": cpu, "regroups": 2.0}


MEASURES: dict[str, Callable[[Path, int, int, int], dict[str, float]]] = {
    "plan": plan_of,
    "idle": idle_run,
    "regroup": regroup,
}


def _opened(raw: Path) -> Dataset:
    from mirar_dask.processors.utils.image_loader import ImageListLoader

    loader = ImageListLoader(sorted(raw.iterdir()))
    _configured([loader])
    images = [image for path in loader.list_inputs() for image in loader.load_file(path)[0]]
    for image in images:
        image.own_header()  # the compact form, in which a run keeps them
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


def in_process(name: str, raw: Path, n: int, chosen: argparse.Namespace) -> dict[str, float]:
    """Take one measure in a process of its own."""
    command = [sys.executable, __file__, "--measure", name, str(raw), str(n)]
    command += ["--workers", str(chosen.workers), "--steps", str(chosen.steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(chosen: argparse.Namespace) -> Result:
    """Take all measures."""
    n, steps = (1000 if chosen.quick else chosen.images), chosen.steps
    figures, lines = {}, [f"{'plan of':>10}{'wall':>10}{'CPU':>10}{'CPU a frame':>14}"]
    each = {}
    with tempfile.TemporaryDirectory(prefix="overhead-") as scratch:
        for fraction in FRACTIONS:
            part = n // fraction
            raw = Path(scratch) / f"night{part}"
            make_frames(raw, part)
            plan = figures[f"plan {part}"] = in_process("plan", raw, part, chosen)
            each[fraction] = 1e3 * plan["cpu"] / part
            line = f"{part:>10,}{plan['seconds']:>8.2f} s{plan['cpu']:>8.2f} s"
            lines.append(f"{line}{each[fraction]:>11.2f} ms")
        idle = figures["idle"] = in_process("idle", raw, n, chosen)
        moved = figures["regroup"] = in_process("regroup", raw, n, chosen)
    growth = each[FRACTIONS[-1]] / each[FRACTIONS[0]]
    a_step = 1e3 * idle["cpu"] / (n * steps)
    rows = [
        Row(f"plan of {n:,} frames", plan["seconds"], "s", "< 15"),
        Row("CPU a frame there, to that of an eighth of them", growth, "", "< 1.25"),
        Row("peak memory of the plan", plan["peak_mb"], "MB", "< 1000"),
        Row(f"CPU for each image and step ({n:,} x {steps})", a_step, "ms", "< 1"),
        Row("peak memory of the driver there", idle["peak_mb"], "MB", "< 1000"),
        Row("wall time there", idle["seconds"], "s"),
        Row(f"regroup of {n:,} images", moved["seconds"] / moved["regroups"], "s", "< 2"),
    ]
    sizes = f"{n:,} images of 32 x 32 with {CARDS} cards, {chosen.workers} workers"
    return Result("overhead", "What the framework itself costs", sizes, rows, figures, lines)


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    made = options(__doc__, repeat=1)
    made.add_argument("--images", type=int, default=10_000, help="images of the night (10000)")
    made.add_argument("--steps", type=int, default=10, help="steps that do nothing (10)")
    made.add_argument("--workers", type=int, default=2, help="worker processes (2)")
    made.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    asked = parser().parse_args()
    if asked.measure:
        name, folder, count = asked.measure
        print(json.dumps(MEASURES[name](Path(folder), int(count), asked.workers, asked.steps)))
    else:
        main(parser(), run)
