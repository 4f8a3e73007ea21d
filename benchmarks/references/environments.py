"""Makes the virtual environments in which the references run; needs nothing but Python.

    python benchmarks/references/environments.py [mirar] [ccdproc] [script]

prints the path of each environment's Python. None of them has this package. An environment that
was made for the same list of requirements is used again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).resolve().parents[1] / ".cache"


class NoEnvironment(RuntimeError):
    """Raised when an environment cannot be made; the message says why."""


@dataclass(frozen=True)
class Environment:
    """What a reference needs."""

    name: str
    needs: tuple[str, ...]
    """Packages of the index, with what they depend on themselves."""
    check: str
    """A statement that tells whether all is there."""
    bare: tuple[str, ...] = ()
    """Packages that are installed without what they depend on."""
    pythons: tuple[tuple[int, int], ...] = ()
    """Versions of Python that will do; empty for any that this package runs on."""

    def folder(self, cache: Path = CACHE) -> Path:
        """Where it is, or will be."""
        return cache / f"{self.name}-env"

    def python_of(self, cache: Path = CACHE) -> Path | None:
        """Return the environment's Python if it was made before, for this list of packages."""
        python = self.folder(cache) / "bin" / "python"
        stamp = self.folder(cache) / "made-for"
        if python.exists() and stamp.exists() and stamp.read_text() == self._stamp():
            return python
        return None

    def make(self, cache: Path = CACHE) -> Path:
        """Return the environment's Python, making the environment if need be."""
        python = self.python_of(cache)
        if python is not None:
            return python
        folder = self.folder(cache)
        base = self._base_python()
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        if base == sys.executable:
            venv.create(folder, with_pip=True, symlinks=True)
        else:
            _run([base, "-m", "venv", str(folder)])
        python = folder / "bin" / "python"
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--only-binary=:all:", *self.needs])
        if self.bare:
            _run([*pip, "--no-deps", *self.bare])
        scratch = folder / "scratch"  # mirar makes folders where it is imported
        scratch.mkdir()
        where = {"OUTPUT_DATA_DIR": str(scratch), "RAW_DATA_DIR": str(scratch)}
        _run([str(python), "-c", self.check], env=os.environ | where)
        (folder / "made-for").write_text(self._stamp())
        return python

    def _stamp(self) -> str:
        return hashlib.sha256("\n".join([*self.needs, *self.bare]).encode()).hexdigest()

    def _base_python(self) -> str:
        if not self.pythons or sys.version_info[:2] in self.pythons:
            return sys.executable
        names = [f"python{major}.{minor}" for major, minor in self.pythons]
        found = next((path for path in map(shutil.which, names) if path), None)
        if found is None:
            raise NoEnvironment(f"{self.name} needs {' or '.join(names)}; found none of them")
        return found


MIRAR = Environment(
    "mirar",
    needs=(
        "numpy<1.27",
        "scipy<1.17",
        "astropy<7",
        "pandas<3",
        "pyarrow<20",
        "photutils<3",
        "watchdog<7",
        "matplotlib<3.11",
        "python-dotenv",
        "tqdm",
    ),
    bare=("mirar>=1.2,<1.3",),
    check="import mirar.processors.flat, mirar.processors.utils.image_saver",
    pythons=((3, 12), (3, 11)),  # NumPy 1.26 comes ready-made for these
)
"""The original, and what its calibrators import, in the last releases that go together with it.

Its full list of requirements (databases, neural networks) is not installed: the calibrators ask
for far less.
"""
CCDPROC = Environment(
    "ccdproc",
    needs=("ccdproc>=2.5", "astropy>=7.1", "numpy>=2.2", "bottleneck>=1.5"),
    check="import ccdproc, bottleneck",
)
"""ccdproc, and bottleneck, which makes its medians faster where it is installed."""
SCRIPT = Environment(
    "script",
    needs=("numpy>=2.2", "astropy>=7.1", "bottleneck>=1.5"),
    check="import numpy, astropy.io.fits, bottleneck",
)
"""What the hand-written script imports."""
ALL = {environment.name: environment for environment in (MIRAR, CCDPROC, SCRIPT)}


def _run(command: list[str], env: dict[str, str] | None = None) -> None:
    # A package that is found elsewhere would not be installed here.
    env = {key: value for key, value in (env or os.environ).items() if key != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise NoEnvironment(f"'{' '.join(command[:4])} ...' failed: {' / '.join(lines[-3:])}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ALL))
    names = parser.parse_args().names or list(ALL)
    if unknown := set(names) - set(ALL):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    for name in names:
        try:
            sys.stdout.write(f"{ALL[name].make()}\n")
        except NoEnvironment as problem:
            sys.stderr.write(f"{problem}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
