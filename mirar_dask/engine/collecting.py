"""Less collecting of garbage while a great many small objects are made that will all stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (100_000, 50, 1000)


@contextmanager
def seldom() -> Iterator[None]:
    """Let Python look for garbage seldom: headers and handles of a night hold each other alive.

    Looking through them again and again takes a fifth of the time of a plan. The thresholds are
    those of the process: two runs in one process may set them at the same time, which does no harm.
    """
    before = gc.get_threshold()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
