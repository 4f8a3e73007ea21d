"""Nights for the command line, and the command itself, run in this process."""

from __future__ import annotations

from collections.abc import Callable
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
