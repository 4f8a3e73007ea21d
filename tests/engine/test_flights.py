"""Outcomes that do not come with the stream of messages are fetched."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io.fits import Header

from mirar_dask.data import Dataset, Image, ImageBatch
from mirar_dask.engine import Engine, driver, flights
from mirar_dask.engine.driver import DaskEngine
from mirar_dask.engine.places import RunPlace
from mirar_dask.engine.types import RunSettings
from mirar_dask.engine.workers import Workers
from mirar_dask.testing.engine_contract import Doubles, configured


def _run(engine: Engine) -> list[float]:
    cards = {"CALSTEPS": "", "RAWPATH": "raw.fits"}
    images = [
        Image(np.full((2, 3), i, np.float32), Header({**cards, "BASENAME": f"{i}.fits"}))
        for i in range(5)
    ]
    result = engine.run(configured([Doubles()]), Dataset([ImageBatch(images)]), RunSettings())
    return [float(image.get_data()[0, 0]) for batch in result.dataset for image in batch]


def test_large_outcomes_are_fetched(threads: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message says that they are there."""
    monkeypatch.setattr(flights, "POSTED_BYTES", 0)
    assert _run(threads) == [0, 2, 4, 6, 8]


def test_outcomes_that_went_astray_are_fetched(
    threads: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that has ended and sent no word is not waited for."""
    monkeypatch.setattr(flights.Flights, "_receive", lambda self, event: None)
    monkeypatch.setattr(flights, "ASTRAY_SECONDS", 0.0)
    assert _run(threads) == [0, 2, 4, 6, 8]


def test_no_two_runs_have_tasks_of_one_key(
    threads: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask would give the second the results of the first and do nothing; with no cache too."""
    monkeypatch.setenv("USE_WINTER_CACHE", "false")
    assert isinstance(threads, DaskEngine)
    keys, workers = set(), Workers(threads.client)
    for _ in range(20):  # each is gone before the next is made, so that their addresses repeat
        with RunPlace(RunSettings()) as place:
            keys.add(driver._Run(threads.client, RunSettings(), place, workers).key)
    assert len(keys) == 20
