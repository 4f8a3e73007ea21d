"""How much is tried: a little of the same in the default suite, a lot by ``make fuzz``.

``MIRAR_DASK_FUZZ`` is the number of examples of each test (``make fuzz`` sets it); they then begin
with what was found before, and differ from run to run. What a run finds is kept as an ``@example``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

EXAMPLES = os.environ.get("MIRAR_DASK_FUZZ", "")

settings.register_profile(
    "short",
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,  # the machine may be loaded
    suppress_health_check=list(HealthCheck),
)
settings.register_profile(
    "long",
    max_examples=int(EXAMPLES or 1),
    deadline=10_000,  # ms: nothing hangs
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


settings.load_profile("long" if EXAMPLES else "short")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, so that they can be named together."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.fuzz)
