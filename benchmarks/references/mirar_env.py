"""Make the virtual environment in which the original mirar runs; needs nothing but Python.

    python benchmarks/references/mirar_env.py [FOLDER]

prints the path of the environment's Python. mirar stands on older releases of NumPy and astropy
than this package does, so the two cannot share an environment. Its full list of requirements
(databases, neural networks) is not installed: its calibrators ask for far less.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / ".cache" / "mirar-env"
MIRAR = "mirar>=1.2,<1.3"
NEEDED = [
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
]
"""What mirar's calibrators import, in the last releases that go together with it."""
CHECK = "import mirar.processors.flat, mirar.processors.utils.image_saver"


class NoEnvironment(RuntimeError):
    """Raised when the environment cannot be made; the message says why."""


def python_of(folder: Path = FOLDER) -> Path | None:
    """Return the environment's Python if it was made before, for this list of packages."""
    python = folder / "bin" / "python"
    stamp = folder / "made-for"
    if python.exists() and stamp.exists() and stamp.read_text() == _stamp():
        return python
    return None


def make(folder: Path = FOLDER) -> Path:
    """Return the environment's Python, making the environment if need be."""
    python = python_of(folder)
    if python is not None:
        return python
    base = _base_python()
    shutil.rmtree(folder, ignore_errors=True)
    if base == sys.executable:
        venv.create(folder, with_pip=True, symlinks=True)
    else:
        _run([base, "-m", "venv", str(folder)])
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--only-binary=:all:", *NEEDED])
    _run([*pip, "--no-deps", MIRAR])
    scratch = folder / "scratch"  # mirar makes folders where it is imported
    scratch.mkdir()
    _run(
        [str(python), "-c", CHECK],
        env={"OUTPUT_DATA_DIR": str(scratch), "RAW_DATA_DIR": str(scratch)},
    )
    (folder / "made-for").write_text(_stamp())
    return python


def _stamp() -> str:
    return hashlib.sha256("\n".join([*NEEDED, MIRAR]).encode()).hexdigest()


def _base_python() -> str:
    """Return a Python for which NumPy 1.26 comes ready-made: 3.11 or 3.12."""
    if sys.version_info[:2] in ((3, 11), (3, 12)):
        return sys.executable
    for name in ("python3.12", "python3.11"):
        found = shutil.which(name)
        if found:
            return found
    raise NoEnvironment("mirar needs NumPy below 1.27, and that Python 3.11 or 3.12; found neither")


def _run(command: list[str], env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise NoEnvironment(f"'{' '.join(command[:4])} ...' failed: {' / '.join(lines[-3:])}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    try:
        python = make(parser.parse_args().folder)
    except NoEnvironment as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write(f"{python}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
