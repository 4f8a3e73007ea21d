"""The page on a real scheduler's server."""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.monitoring.page.offer import offer_page
from mirar_dask.testing.journals import JournalOfNight


def test_a_scheduler_serves_the_page_beside_its_own(tmp_path: Path):
    """Whichever is asked for first; workers are those that the scheduler knows."""
    folder = JournalOfNight(frames=20, batches=2).write(tmp_path / "imager" / "1", until=0.5)
    offer = partial(offer_page, out=str(tmp_path), run=str(folder))
    with connect(ClusterSpec.parse("threads", workers=1), offer=offer) as engine:
        pages = engine.client.dashboard_link.removesuffix("/status")  # type: ignore[attr-defined]
        for path in ("/mirar/", "/status", "/mirar/"):
            with urlopen(pages + path) as answer:
                body = answer.read()
                assert (b'id="mirar"' in body) == (path == "/mirar/")
        with urlopen(f"{pages}/mirar/api/runs") as answer:
            told = json.load(answer)
        assert told["dask"]
        (run,) = told["runs"]
        with urlopen(f"{pages}/mirar/api/runs/{run['key']}/changes") as answer:
            assert json.load(answer)["head"]["state"] == "interrupted"


def lacking(dask_scheduler: object) -> str:
    raise ModuleNotFoundError("No module named 'mirar_dask.monitoring.page'")


def test_a_scheduler_that_cannot_serve_the_page_is_told_of_and_the_night_goes_on(
    caplog: pytest.LogCaptureFixture,
):
    """As one with an earlier version of this package; one sentence says so."""
    with (
        caplog.at_level(logging.WARNING, logger="mirar_dask"),
        connect(ClusterSpec.parse("threads", workers=1), offer=lacking) as engine,
    ):
        assert engine is not None
    (said,) = [r.getMessage() for r in caplog.records if "page of the night" in r.getMessage()]
    assert "install this version of mirar_dask where it runs" in said
    assert "mirar-dask page" in said


def test_a_scheduler_that_does_not_see_the_folder_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """It is on a host without it; where it is seen, the page can be had."""
    far = tmp_path / "imager" / "1" / "runs" / "x"
    offer = partial(offer_page, out=str(tmp_path), run=str(far))
    with (
        caplog.at_level(logging.WARNING, logger="mirar_dask"),
        connect(ClusterSpec.parse("threads", workers=1), offer=offer),
    ):
        pass
    (said,) = [r.getMessage() for r in caplog.records if "does not see" in r.getMessage()]
    assert f"'mirar-dask page {far}'" in said
