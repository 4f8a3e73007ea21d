"""How many disturbed nights there are, with which seeds, and the table of what came of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirar_dask.testing import simulate_night
from mirar_dask.testing.chaos import KINDS, Undisturbed
from mirar_dask.testing.chaos.table import Table

SHORT = {"worker killed": 1, "driver killed": 1}
"""Kinds of the default suite and how many nights of each; the others take `--chaos-runs`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos", "nights that are disturbed on purpose")
    group.addoption("--chaos-runs", type=int, default=0, help="nights of each kind of fault")
    group.addoption("--chaos-seed", type=int, default=1, help="first seed")
    group.addoption("--chaos-faults", default="", help="kinds, or faults, apart by commas")
    group.addoption("--chaos-table", type=Path, help="Markdown file whose table is written anew")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" not in metafunc.fixturenames:
        return
    option = metafunc.config.getoption
    runs, first = option("--chaos-runs"), option("--chaos-seed")
    chosen = [kind.strip() for kind in option("--chaos-faults").split(",") if kind.strip()]
    wanted = dict.fromkeys(chosen, runs or 1) or (dict.fromkeys(KINDS, runs) if runs else SHORT)
    nights = [(kind, first + n) for kind, number in wanted.items() for n in range(number)]
    metafunc.parametrize(("kind", "seed"), nights, ids=[f"{kind}-{seed}" for kind, seed in nights])


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Return a small night, and what it is like when nothing happens to it."""
    folder = tmp_path_factory.mktemp("chaos")
    simulate_night(folder / "n1", size=160, seed=9)
    return Undisturbed.of(folder / "n1", folder / "undisturbed")


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest):
    """Collect what came of the nights; written in the end if a file is named."""
    table = Table()
    yield table
    path = request.config.getoption("--chaos-table")
    if path is not None:
        table.write(path)
