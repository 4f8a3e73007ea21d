"""Times the reduction of a simulated night: this package, mirar itself, a NumPy script, ccdproc.

    python benchmarks/bench_night.py [--size 2048] [--frames small|large] [--repeat 3]

Every side runs as a process of its own, from its start to its end; the sides take turns, and
medians of their times are compared. What each of them writes is compared too, with each other
and with the truth of the simulated night. See benchmarks/README.md for figures.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from references import mirar_env

from mirar_dask.testing import NightTruth, simulate_night, truth_folder

HERE = Path(__file__).resolve().parent
REFERENCES = HERE / "references"
NIGHTS = {
    "tiny": {"n_bias": 5, "n_dark": 3, "n_flat": 3, "n_science": 4},
    "small": {"n_bias": 10, "n_dark": 8, "n_flat": 8, "n_science": 20},
    "large": {"n_bias": 13, "n_dark": 9, "n_flat": 9, "n_science": 80},
}
"""Frames of a night with two filters (flats and science frames for each): 22, 74, 200 in all."""
TOLERANCE = 2e-6
WORK_PHASES = {"masters", "frames"}
"""The phases of the script that are not its start."""


@dataclass(frozen=True)
class Side:
    """One way to reduce the night."""

    name: str
    workers: int
    command: Callable[[Path, Path, Path, int], list[str]] = field(compare=False)
    """From raw folder, output folder, JSON file and workers to a command line."""

    @property
    def label(self) -> str:
        """Name and number of workers."""
        return f"{self.name} x{self.workers}"


@dataclass
class Run:
    """What one run of one side took."""

    side: str
    seconds: float
    """From the start of the process to its end."""
    cpu: float
    """Seconds of all its processes together."""
    peak_mb: float
    """Largest memory of any one of its processes, as the kernel counts it."""
    phases: dict[str, float]
    """Seconds by phase, as the side itself says."""


def script(python: Path | str, name: str) -> Callable[[Path, Path, Path, int], list[str]]:
    """Command line of one of the reference scripts."""

    def command(raw: Path, out: Path, report: Path, workers: int) -> list[str]:
        where = ["--raw", str(raw), "--out", str(out), "--json", str(report)]
        return [str(python), str(REFERENCES / name), *where, "--workers", str(workers)]

    return command


def ours(raw: Path, out: Path, report: Path, workers: int) -> list[str]:
    """Command line of this package."""
    where = ["--raw", str(raw), "--out", str(out), "--json", str(report)]
    run = [sys.executable, "-m", "mirar_dask", "run", "imager", "-c", "reduce"]
    return [*run, *where, "--cluster", "local", "--workers", str(workers)]


def sides_of(names: list[str], workers: int) -> Iterator[Side]:
    """List what is to be run; those that scale run with one worker too."""
    counts = sorted({1, workers})
    for name in names:
        if name == "mirar":
            yield Side("mirar", workers, script(mirar_env.make(), "mirar_night.py"))
        elif name == "ccdproc":
            yield Side("ccdproc", 1, script(sys.executable, "ccdproc_night.py"))
        elif name == "numpy":
            command = script(sys.executable, "numpy_night.py")
            yield from (Side("numpy", count, command) for count in counts)
        else:
            yield from (Side("ours", count, ours) for count in counts)


def prepare(folder: Path, size: int, frames: str) -> tuple[Path, NightTruth]:
    """Simulate the night unless an earlier run has, and read it once so that it is in memory."""
    counts = "-".join(str(count) for count in NIGHTS[frames].values())
    raw = folder / f"night-{size}-{counts}" / "raw"
    try:
        night = NightTruth.load(truth_folder(raw))
    except FileNotFoundError:
        shutil.rmtree(raw.parent, ignore_errors=True)
        night = simulate_night(raw, size=size, **NIGHTS[frames])
    for path in raw.iterdir():
        path.read_bytes()
    return raw, night


def run(side: Side, raw: Path, out: Path) -> Run:
    """Run one side once, in an empty output folder."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    report = out / "report.json"
    os.sync()  # what earlier runs wrote is not to be written during this one
    with (out / "log.txt").open("w") as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            side.command(raw, out, report, side.workers), stdout=log, stderr=log
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss
        for used in orphans():
            cpu, peak = cpu + used.ru_utime + used.ru_stime, max(peak, used.ru_maxrss)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = "\n".join((out / "log.txt").read_text().splitlines()[-15:])
        raise SystemExit(f"{side.label} ended with {process.returncode}:\n{tail}")
    told = json.loads(report.read_text())
    phases = told.get("phases") or told.get("seconds") or {}
    return Run(side.label, seconds, cpu, peak / 1024, phases)


def adopt_orphans() -> None:
    """Become the parent of processes that a side leaves behind, to count what they used."""
    with contextlib.suppress(OSError, AttributeError):  # Linux only; elsewhere they go uncounted
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def orphans() -> Iterator[resource.struct_rusage]:
    """Wait for what a side left behind; its resources one by one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            process, _, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if process:
            yield used
        else:
            time.sleep(0.05)
    raise SystemExit("a side has ended and left a process behind that goes on running")


def product(out: Path, name: str) -> Path:
    """Find what a side made of a frame."""
    return next(path for path in sorted(out.rglob(name)) if path.is_file())


def check(
    outputs: dict[str, Path], night: NightTruth, reference: str | None
) -> dict[str, dict[str, float]]:
    """Hold a sample of each side's products against mirar's and against the truth."""
    names = night.names("science")
    sample = names[:: max(1, len(names) // 4)]
    found: dict[str, dict[str, float]] = {}
    for label, out in outputs.items():
        made = [product(out, name) for name in sample]
        found[label] = {"deviation": float(np.median([night.deviation(path) for path in made]))}
        if reference is not None:
            equal = [
                agreement(path, product(outputs[reference], name))
                for path, name in zip(made, sample, strict=True)
            ]
            found[label]["as mirar"] = min(equal)
    return found


def agreement(ours: Path, theirs: Path) -> float:
    """Fraction of the pixels that agree within the tolerance."""
    a, b = (fits.getdata(path).astype(np.float64) for path in (ours, theirs))
    near = np.abs(a - b) <= TOLERANCE * np.maximum(1, np.abs(b))
    return float(np.mean(near | (np.isnan(a) & np.isnan(b))))


def work_seconds(run: Run) -> float:
    """Time of the reduction itself, without the start of the process."""
    if set(run.phases) >= WORK_PHASES:
        return sum(run.phases[name] for name in WORK_PHASES)
    return run.phases.get("reduce", run.seconds)


def ratios(
    runs: dict[str, list[Run]],
    frames: str,
    workers: int,
    pick: Callable[[Iterable[float]], float] = statistics.median,
) -> list[tuple[str, float, str]]:
    """Compare the medians (or what else is picked of several runs): what, ratio, target."""
    total = {label: pick(r.seconds for r in done) for label, done in runs.items()}
    cpu = {label: pick(r.cpu for r in done) for label, done in runs.items()}
    work = {label: pick(map(work_seconds, done)) for label, done in runs.items()}
    mine, numpy, numpy_one = f"ours x{workers}", f"numpy x{workers}", "numpy x1"
    mirar = f"mirar x{workers}"
    table = []
    if mirar in total and mine in total:
        target = {"small": ">= 7", "large": ">= 10"}.get(frames, "")
        table.append(("mirar / ours", total[mirar] / total[mine], target))
        table.append(("mirar / ours, processor time", cpu[mirar] / cpu[mine], ""))
    if mirar in total and numpy in total:
        table.append(("mirar / script", total[mirar] / total[numpy], ""))
    if mine in total and numpy in total:
        table.append(("ours / script", total[mine] / total[numpy], "<= 1.0"))
        table.append(("ours / script, processor time", cpu[mine] / cpu[numpy], ""))
    if workers > 1:
        if mine in total and numpy in total:
            gain, other = work["ours x1"] / work[mine], work[numpy_one] / work[numpy]
            table.append((f"ours, gain of {workers} workers (reduction)", gain, ""))
            table.append((f"script, gain of {workers} processes (reduction)", other, ""))
            table.append(("our gain / the script's gain", gain / other, ">= 0.95"))
        if numpy in total:
            one, two = (
                pick(r.phases["frames"] for r in runs[label]) for label in (numpy_one, numpy)
            )
            table.append((f"script, gain of {workers} processes (frames only)", one / two, ""))
    return table


def machine() -> dict[str, str | int]:
    """Describe what the figures are measured on."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0))
    return {"cpu": model, "cores": cores, "python": platform.python_version()}


def report(
    runs: dict[str, list[Run]],
    table: list[tuple[str, float, str]],
    best: list[tuple[str, float, str]],
    checks: dict[str, dict[str, float]],
) -> None:
    """Print what was measured."""
    print(f"\n{'side':<12} {'seconds':>8} {'best':>8} {'cpu s':>8} {'peak MB':>8}  phases")
    for label, done in runs.items():
        middle = sorted(done, key=lambda r: r.seconds)[len(done) // 2]
        phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in middle.phases.items())
        print(
            f"{label:<12} {statistics.median(r.seconds for r in done):8.2f} "
            f"{min(r.seconds for r in done):8.2f} "
            f"{statistics.median(r.cpu for r in done):8.2f} "
            f"{max(r.peak_mb for r in done):8.0f}  {phases}"
        )
    print(f"\n{'side':<12} {'deviation from the truth':>25} {'pixels that agree with mirar':>30}")
    for label, found in checks.items():
        equal = f"{found['as mirar']:.6%}" if "as mirar" in found else "."
        print(f"{label:<12} {found['deviation']:>25.3f} {equal:>30}")
    print(f"\n{'ratio':<50} {'medians':>8} {'best runs':>10}  target")
    for (what, ratio, target), (_, least, _) in zip(table, best, strict=True):
        print(f"{what:<50} {ratio:8.2f} {least:10.2f}  {target}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=2048, help="pixels a side (2048)")
    parser.add_argument("--frames", choices=NIGHTS, default="small", help="22, 74 or 200 frames")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each side (3)")
    parser.add_argument("--workers", type=int, default=2, help="processes of each side (2)")
    parser.add_argument(
        "--only", default="mirar,numpy,ours", help="of mirar, numpy, ours, ccdproc (no ccdproc)"
    )
    parser.add_argument("--work", type=Path, default=HERE / ".cache", help="scratch folder")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - {"mirar", "numpy", "ours", "ccdproc"}:
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}")

    adopt_orphans()
    sides = list(sides_of(names, options.workers))
    raw, night = prepare(options.work.resolve(), options.size, options.frames)
    where = machine()
    print(f"{where['cpu']}, {where['cores']} cores, Python {where['python']}")
    print(f"{len(night.frames)} frames of {options.size} by {options.size}, {options.repeat} runs")

    runs: dict[str, list[Run]] = {side.label: [] for side in sides}
    # Of this process alone: two benchmarks at once measure nothing, but must not mix either.
    own = options.work.resolve() / f"out-{os.getpid()}"
    outputs = {side.label: own / str(i) for i, side in enumerate(sides)}
    checks: dict[str, dict[str, float]] = {}
    try:
        for turn in range(options.repeat):
            for i in range(len(sides)):
                side = sides[(i + turn) % len(sides)]
                runs[side.label].append(run(side, raw, outputs[side.label]))
                print(f"  {side.label}: {runs[side.label][-1].seconds:.2f} s", flush=True)
                if turn:
                    shutil.rmtree(outputs[side.label])
            if not turn:
                mirar = f"mirar x{options.workers}"
                checks = check(outputs, night, mirar if mirar in outputs else None)
    finally:
        shutil.rmtree(own, ignore_errors=True)
    table = ratios(runs, options.frames, options.workers)
    best = ratios(runs, options.frames, options.workers, min)
    report(runs, table, best, checks)
    if options.json:
        figures = {
            "machine": where,
            "size": options.size,
            "frames": len(night.frames),
            "runs": {label: [asdict(r) for r in done] for label, done in runs.items()},
            "ratios": {
                what: {"medians": ratio, "best runs": least, "target": goal}
                for (what, ratio, goal), (_, least, _) in zip(table, best, strict=True)
            },
            "checks": checks,
        }
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
