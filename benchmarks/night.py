"""Times the reduction of a night: this package, mirar itself, a NumPy script, ccdproc.

    python benchmarks/night.py [NIGHT] [--size 2048] [--seed 1] [--repeat 3]
    python benchmarks/night.py --raw FOLDER

Every side runs as processes of its own, from the shell's prompt back to the shell's prompt; the
sides take turns, and medians are compared. What each of them makes of the night is compared first,
in a run that is not timed and tells memory and bytes as well.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import statistics
from pathlib import Path
from typing import Any

import products
import sides
from measure import Result, Row, compare, main, number, options, turns
from nights import NAMED, QUICK, Bytes, Night, ideal, miniature, simulated
from sides import Run, Side

MORE_BYTES = 1.01
"""What counts as no more bytes than ideal: room for what little is written about each frame."""
LEAST_BYTES = 100e6
"""Ideal of a night that is large enough to count its bytes."""


def parser() -> argparse.ArgumentParser:
    found = options(__doc__)
    found.add_argument("night", nargs="?", choices=NAMED, default="night-74", help="(night-74)")
    found.add_argument("--raw", type=Path, help="reduce this folder of raw frames instead")
    found.add_argument("--size", type=int, help="pixels a side, if not the night's own")
    for kind in ("bias", "dark", "flat", "science"):
        each = " of each of two filters" if kind in ("flat", "science") else ""
        found.add_argument(f"--{kind}", type=int, help=f"number of {kind} frames{each}")
    found.add_argument("--seed", type=int, default=1, help="of the simulation (1)")
    found.add_argument("--workers", type=int, default=2, help="processes of each side (2)")
    found.add_argument("--sides", help=f"some of {','.join(sides.NAMES)} (all)")
    found.add_argument(
        "--here", action="store_true", help="run script and ccdproc with this Python"
    )
    return found


def chosen_night(chosen: argparse.Namespace) -> Night:
    """Find or simulate what is to be reduced."""
    if chosen.raw:
        return Night.of(chosen.raw.resolve())
    size = QUICK if chosen.quick else NAMED[chosen.night]
    other = {f"n_{kind}": getattr(chosen, kind) for kind in ("bias", "dark", "flat", "science")}
    other["size"] = chosen.size
    told = {key: value for key, value in other.items() if value is not None}
    return simulated(dataclasses.replace(size, **told), chosen.seed, chosen.work.resolve())


def run(chosen: argparse.Namespace) -> Result:
    """Reduce one night with every side, several times."""
    names = (chosen.sides or ("script,ours" if chosen.quick else ",".join(sides.NAMES))).split(",")
    if unknown := set(names) - set(sides.NAMES):
        raise SystemExit(f"--sides: unknown {', '.join(sorted(unknown))}")
    here, work = chosen.here or chosen.quick, chosen.work.resolve()
    run_by = list(sides.sides_of(names, chosen.workers, here, work))
    night = chosen_night(chosen)
    # Of this process alone: two benchmarks at once measure nothing, but must not mix either.
    own = work / f"out-{os.getpid()}"
    try:
        found = Comparison(night, run_by, chosen.workers)
        found.inspect(own)
        found.time(own, 1 if chosen.quick else chosen.repeat)
    finally:
        shutil.rmtree(own, ignore_errors=True)
    return found.result(chosen.raw.resolve().name if chosen.raw else name_of(chosen))


def name_of(chosen: argparse.Namespace) -> str:
    """Return the night's name, with what is different about it."""
    other = {kind: getattr(chosen, kind) for kind in ("size", "bias", "dark", "flat", "science")}
    other["seed"] = None if chosen.seed == 1 else chosen.seed
    told = [f"{kind} {value}" for kind, value in other.items() if value is not None]
    quick = ["quick"] if chosen.quick else []
    return ", ".join([chosen.night, *quick, *told])


class Comparison:
    """The runs of all sides over one night.

    Parameters
    ----------
    night : Night
        What they reduce.
    run_by : list of Side
        The sides.
    workers : int
        Processes of those that are compared with each other.
    """

    def __init__(self, night: Night, run_by: list[Side], workers: int) -> None:
        self.night, self.sides, self.workers = night, run_by, workers
        self.looks: dict[str, Run] = {}
        """The run of each side in which its memory was sampled."""
        self.bytes: dict[str, Bytes] = {}
        """What each side reads and writes because of the pixels."""
        self.timed: dict[str, list[Run]] = {side.label: [] for side in run_by}
        self.checks: dict[str, dict[str, float]] = {}
        self.shape = (0, 0)
        self.ideal = Bytes(0, 0)

    def inspect(self, own: Path) -> None:
        """Run each side once to see its products, its memory and its bytes; no time counts.

        A second run of each, over a miniature of the night, tells what it reads and writes
        besides pixels: modules, headers, messages between its processes.
        """
        small = miniature(self.night, own / "miniature" / "raw")
        for side in {side.name: side for side in self.sides}.values():
            sides.run(side, small, own / "small-out")  # byte code is written once
        outputs = {side.label: own / str(i) for i, side in enumerate(self.sides)}
        for side in self.sides:
            least = sides.run(side, small, own / "small-out").usage
            look = sides.run(side, self.night, outputs[side.label], sample=True)
            self.looks[side.label] = look
            used = look.usage
            self.bytes[side.label] = Bytes(used.read, used.written) - Bytes(
                least.read, least.written
            )
        labels = [f"{name} x{self.workers}" for name in ("mirar", "script")]
        reference = next((label for label in labels if label in outputs), None)
        self.checks = products.check(outputs, self.night, reference)
        self.shape = products.shape(next(iter(outputs.values())), self.night)
        edge = products.shape(own / "small-out", small)
        self.ideal = ideal(self.night, self.shape) - ideal(small, edge)
        for out in outputs.values():
            shutil.rmtree(out)

    def time(self, own: Path, repeat: int) -> None:
        """Run the sides in turns."""
        for _, side in turns(self.sides, repeat):
            done = sides.run(side, self.night, own / "out")
            self.timed[side.label].append(done)
            print(f"  {side.label}: {done.usage.seconds:.2f} s", flush=True)
            shutil.rmtree(own / "out")

    def result(self, name: str) -> Result:
        """Put everything together."""
        repeat = len(self.timed[self.sides[0].label])
        return Result(
            name,
            "bias, dark, flat, save: whole processes, from prompt to prompt",
            f"{self.night.line(self.shape)}, {repeat} timed runs of each side",
            self.rows(),
            self.figures(),
            self.lines(),
        )

    def rows(self) -> list[Row]:
        """Compare the sides."""
        mine, script = f"ours x{self.workers}", f"script x{self.workers}"
        mirar, ccdproc = f"mirar x{self.workers}", f"ccdproc x{self.workers}"
        seconds = {k: [r.usage.seconds for r in done] for k, done in self.timed.items()}
        cpu = {k: [r.usage.cpu for r in done] for k, done in self.timed.items()}
        faster, script_target, gain_target = self.targets()
        rows = []
        for over, under, target in (
            (mirar, mine, faster),
            (mine, script, script_target),
            (ccdproc, mine, ""),
            (mirar, script, ""),
        ):
            if over in seconds and under in seconds:
                what = f"{over.split()[0]} / {under.split()[0]}"
                rows.append(compare(what, [seconds[over]], [seconds[under]], target))
                rows.append(compare(f"{what}, processor time", [cpu[over]], [cpu[under]]))
        if self.workers > 1 and {mine, script} <= set(seconds):
            rows += self.gains(mine, script, gain_target)
        if mine in self.bytes:
            rows += self.data_rows(mine)
        return rows

    def targets(self) -> tuple[str, str, str]:
        """Return what is wanted of a night like this: mirar / ours, ours / script, gains."""
        if self.workers != 2 or self.shape != (2048, 2048):
            return "", "", ""
        if len(self.night.frames) >= 150:
            return ">= 10", "<= 1.0", ">= 0.95"
        return (">= 7" if len(self.night.frames) >= 60 else ""), "", ""

    def gains(self, mine: str, script: str, target: str) -> list[Row]:
        """Compare what more than one worker gives to us and to the script."""
        work = {k: [r.reduction for r in done] for k, done in self.timed.items()}
        frames = {k: [r.phases["frames"] for r in self.timed[k]] for k in ("script x1", script)}
        one, other = work["ours x1"], work["script x1"]
        return [
            compare(f"ours, gain of {self.workers} workers (reduction)", [one], [work[mine]]),
            compare(
                f"script, gain of {self.workers} processes (reduction)", [other], [work[script]]
            ),
            compare(
                f"script, gain of {self.workers} processes (frames only)",
                [frames["script x1"]],
                [frames[script]],
            ),
            compare(
                "our gain / the script's gain", [one, work[script]], [work[mine], other], target
            ),
        ]

    def data_rows(self, mine: str) -> list[Row]:
        """Compare our bytes with the ideal, and tell our memory."""
        used, memory = self.bytes[mine], self.looks[mine].usage.memory
        # Of few pixels nothing can be told: messages between processes come to as much.
        most = f"<= {MORE_BYTES}" if self.ideal.read > LEAST_BYTES else ""
        rows = [
            Row("ours, bytes written / ideal", used.written / self.ideal.written, "", most),
            Row("ours, bytes read / ideal", used.read / self.ideal.read, "", most),
        ]
        told = self.looks[mine].told.get("bytes")
        if told:
            for what, key in (("written", "written"), ("read", "read")):
                share = sum(told[key].values()) / getattr(self.ideal, key)
                rows.append(Row(f"ours, bytes {what} / ideal, own count", share))
        if memory:
            rows.append(Row("ours, memory of all processes", memory.tree_mb / 1e3, "GB"))
            rows.append(Row("ours, memory of the largest process", memory.process_mb / 1e3, "GB"))
        return rows

    def lines(self) -> list[str]:
        """Return a table of the sides, and how good their products are."""
        lines = [
            f"\n{'side':<11} {'seconds':>8} {'least':>7} {'most':>7} {'cpu s':>7} {'tree GB':>8} "
            f"{'one GB':>7} {'read GB':>8} {'written':>8}  phases (s)"
        ]
        for label, done in self.timed.items():
            seconds = [r.usage.seconds for r in done]
            middle = sorted(done, key=lambda r: r.usage.seconds)[len(done) // 2]
            memory, used = self.looks[label].usage.memory, self.bytes[label]
            assert memory is not None
            phases = ", ".join(f"{name} {time:.1f}" for name, time in middle.phases.items())
            lines.append(
                f"{label:<11} {statistics.median(seconds):8.2f} {min(seconds):7.2f} "
                f"{max(seconds):7.2f} {statistics.median(r.usage.cpu for r in done):7.2f} "
                f"{memory.tree_mb / 1e3:8.2f} {memory.process_mb / 1e3:7.2f} "
                f"{used.read / 1e9:8.3f} {used.written / 1e9:8.3f}  {phases}"
            )
        ideal_bytes = f"{self.ideal.read / 1e9:8.3f} {self.ideal.written / 1e9:8.3f}"
        lines.append(f"{'ideal':<11} {'':>49} {ideal_bytes}\n")
        for label, found in self.checks.items():
            told = []
            if "deviation" in found:
                told.append(f"{number(found['deviation'])} of the noise from the truth")
            if "agreement" in found:
                told.append(f"{found['agreement']:.6%} of the pixels as the reference")
            lines.append(f"{label:<11} {', '.join(told)}")
        mine = self.looks.get(f"ours x{self.workers}")
        for what, kinds in (mine.told.get("bytes", {}) if mine else {}).items():
            told = [f"{kind} {count / 1e9:.3f}" for kind, count in kinds.items()]
            lines.append(f"ours, GB {what} by its own count: {', '.join(told)}")
        return lines

    def figures(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {
            "frames": len(self.night.frames),
            "shape": list(self.shape),
            "workers": self.workers,
            "versions": {side.name: side.versions() for side in self.sides},
            "runs": {label: [r.figures() for r in done] for label, done in self.timed.items()},
            "inspected": {label: look.figures() for label, look in self.looks.items()},
            "bytes": {label: dataclasses.asdict(used) for label, used in self.bytes.items()},
            "ideal bytes": dataclasses.asdict(self.ideal),
            "checks": self.checks,
        }


if __name__ == "__main__":
    main(parser(), run)
