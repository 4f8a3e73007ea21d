"""Tries a cluster: starts it, has its workers look around, tells what they saw, stops it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from mirar_dask.cluster.connection import connect
from mirar_dask.cluster.places import Places
from mirar_dask.cluster.spec import ClusterSpec
from mirar_dask.errors import ClusterError
from mirar_dask.life import sign_folder

CHECK = ".check-"
"""How the name of the folder of a check begins."""


def check_cluster(spec: ClusterSpec, places: Places) -> Iterator[str]:
    """Start a cluster, probe its workers and stop it, yielding what is found line by line.

    Parameters
    ----------
    spec : ClusterSpec
        The cluster.
    places : Places
        Folders that workers must see; those that are None are not looked at.

    Raises
    ------
    ClusterError
        If the cluster cannot be had, or a worker is not fit for a run.
    """
    yield f"cluster: {spec.describe()}"
    if spec.kind == "serial":
        yield "there is nothing to start"
        return
    from mirar_dask.cluster.probe import order_for, probe
    from mirar_dask.cluster.sighting import refusal
    from mirar_dask.engine.driver import DaskEngine

    began = time.monotonic()
    with ExitStack() as stack:
        folder = _folder(places, stack)
        engine = stack.enter_context(connect(spec, dashboard=False, folder=folder))
        assert isinstance(engine, DaskEngine)
        yield f"started: first worker after {time.monotonic() - began:.1f} s"
        order = stack.enter_context(order_for(places))
        findings = probe(engine.client, order)
        workers = engine.client.scheduler_info(n_workers=-1)["workers"]
        hosts = {str(worker["host"]) for worker in workers.values()}
        yield f"workers: {len(workers)} on {', '.join(sorted(hosts))}"
        if findings:
            raise ClusterError(refusal(findings))
        looked = [name for name, _ in order.read]
        yield f"folders seen by all of them: {', '.join(looked) or 'none was named'}"
        yield "packages and clocks agree"
    yield "stopped; all is well"


def _folder(places: Places, stack: ExitStack) -> Path | None:
    """Return where certificates and what jobs print are put: below the output, if one is named."""
    if places.output is None:
        return None
    places.output.mkdir(parents=True, exist_ok=True)
    made = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=CHECK, dir=places.output)))
    sign_folder(made)
    return made
