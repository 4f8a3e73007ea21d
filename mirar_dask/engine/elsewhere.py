"""Where a task that was lost is tried again: pure, no Dask.

Away from the host that lost it if there is another, else from the worker; never beside or behind
another task, so that the next loss tells which of them is at fault.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spot:
    """A worker as a place for tasks."""

    address: str
    name: str
    """Stays the same when a nanny starts its worker process again, under another address."""
    host: str
    threads: int = 1


def elsewhere(spots: Sequence[Spot], hosts: Collection[str], names: Collection[str]) -> list[Spot]:
    """Return the workers that are not where a task was lost, as far as there are any.

    Parameters
    ----------
    spots : sequence of Spot
        All workers.
    hosts, names : collection of str
        Of the workers that lost it.

    Examples
    --------
    >>> a, b = Spot("tcp://1", "0", "here"), Spot("tcp://2", "1", "here")
    >>> elsewhere([a, b], {"here"}, {"0"}) == [b]
    True
    """
    other_hosts = [spot for spot in spots if spot.host not in hosts]
    other_workers = [spot for spot in spots if spot.name not in names]
    return other_hosts or other_workers or list(spots)


def free_spot(spots: Sequence[Spot], busy: Mapping[str, int]) -> Spot | None:
    """Return the worker with the fewest tasks that can begin one more at once."""
    free = [spot for spot in spots if busy.get(spot.address, 0) < spot.threads]
    return min(free, key=lambda spot: (busy.get(spot.address, 0), spot.address), default=None)
