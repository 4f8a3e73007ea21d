"""Muting astropy's warnings while it reads or writes a file, safely in several threads.

`warnings.catch_warnings` saves and restores the filters of the whole process: two threads whose
blocks overlap would leave everything muted for good.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from astropy.utils.exceptions import AstropyWarning

_lock = threading.Lock()
_muted: list[warnings.catch_warnings[None]] = []
_depth = 0


@contextmanager
def quietly() -> Iterator[None]:
    """Mute astropy's warnings inside the block; the last block that ends restores the filters."""
    global _depth
    with _lock:
        if _depth == 0:
            saved = warnings.catch_warnings()
            saved.__enter__()
            warnings.simplefilter("ignore", AstropyWarning)
            _muted.append(saved)
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _muted.pop().__exit__(None, None, None)
