"""Networks sort planes, or find their middle, for any number of planes."""

from __future__ import annotations

import numpy as np
import pytest

from mirar_dask.processors.networks import median_network, sorting_network


def registers(n_inputs: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_inputs + 1, 500))


@pytest.mark.parametrize("n_inputs", range(1, 71))
def test_a_sorting_network_sorts(n_inputs: int):
    """All outputs are in ascending order and none is lost."""
    planes = registers(n_inputs)
    expected = np.sort(planes[:-1], axis=0)
    assert np.array_equal(sorting_network(n_inputs).run(list(planes)), expected)


@pytest.mark.parametrize("n_inputs", range(1, 71))
def test_a_median_network_gives_the_middle_values(n_inputs: int):
    """One for an odd number, two for an even one."""
    planes = registers(n_inputs)
    expected = np.sort(planes[:-1], axis=0)[(n_inputs - 1) // 2 : n_inputs // 2 + 1]
    assert np.array_equal(median_network(n_inputs).run(list(planes)), expected)


@pytest.mark.parametrize("n_inputs", range(1, 41))
def test_a_nan_of_any_plane_reaches_the_median(n_inputs: int):
    """Pixels with a masked value are found by it."""
    planes = registers(n_inputs)
    for number in range(n_inputs):
        planes[number, 10 * number] = np.nan
    with np.errstate(invalid="ignore"):
        outputs = median_network(n_inputs).run(list(planes))
    for output in outputs:
        assert list(np.flatnonzero(np.isnan(output))) == [10 * n for n in range(n_inputs)]


def test_only_what_leads_to_the_middle_is_done():
    """The number of operations is what the documentation says."""
    assert [len(median_network(n).steps) for n in (12, 25, 50)] == [60, 202, 610]
