"""One simulated night, reduced by this package and by others."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from mirar_dask.testing import NightTruth, simulate_night

REFERENCES = Path(__file__).parents[2] / "benchmarks" / "references"


def reference(name: str) -> ModuleType:
    """Import one of the reference scripts by its path; they belong to no package."""
    path = REFERENCES / f"{name}.py"
    if not path.exists():
        pytest.skip("the benchmarks' reference scripts are not beside the tests")
    spec = importlib.util.spec_from_file_location(f"reference_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


def run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def reduce_night(raw: Path, out: Path) -> None:
    """Reduce a night with this package's command line; nothing may fail."""
    out.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "mirar_dask", "run", "imager", "-c", "reduce"]
    report = out / "report.json"
    run(*command, "--raw", raw, "--out", out, "--cluster", "serial", "--json", report)
    assert json.loads(report.read_text())["failures"] == []


@dataclass
class Night:
    """A night's raw frames and their truth."""

    raw: Path
    truth: NightTruth

    def frames(self) -> list[str]:
        return self.truth.names("science")


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Simulate a night that is not square, with even and odd numbers of frames in its medians."""
    raw = tmp_path_factory.mktemp("reference") / "raw"
    truth = simulate_night(
        raw, size=(320, 384), n_bias=11, n_dark=6, n_flat=7, n_science=4, seed=20
    )
    return Night(raw, truth)


@pytest.fixture(scope="session")
def our_output(simulated: Night, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reduce the night with this package's command line."""
    out = tmp_path_factory.mktemp("ours")
    reduce_night(simulated.raw, out)
    return out


@pytest.fixture(scope="session")
def mirar_output(simulated: Night, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reduce the night with the original mirar, in an environment of its own."""
    python = reference("environments").MIRAR.python_of()
    if python is None:
        pytest.skip("mirar's environment is not there; make it with .ci/reference_env.sh")
    out = tmp_path_factory.mktemp("mirar")
    run(python, REFERENCES / "mirar_night.py", "--raw", simulated.raw, "--out", out)
    return out


@pytest.fixture(scope="session")
def numpy_output(simulated: Night, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reduce the night with the hand-written script of the benchmarks."""
    out = tmp_path_factory.mktemp("numpy")
    script = REFERENCES / "numpy_night.py"
    run(sys.executable, script, "--raw", simulated.raw, "--out", out, "--workers", 2)
    return out


@pytest.fixture(scope="session")
def ccdproc_output(simulated: Night, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reduce the night with ccdproc."""
    pytest.importorskip("ccdproc")
    out = tmp_path_factory.mktemp("ccdproc")
    script = REFERENCES / "ccdproc_night.py"
    run(sys.executable, script, "--raw", simulated.raw, "--out", out, "--workers", 2)
    return out
