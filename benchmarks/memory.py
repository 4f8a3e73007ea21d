"""What tasks are estimated to need, and what they take; nights and batches larger than a worker.

Every task is done by the real engine in a real worker, which first lets go of what it kept of
earlier tasks. Measured is the high-water mark of its resident memory (VmHWM, mapped files
included), above what it had before its first task. Tasks of less than 200 MB are left out. Then
whole commands: a night of 8192 by 8192 pixels with 2 GB a worker, and a plan that cannot fit.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from master import cluster, engine_master
from measure import Result, Row, main, options
from raw_frames import make_frames, warm
from tree import run_watched

LEAST = 200e6
"""Bytes from which on a task counts."""
WORKER = 2 * 10**9
"""Memory of each worker, in bytes."""


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    return options(__doc__, repeat=1)


def run(chosen: argparse.Namespace) -> Result:
    """Take all cases through a worker, one after the other."""
    from mirar_dask.forkserver import start_early

    start_early()
    work, quick = chosen.work, chosen.quick
    sizes = (512, 1024) if quick else (4096, 8192)
    tasks: list[dict[str, Any]] = []
    for size in sizes:
        raw = simulated(work, size)
        tasks += watched(work, f"night of {size}²", lambda raw=raw: reduce(raw, work))
    n, size = (10, 512) if quick else (50, 4096)
    frames = make_frames(work / f"frames-{size}-{n}", n, size)
    warm(frames)
    tasks += watched(work, f"{n} frames of {size}²", lambda: master(frames, work))
    n, size = (30, 256) if quick else (300, 2048)
    images = make_frames(work / f"frames-{size}-10", 10, size)
    tasks += watched(work, f"{n} images of {size}²", lambda: batch_step(images, n, work))
    for n, size in ((10, 256),) if quick else ((300, 1024), (5, 4096)):
        images = make_frames(work / f"frames-{size}-{min(n, 10)}", min(n, 10), size)
        tasks += watched(
            work,
            f"{n} images of {size}²",
            lambda images=images, n=n: stack(images, n, work),
        )
    images = sorted(simulated(work, sizes[0]).glob("*FIELD*"))
    tasks += watched(work, f"sources of {sizes[0]}²", lambda: sources(images, len(images), work))
    rows = []
    for (case, label), found in grouped(tasks).items():
        if found["measured"] < LEAST and found["estimate"] < LEAST:
            continue
        ratio = found["estimate"] / found["measured"]
        rows.append(
            Row(
                f"{label}, {case}: {found['estimate'] / 1e6:.0f} MB estimated, "
                f"{found['measured'] / 1e6:.0f} MB taken",
                ratio,
                target="1/1.5 to 1.5",
                met=1 / 1.5 <= ratio <= 1.5,
            )
        )
    night = whole_night(work, sizes[1])
    rows += [
        Row(f"night of {sizes[1]}², 2 GB a worker: exit code", night["code"], target="<= 0"),
        Row("the same: peak of any process", night["peak"] / 1e9, "GB", "< 2"),
    ]
    if not quick:  # a small night does fit
        refused = float(night["refused"])
        rows.append(Row("the same with 256 MiB a worker is refused", refused, target=">= 1"))
    return Result(
        "memory",
        "estimates against peaks, above an idle worker",
        f"one worker of {WORKER / 1e9:.0f} GB; tasks over {LEAST / 1e6:.0f} MB",
        rows,
        {"tasks": tasks, "night": night},
        [night["message"]],
    )


def grouped(tasks: Sequence[dict[str, Any]]) -> dict[tuple[str, str], dict[str, int]]:
    """Take the largest task of each case and label."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for task in tasks:
        key = (task["case"], task["label"])
        if key not in found or task["measured"] > found[key]["measured"]:
            found[key] = task
    return found


# -- one task at a time ----------------


@contextmanager
def _watching(log: Path) -> Iterator[None]:
    """Have the engine's workers write down what each task takes."""
    from mirar_dask.engine import flights

    def fly_watched(topic: str, run: str, task: Any, attempt: int) -> Any:
        import ctypes
        import json
        from pathlib import Path

        from mirar_dask.engine.bench import find_bench
        from mirar_dask.engine.flights import fly

        def status(key: str) -> int:
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(x.split()[1]) << 10 for x in lines if x.startswith(key))

        bench = find_bench(run)
        bench.contexts.make_room(0)
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        kept = Path(str(log) + ".idle")
        if not kept.exists():
            kept.write_text(str(status("VmRSS")))
        outcome = fly(topic, run, task, attempt)
        taken = status("VmHWM") - int(kept.read_text())
        line = {"label": task.label, "estimate": task.memory, "measured": taken}
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return outcome

    before = flights.fly
    flights.fly = fly_watched
    try:
        yield
    finally:
        flights.fly = before


def watched(work: Path, case: str, go: Any) -> list[dict[str, Any]]:
    """Run a case, and return what each of its tasks was estimated to need, and took."""
    log = work / "memory-tasks.jsonl"
    for path in (log, Path(f"{log}.idle")):
        path.unlink(missing_ok=True)
    with _watching(log):
        go()
    found = [{"case": case, **json.loads(line)} for line in log.read_text().splitlines()]
    for path in (log, Path(f"{log}.idle")):
        path.unlink(missing_ok=True)
    return found


# -- the cases ----------------


def simulated(work: Path, size: int) -> Path:
    """Simulate a small night of large frames: 3 bias, 2 dark, 2 flat, 3 science frames."""
    from mirar_dask.testing import simulate_night

    raw = work / f"night-{size}" / "raw"
    if not raw.exists():
        part = raw.with_name("part")
        shutil.rmtree(part, ignore_errors=True)
        simulate_night(part, size=size, n_bias=3, n_dark=2, n_flat=2, n_science=3, filters=("r",))
        part.rename(raw)
    warm(sorted(raw.iterdir()))
    return raw


def reduce(raw: Path, work: Path) -> None:
    """Reduce a night with one worker."""
    from mirar_dask.run import reduce_night

    output = work / "memory-output"
    shutil.rmtree(output, ignore_errors=True)
    reduce_night(
        "imager", raw=raw, out=output, configuration="reduce", workers=1, memory=str(WORKER)
    )
    shutil.rmtree(output, ignore_errors=True)


def master(frames: list[Path], work: Path) -> None:
    """Make a master of many frames, in one task and in bands."""
    for workers in (1, 2):
        with cluster(workers, WORKER) as engine:
            engine_master(engine, frames, "sigma_clip", work)


def batch_step(paths: list[Path], n: int, work: Path) -> None:
    """Take many images through a step in mirar's way, which says nothing of its memory."""
    from mirar_dask.testing.engine_contract import Doubles

    _on_batch([Doubles()], paths, n, work)


def stack(paths: list[Path], n: int, work: Path) -> None:
    """Stack many images."""
    from mirar_dask.processors.stack import ImageStacker

    _on_batch([ImageStacker(align_by="none")], paths, n, work)


def sources(paths: list[Path], n: int, work: Path) -> None:
    """Find the sources of images and write their tables."""
    from mirar_dask.processors.sources import CSVExporter, SourceDetector

    _on_batch([SourceDetector(), CSVExporter("sources")], paths, n, work)


def _on_batch(steps: list[Any], paths: list[Path], n: int, work: Path) -> None:
    from mirar_dask.data import Dataset, ImageBatch
    from mirar_dask.engine import RunSettings
    from mirar_dask.paths import Roots
    from mirar_dask.pipelines.base_pipeline import name_steps
    from mirar_dask.pipelines.frames import open_frame

    output = work / "memory-output"
    shutil.rmtree(output, ignore_errors=True)
    name_steps(steps)
    images = []
    for number in range(n):
        (image,) = open_frame(paths[number % len(paths)])
        image["BASENAME"] = f"image{number}.fits"
        image["COADDS"], image["GAIN"] = 1, 1.5
        images.append(image)
    settings = RunSettings(
        roots=Roots(paths[0].parent, output),
        cache_dir=output / "cache",
        keep_results=False,
    )
    with cluster(1, WORKER) as engine:
        result = engine.run(steps, Dataset([ImageBatch(images)]), settings)
    lost = [r for r in result.records if r.status.value in ("failed", "lost")]
    if lost:
        raise SystemExit(f"{len(lost)} failures: {lost[0].reason}")
    shutil.rmtree(output, ignore_errors=True)


def whole_night(work: Path, size: int) -> dict[str, Any]:
    """Reduce the largest night by the command with 2 GB a worker, and ask for far too little."""
    raw, output = simulated(work, size), work / "memory-output"
    command = [sys.executable, "-m", "mirar_dask", "run", "imager", "-c", "reduce"]
    command += ["--raw", str(raw), "--out", str(output), "--workers", "2", "--memory"]
    log = work / "memory-night.log"
    shutil.rmtree(output, ignore_errors=True)
    refused = run_watched([*command, "256MiB"], os.environ, log)
    message = next((x for x in log.read_text().splitlines() if "needs about" in x), "")
    products = list(output.rglob("*.fits")) if output.exists() else []
    seconds, code, peaks = run_watched([*command, str(WORKER)], os.environ, log)
    shutil.rmtree(output, ignore_errors=True)
    return {
        "seconds": seconds,
        "code": code,
        "peak": max(peaks.values()),
        "peaks": sorted(peaks.values())[-4:],
        "refused": refused[1] == 3 and bool(message) and not products,
        "message": message,
    }


if __name__ == "__main__":
    main(parser(), run)
