"""A small night of raw frames, and clusters that are started once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.engine import Engine
from mirar_dask.testing.night import simulate_night


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a night of 15 frames of 64 by 48 pixels in two filters."""
    folder = tmp_path_factory.mktemp("night")
    simulate_night(folder, size=(48, 64), n_bias=3, n_dark=2, n_flat=2, n_science=3, seed=5)
    return folder


@pytest.fixture(scope="session")
def threads() -> Iterator[Engine]:
    """Give an engine on threads of this process."""
    with connect(ClusterSpec.parse("threads", workers=2), dashboard=False) as engine:
        yield engine


@pytest.fixture(scope="session")
def local() -> Iterator[Engine]:
    """Give an engine on two worker processes."""
    with connect(ClusterSpec.parse("local", workers=2), dashboard=False) as engine:
        yield engine
