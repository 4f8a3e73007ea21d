"""Nights for the command line, and the command itself, run in this process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mirar_dask.cli import main
from mirar_dask.testing import simulate_night

SMALL = {"size": 64, "n_bias": 3, "n_dark": 3, "n_flat": 3, "n_science": 2, "filters": ("r",)}
"""Eleven frames: enough for every step, small enough for a second."""


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs ``mirar-dask`` with the given words."""

    def run(*words: object) -> Said:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the raw folder of a small night."""
    folder = tmp_path_factory.mktemp("night") / "n1"
    simulate_night(folder, **SMALL)  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="session")
def bad_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the raw folder of a small night with broken files among the good ones."""
    folder = tmp_path_factory.mktemp("night") / "bad"
    simulate_night(folder, **SMALL, bad_files=True)  # type: ignore[arg-type]
    return folder


SLOW = '''
import time
from mirar_dask.pipelines.base_pipeline import Pipeline
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.image_loader import ImageLoader


class Slow(BaseImageProcessor):
    """Takes its time."""

    base_key = "slow"

    def apply_to_image(self, image):
        image.set_data(image.get_data() + 1)
        time.sleep(60)
        return image


class SlowPipeline(Pipeline):
    """Never ends by itself."""

    name = "slow"
    all_pipeline_configurations = {"default": [ImageLoader(), Slow()]}
'''


@contextmanager
def running(
    night: Path, tmp_path: Path, cluster: str, *more: str
) -> Iterator[subprocess.Popen[str]]:
    """Start a run that would take minutes, and wait until its workers are at work."""
    (tmp_path / "slow.py").write_text(SLOW)
    words = ["run", f"{tmp_path / 'slow.py'}:SlowPipeline", "--raw", str(night)]
    words += ["--out", str(tmp_path / "out"), "--cluster", cluster]
    words += [*more] if cluster == "serial" else ["--workers", "1", *more]
    process = subprocess.Popen(
        [sys.executable, "-m", "mirar_dask", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a process group of its own, as a terminal gives a command
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()  # "... 11 frames, 1 worker, dashboard ..."
        assert "11 frames" in line, line + process.stderr.read()  # type: ignore[union-attr]
        time.sleep(1)
        yield process
    finally:
        process.kill()
        process.communicate()


SlowRun = Callable[..., AbstractContextManager["subprocess.Popen[str]"]]


@pytest.fixture
def slow_run() -> SlowRun:
    """Return a function that starts a run which would take minutes."""
    return running
