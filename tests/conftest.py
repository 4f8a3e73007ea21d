"""What all tests share: a cache of their own, and the real frames where they are at hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

SETTINGS = ("USE_MIRAR_CACHE", "USE_WINTER_CACHE", "RAW_DATA_DIR", "OUTPUT_DATA_DIR", "MAX_N_CPU")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test a cache without a folder, and an environment that says nothing."""
    from mirar_dask.data import Cache, cache, generations
    from mirar_dask.data.cache import CACHE_DIR_VARIABLE, CACHE_KEY_VARIABLE

    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name in (CACHE_DIR_VARIABLE, CACHE_KEY_VARIABLE):
        monkeypatch.setenv(name, "")  # so that what the test makes of it is undone
        monkeypatch.delenv(name)
    outside = dict(vars(cache))
    vars(cache).clear()
    vars(cache).update(vars(Cache()))
    generations._live.clear()  # images of other tests that something still refers to
    yield
    cache.close()
    vars(cache).update(outside)


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test defines is known no more when it is over."""
    from mirar_dask.processors.base_processor import BaseProcessor
    from mirar_dask.registry import pipelines

    monkeypatch.setattr(pipelines, "_classes", dict(pipelines._classes))
    monkeypatch.setattr(BaseProcessor, "subclasses", dict(BaseProcessor.subclasses))


@pytest.fixture(scope="session")
def real_frames() -> list[Path]:
    """Return the FITS files of a real night, which stand beside a checkout of the project."""
    folder = Path(__file__).parents[2] / "shared" / "data" / "m13"
    frames = sorted(folder.glob("*.fits"))
    if not frames:
        pytest.skip("the real frames of M13 are not beside this checkout")
    return frames
