"""Dask's dashboard of a cluster that was started here."""

from __future__ import annotations

import sys
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.engine.driver import DaskEngine


@pytest.fixture
def pages(engine: DaskEngine) -> str:
    """Address below which the pages are."""
    return engine.client.dashboard_link.removesuffix("/status")


@pytest.fixture
def engine():
    with connect(ClusterSpec.parse("threads", workers=1)) as engine:
        yield engine


def test_the_dashboard_is_there_for_the_first_who_looks_and_for_all_after(pages: str):
    """Its start page, the page that the front page leads to, and a plot that can be embedded."""
    for page in ("/status", "/", "/individual-progress", "/workers"):
        with urlopen(pages + page) as answer:
            assert answer.status == 200
            assert b"bokeh" in answer.read().lower()


def test_a_page_that_does_not_exist_is_not_found(pages: str):
    """Also where it is the first that is asked for."""
    with pytest.raises(HTTPError, match="404"):
        urlopen(pages + "/no-such-page")


def test_without_bokeh_the_page_says_what_to_install(pages: str, monkeypatch: pytest.MonkeyPatch):
    """Instead of a page that is not found."""
    import distributed.dashboard

    # What is imported in this test takes its place in the package, too.
    monkeypatch.setattr(distributed, "dashboard", distributed.dashboard)
    for name in [name for name in sys.modules if name.startswith("distributed.dashboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "bokeh", None)
    for name in [name for name in sys.modules if name.startswith("bokeh.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(HTTPError, match="501") as caught:
        urlopen(pages + "/status")
    assert "pip install bokeh" in caught.value.read().decode()
