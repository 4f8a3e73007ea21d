"""Muting warnings in several threads at once."""

from __future__ import annotations

import threading
import warnings

import pytest
from astropy.utils.exceptions import AstropyUserWarning

from mirar_dask.data.quiet import quietly


def test_only_astropys_warnings_are_muted_and_only_inside():
    """Those of others, and of astropy elsewhere, are heard."""
    with quietly():
        warnings.warn("muted", AstropyUserWarning, stacklevel=1)
        with pytest.raises(UserWarning, match="heard"):
            warnings.warn("heard", UserWarning, stacklevel=1)
    with pytest.raises(AstropyUserWarning, match="heard"):
        warnings.warn("heard", AstropyUserWarning, stacklevel=1)


def test_blocks_that_overlap_leave_the_filters_as_they_were():
    """The one that began first ends first, as two threads may."""
    before = list(warnings.filters)
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with quietly():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    with quietly():
        thread.start()
        assert inside.wait(10)
    warnings.warn("still muted by the other", AstropyUserWarning, stacklevel=1)
    leave.set()
    thread.join()
    assert list(warnings.filters) == before
