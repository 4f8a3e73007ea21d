"""What every benchmark here has in common: its result, how it is shown, the machine it ran on.

A benchmark is a module with ``parser()``, made by `options`, and ``run(options) -> Result``; it
ends with ``if __name__ == "__main__": main(parser(), run)`` so that it runs alone as well as by
`run.py`. What whole processes take is measured by `processes`.
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

CACHE = Path(__file__).resolve().parent / ".cache"
COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
T = TypeVar("T")


@dataclass
class Row:
    """One line of a benchmark's table."""

    what: str
    value: float
    unit: str = ""
    """Empty for a ratio."""
    target: str = ""
    """A comparison with a number in the row's unit, such as ">= 10"."""
    met: bool | None = None
    """Whether the target is met; found from the target unless it is given."""
    spread: tuple[float, float] | None = None
    """Least and largest value of the runs that the value is the median of."""

    def __post_init__(self) -> None:
        if self.met is None and self.target:
            sign, number = self.target.split()[:2]
            self.met = bool(COMPARE[sign](self.value, float(number.replace(",", ""))))


@dataclass
class Result:
    """What one benchmark found."""

    name: str
    title: str
    sizes: str
    """How much was worked on: frames, pixels, runs of each side."""
    rows: list[Row]
    figures: dict[str, Any] = field(default_factory=dict)
    """Everything that was measured, in a form that JSON can hold."""
    lines: list[str] = field(default_factory=list)
    """Text to print above the rows: times of the sides, for instance."""


def options(description: str | None, *, repeat: int = 3) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the benchmark")
    parser.add_argument("--repeat", type=int, default=repeat, help=f"runs of each side ({repeat})")
    parser.add_argument("--work", type=Path, default=CACHE, help="scratch folder (.cache)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to this file")
    return parser


def main(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], Result]) -> None:
    """Run one benchmark from its command line."""
    chosen = parser.parse_args()
    result = run(chosen)
    print(machine_line())
    show(result)
    if chosen.json:
        save([result], chosen.json)


def turns(sides: Sequence[T], repeat: int) -> Iterator[tuple[int, T]]:
    """Take the sides in turns, each time beginning with another one: number of the turn, side."""
    for turn in range(repeat):
        for i in range(len(sides)):
            yield turn, sides[(i + turn) % len(sides)]


def compare(
    what: str, over: Sequence[Sequence[float]], under: Sequence[Sequence[float]], target: str = ""
) -> Row:
    """Make a row of a ratio: product of some medians over the product of others.

    Parameters
    ----------
    what : str
        What the ratio says.
    over, under : sequences of measurements
        Each a list with one value a turn. The spread is that of the ratios within each turn.
    target : str
        As in `Row`.
    """

    def ratio(pick: Callable[[Sequence[float]], float]) -> float:
        result = 1.0
        for values in over:
            result *= pick(values)
        for values in under:
            result /= pick(values)
        return result

    paired = [ratio(operator.itemgetter(turn)) for turn in range(len(over[0]))]
    return Row(what, ratio(statistics.median), target=target, spread=(min(paired), max(paired)))


def machine() -> dict[str, str | int | float]:
    """Describe what the figures are measured on."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory, 1),
        "python": platform.python_version(),
    }


def machine_line() -> str:
    """Return the machine in one line."""
    found = machine()
    return (
        f"{found['cpu']}, {found['cores']} cores, {found['memory_gb']:.0f} GB, "
        f"Python {found['python']}"
    )


def show(result: Result) -> None:
    """Print one benchmark's table."""
    print(f"\n{result.name}: {result.title}\n{result.sizes}")
    for line in result.lines:
        print(line)
    if not result.rows:
        return
    width = max(len(row.what) for row in result.rows)
    print(f"\n{'':<{width}} {'value':>10} {'':<6} {'runs':>17}  target")
    for row in result.rows:
        spread = "" if row.spread is None else " to ".join(number(value) for value in row.spread)
        met = {None: "", True: "met", False: "MISSED"}[row.met]
        line = f"{row.what:<{width}} {number(row.value):>10} {row.unit:<6} {spread:>17}"
        print(f"{line}  {row.target:<8} {met}".rstrip())


def number(value: float) -> str:
    """Format a value with three figures or more."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"


def save(results: Sequence[Result], path: Path) -> None:
    """Write results as JSON."""
    told = {result.name: asdict(result) for result in results}
    for each in told.values():
        del each["lines"]
    found = {"machine": machine(), "benchmarks": told}
    path.write_text(json.dumps(found, indent=1) + "\n")
