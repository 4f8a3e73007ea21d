"""The modules of benchmarks/, which belong to no package, can be imported here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

if BENCHMARKS.exists():
    sys.path.append(str(BENCHMARKS))
else:
    pytest.skip("the benchmarks are not beside the tests", allow_module_level=True)


@pytest.fixture
def benchmarks() -> Path:
    """Folder of the benchmarks."""
    return BENCHMARKS
