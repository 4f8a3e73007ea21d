"""Clocks for Dask that are never set: they tell the time, but go on from where this process began.

Tornado and Dask wait until a time of day. Where the system's clock is set back, by NTP or by hand,
messages between client, scheduler and workers would lie there until that time comes again, hours
perhaps; where it is set forward all workers seem to have been silent for long.
"""

from __future__ import annotations

import time
from importlib import import_module

_OFFSET = time.time() - time.monotonic()
DASK_MODULES = ("distributed.batched", "distributed.scheduler")
"""Those that wait for a time, or compare times that they have taken themselves."""


def steady_time() -> float:
    """Return the seconds since the epoch, as they were when this process began plus its age."""
    return time.monotonic() + _OFFSET


def use_steady_clocks() -> None:
    """Have Dask in this process wait by a clock that is never set; may be called again.

    What waits already is not disturbed: the clock tells the same as the system's, until that is
    set.
    """
    from tornado.ioloop import IOLoop

    IOLoop.time = lambda self: steady_time()
    for name in DASK_MODULES:
        vars(import_module(name))["time"] = steady_time
