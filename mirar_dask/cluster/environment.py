"""What Dask is told, here and on the workers; without importing Dask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mirar_dask.forkserver import ENVIRONMENT

FROZEN = {"distributed.scheduler.worker-ttl": "60s"}
"""When a worker is missed that is there and says nothing; for Dask after five minutes."""
SETTINGS: dict[str, Any] = {
    # The driver retries, with what it knows of the task; Dask would run it again as it was.
    "distributed.scheduler.allowed-failures": 0,
    **FROZEN,
    # Results are handles of a few kilobytes: there is nothing to spill.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.daemon": True,
    "distributed.scheduler.worker-saturation": 2.0,
    "distributed.admin.tick.limit": "60s",
    # At Dask's own intervals (20, 10 and 100 ms) an idle worker uses 4 % of a core, and driver and
    # scheduler 6 %: where two workers keep two cores busy, that is taken from them.
    "distributed.admin.tick.interval": "500ms",
    "distributed.worker.profile.interval": "200ms",
    "distributed.worker.memory.monitor-interval": "200ms",
    **{f"distributed.nanny.pre-spawn-environ.{k}": v for k, v in ENVIRONMENT.items()},
}
"""Dask settings of clusters that are started here."""
FAR_SETTINGS: dict[str, Any] = {
    # Without these a host that is cut off is missed after 46 seconds. Below 11 s Dask does not
    # start.
    "distributed.comm.timeouts.tcp": "15s",
    "distributed.comm.timeouts.connect": "15s",
    **FROZEN,
    # `keeper` decides which jobs are lost.
    "distributed.deploy.lost-worker-timeout": "365 days",
}
"""And of those whose workers are on other machines."""
PRELOAD = "mirar_dask.preloaded"
"""Imported by workers before they take their first task."""


def variables(settings: Mapping[str, Any]) -> dict[str, str]:
    """Write Dask settings as the environment variables that Dask reads.

    Examples
    --------
    >>> variables({"distributed.comm.timeouts.tcp": "15s"})
    {'DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP': '15s'}
    """
    return {
        "DASK_" + name.replace(".", "__").replace("-", "_").upper(): str(value)
        for name, value in settings.items()
        if ".pre-spawn-environ." not in name
    }


def settings_by_hand() -> dict[str, Any]:
    """Return the settings for a scheduler and workers that are started by hand, as Dask nests them.

    Examples
    --------
    >>> settings_by_hand()["distributed"]["comm"]
    {'timeouts': {'tcp': '15s', 'connect': '15s'}}
    """
    nested: dict[str, Any] = {}
    for name, value in {**SETTINGS, **FAR_SETTINGS}.items():
        if name.startswith("distributed.deploy."):
            continue  # of queue systems: in a user's own configuration it would keep lost jobs
        *parents, last = name.split(".")
        inner = nested
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return nested


def worker_environment() -> dict[str, str]:
    """Return the environment of a worker that a job or another host starts."""
    kept = ("distributed.worker.", "distributed.comm.")
    settings = {k: v for k, v in {**SETTINGS, **FAR_SETTINGS}.items() if k.startswith(kept)}
    return {**ENVIRONMENT, **variables(settings)}
