"""Runs the benchmarks one after the other and prints a table of each.

    python benchmarks/run.py [NAME ...] [--quick] [--json FILE]

Without a name, all of them. Each is a module that runs alone too and has more options then; see
benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

from measure import Result, machine_line, options, save, show

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Benchmark:
    """What a name stands for."""

    module: str
    """In this folder."""
    about: str
    arguments: tuple[str, ...] = ()
    """Of its command line."""


BENCHMARKS = {
    "night-200": Benchmark("night", "199 frames of 2048 by 2048 pixels", ("night-200",)),
    "night-74": Benchmark("night", "74 frames of 2048 by 2048 pixels", ("night-74",)),
    "night-512": Benchmark("night", "199 frames of 512 by 512 pixels", ("night-512",)),
    "night-4096": Benchmark("night", "46 frames of 4096 by 4096 pixels", ("night-4096",)),
    "master": Benchmark("master", "a master of 50 large frames against np.nanmedian"),
    "memory": Benchmark("memory", "peaks of memory against limits and estimates"),
    "overhead": Benchmark("overhead", "what driver, scheduler and workers cost without work"),
    "scale": Benchmark("scale", "many workers with tasks that only wait, against the ideal"),
}


class Unavailable(RuntimeError):
    """Raised when a benchmark cannot be run at all; the message says why."""


def run(name: str, common: list[str]) -> Result:
    """Run one benchmark with the options that all have."""
    benchmark = BENCHMARKS[name]
    if not (HERE / f"{benchmark.module}.py").exists():
        raise Unavailable(f"benchmarks/{benchmark.module}.py is not there")
    try:
        module = importlib.import_module(benchmark.module)
    except ImportError as problem:
        raise Unavailable(f"{problem}; install what it needs: pip install -e '.[test]'") from None
    chosen = module.parser().parse_args([*benchmark.arguments, *common])
    found: Result = module.run(chosen)
    found.name = name
    return found


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(BENCHMARKS)}")
    parser.set_defaults(repeat=None)  # each benchmark knows how often is enough
    parser.add_argument("--list", action="store_true", help="tell what there is, and end")
    chosen = parser.parse_args()
    if chosen.list:
        for name, benchmark in BENCHMARKS.items():
            print(f"{name:<11} {benchmark.about}")
        return 0
    if unknown := set(chosen.names) - set(BENCHMARKS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; --list tells what there is")

    print(machine_line(), flush=True)
    results: list[Result] = []
    failed = 0
    for name in chosen.names or BENCHMARKS:
        try:
            results.append(run(name, common(chosen)))
        except (Exception, SystemExit) as problem:  # the others can still tell something
            failed += 1
            print(f"\n{name}: not measured: {problem}", file=sys.stderr, flush=True)
            continue
        show(results[-1])
        sys.stdout.flush()
        if chosen.json:
            save(results, chosen.json)
    return 1 if failed else 0


def common(chosen: argparse.Namespace) -> list[str]:
    """Return the options that every benchmark has, as they were given to us."""
    quick = ["--quick"] if chosen.quick else []
    repeat = [] if chosen.repeat is None else ["--repeat", str(chosen.repeat)]
    return [*quick, *repeat, "--work", str(chosen.work)]


if __name__ == "__main__":
    sys.exit(main())
