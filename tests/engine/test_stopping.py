"""A run that is told to stop begins nothing new, and says what it left."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirar_dask.data import Dataset
from mirar_dask.engine import Engine, SerialEngine
from mirar_dask.engine.events import Event, TaskFinished
from mirar_dask.processors.base.outcome import Status
from mirar_dask.testing.engine_contract import configured, reduction, settings_for

ENOUGH = 3
"""Tasks after which the run is told to stop."""


@pytest.fixture(params=["serial", "threads"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Return an engine that does the tasks in this process."""
    return SerialEngine() if request.param == "serial" else request.getfixturevalue("threads")


def test_a_run_that_is_told_to_stop_ends_in_order(
    engine: Engine, raw: Path, tmp_path: Path
) -> None:
    """Tasks under way come in, the rest is blocked with the reason, and the counts add up."""
    done: list[Event] = []

    def listen(event: Event) -> None:
        if isinstance(event, TaskFinished):
            done.append(event)

    settings = settings_for(
        raw,
        tmp_path,
        listeners=(listen,),
        stopping=lambda: "it is late" if len(done) >= ENOUGH else None,
    )
    result = engine.run(configured(reduction()), Dataset(), settings)
    (left,) = [record for record in result.records if record.step == "run"]
    assert (left.status, left.reason) == (Status.BLOCKED, "it is late")
    counts = result.counts()
    assert counts["blocked"] > 0
    assert counts["succeeded"] == 0
    assert sum(counts.values()) == len(list(raw.glob("*.fits")))
    assert len(done) >= ENOUGH
    assert not list(tmp_path.rglob("reduced/*.fits"))


def test_a_run_that_is_not_told_to_stop_is_asked_all_the_same(
    engine: Engine, raw: Path, tmp_path: Path
) -> None:
    """And comes to its end."""
    asked: list[None] = []
    settings = settings_for(raw, tmp_path, stopping=lambda: asked.append(None))
    result = engine.run(configured(reduction()), Dataset(), settings)
    assert asked
    assert result.counts()["blocked"] == 0
