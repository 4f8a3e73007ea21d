"""The fast median is the exact one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirar_dask.processors.levels import median_level


@given(
    size=st.integers(1, 3000),
    kind=st.sampled_from(["normal", "constant", "few values", "sorted", "columns"]),
    masked=st.sampled_from([0.0, 0.3, 0.999]),
    seed=st.integers(0, 100),
)
@settings(max_examples=150, deadline=None)
def test_it_is_the_median_of_what_is_not_masked(size, kind, masked, seed):
    """For smooth, constant, discrete and structured images, with any share masked."""
    rng = np.random.default_rng(seed)
    data = {
        "normal": rng.normal(1000, 30, size),
        "constant": np.full(size, 7.0),
        "few values": rng.integers(0, 3, size).astype(float),
        "sorted": np.arange(size, dtype=float),
        "columns": np.arange(size) % 64 * 1.0,
    }[kind].astype("f4")
    data[rng.random(size) < masked] = np.nan
    good = data[~np.isnan(data)]
    found = median_level(data)
    if good.size:
        assert found == np.median(good.astype("f8"))
    else:
        assert np.isnan(found)


@pytest.mark.parametrize("shape", [(300, 400), (1, 100_001)])
def test_a_large_image_is_only_sampled(shape, monkeypatch: pytest.MonkeyPatch):
    """The interval told from the sample holds the median, so that few pixels are sorted."""
    sorted_out = []
    original = np.ndarray.partition

    data = np.random.default_rng(1).normal(1000, 30, shape).astype("f4")

    def middle(values, low, high):
        sorted_out.append(values.size)
        original(values, [low, high])
        return (float(values[low]) + float(values[high])) / 2

    monkeypatch.setattr("mirar_dask.processors.levels._middle", middle)
    assert median_level(data) == np.median(data.astype("f8"))
    assert sorted_out[0] < data.size / 8


def test_it_only_reads():
    """The pixels of an image can be given as they are."""
    data = np.arange(20, dtype="f4")[::-1].reshape(4, 5)
    data.flags.writeable = False
    assert median_level(data) == 9.5
    assert median_level(data[1:3, 2:4]) == np.median(data[1:3, 2:4])
    assert median_level(np.array([np.inf, -np.inf, 3.0])) == 3.0
