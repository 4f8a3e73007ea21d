"""The ways to reduce a night that are compared, and how one run of each is measured."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nights import Night
from processes import Usage, measure
from references import environments

REFERENCES = Path(environments.__file__).resolve().parent
NAMES = ("mirar", "script", "ours", "ccdproc")
IMPORTS = {name: environment.check for name, environment in environments.ALL.items()}
IMPORTS["ours"] = "import mirar_dask.run, mirar_dask.engine.driver, distributed, astropy.io.fits"
"""What each side needs in any case."""
SAMPLE = 0.05
"""Seconds between two looks at the memory, in runs that are not timed."""


@dataclass(frozen=True)
class Side:
    """One way to reduce the night."""

    name: str
    workers: int
    python: str

    @property
    def label(self) -> str:
        """Name and number of workers."""
        return f"{self.name} x{self.workers}"

    def command(self, raw: Path, out: Path, report: Path) -> list[str]:
        """Return its command line."""
        where = ["--raw", str(raw), "--out", str(out), "--json", str(report)]
        workers = ["--workers", str(self.workers)]
        if self.name == "ours":
            run = [self.python, "-m", "mirar_dask", "run", "imager", "-c", "reduce"]
            return [*run, *where, "--cluster", "local", *workers]
        script = "numpy_night" if self.name == "script" else f"{self.name}_night"
        return [self.python, str(REFERENCES / f"{script}.py"), *where, *workers]

    def environment(self) -> dict[str, str]:
        """Return its environment: byte code is kept, as of any software that is installed."""
        dropped = {"PYTHONDONTWRITEBYTECODE"} if self.name == "ours" else {"PYTHONPATH"}
        return {key: value for key, value in os.environ.items() if key not in dropped}

    def warm(self) -> None:
        """Have its modules in memory, as software that is in use has them."""
        scratch = str(Path(self.python).parents[1] / "scratch")  # mirar makes folders on import
        where = {"OUTPUT_DATA_DIR": scratch, "RAW_DATA_DIR": scratch}
        command = [self.python, "-c", IMPORTS[self.name]]
        subprocess.run(command, env=self.environment() | where, capture_output=True, check=True)

    def versions(self) -> dict[str, str]:
        """Return the versions of what matters in it."""
        code = (
            "import importlib.metadata as m, json, platform\n"
            "found = {'python': platform.python_version()}\n"
            "for name in ('numpy', 'astropy', 'bottleneck', 'ccdproc', 'mirar', 'dask'):\n"
            "    try: found[name] = m.version(name)\n"
            "    except m.PackageNotFoundError: pass\n"
            "print(json.dumps(found))"
        )
        told = subprocess.run([self.python, "-c", code], capture_output=True, check=True)
        return dict(json.loads(told.stdout))


@dataclass(frozen=True)
class Run:
    """One run of one side."""

    side: str
    usage: Usage
    told: dict[str, Any]
    """What the side says of itself: its phases, and ours its bytes."""

    @property
    def phases(self) -> dict[str, float]:
        """Seconds by phase."""
        return dict(self.told.get("phases", {}))

    @property
    def reduction(self) -> float:
        """Seconds of the reduction itself, without the start of the process."""
        phases = self.phases
        if "reduce" in phases:
            return phases["reduce"]
        return sum(phases.values()) - phases.get("start", 0.0) - phases.get("plan", 0.0)

    def figures(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {**asdict(self.usage), **self.told}


def sides_of(names: Iterable[str], workers: int, here: bool, cache: Path) -> Iterator[Side]:
    """List what is to be run; the script and we run with one worker too.

    Parameters
    ----------
    names : iterable of str
        Of `NAMES`.
    workers : int
        Processes of each side; threads of mirar.
    here : bool
        Run script and ccdproc with this Python, not with environments of their own.
    cache : path
        Folder of the environments.
    """
    for name in names:
        if name == "ours" or (here and name != "mirar"):
            python = sys.executable
        else:
            python = str(environments.ALL[name].make(cache))
        for count in sorted({1, workers}) if name in ("ours", "script") else [workers]:
            yield Side(name, count, python)


def run(side: Side, night: Night, out: Path, *, sample: bool = False) -> Run:
    """Run one side once, in an empty output folder."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    report = out / "report.json"
    os.sync()  # what earlier runs wrote is not to be written during this one
    night.warm()  # and what it reads may have been pushed out of memory by them
    side.warm()
    usage = measure(
        side.command(night.raw, out, report),
        out / "log.txt",
        sample=SAMPLE if sample else None,
        environment=side.environment(),
    )
    found = json.loads(report.read_text())
    return Run(side.label, usage, {key: found[key] for key in ("phases", "bytes") if key in found})
