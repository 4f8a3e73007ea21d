"""A night that is disturbed loses nothing that it does not name, and can be gone on with."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirar_dask.testing.chaos import Undisturbed, try_night
from mirar_dask.testing.chaos.table import Table

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(700)]


def test_a_disturbed_night_ends_as_an_undisturbed_one(
    kind: str, seed: int, undisturbed: Undisturbed, table: Table, tmp_path: Path
) -> None:
    """At once, or by `resume` once the disturbance is over; nothing is left lying about."""
    result = try_night(kind, seed, undisturbed, tmp_path / "stage")
    table.add(result)
    if result.impossible:
        pytest.skip(result.impossible)
    assert not result.complaints, f"{result}\n\n{result.said[-6000:]}"
