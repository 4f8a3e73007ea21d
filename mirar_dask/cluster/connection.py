"""From a ClusterSpec to an engine: starts what is to be started, and stops it again."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from mirar_dask.cluster.layout import Layout, local_layout
from mirar_dask.cluster.spec import ClusterSpec
from mirar_dask.engine.serial import SerialEngine
from mirar_dask.engine.types import Engine
from mirar_dask.errors import ClusterError
from mirar_dask.forkserver import ENVIRONMENT, start_method
from mirar_dask.paths import MAX_N_CPU_VARIABLE, get_max_n_cpu

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10
"""How long to wait for a scheduler that is said to be there."""
CLOSE_SECONDS = 5
"""How long to wait for workers to end."""
SETTINGS = {
    # The driver retries, with what it knows of the task; Dask would run it again as it was.
    "distributed.scheduler.allowed-failures": 0,
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


@contextmanager
def connect(spec: ClusterSpec, *, dashboard: bool = True) -> Iterator[Engine]:
    """Give an engine that does tasks where the specification says.

    Parameters
    ----------
    spec : ClusterSpec
        Where.
    dashboard : bool
        Serve Dask's dashboard on this machine's loopback interface.

    Raises
    ------
    ClusterError
        If there is no scheduler at the given place, or it has no workers.
    """
    if spec.kind == "serial":
        yield SerialEngine()
        return
    from mirar_dask.engine.driver import DaskEngine

    with ExitStack() as stack:
        client = _start(spec, stack, dashboard) if spec.kind in ("local", "threads") else None
        yield DaskEngine(client or _reach(spec, stack))


def machine_layout(spec: ClusterSpec) -> Layout:
    """Choose the workers for this machine."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return local_layout(
        cores or 1,
        _free_memory(int(psutil.virtual_memory().available)),
        workers=spec.workers,
        worker_memory=spec.memory,
        max_n_cpu=get_max_n_cpu() if os.environ.get(MAX_N_CPU_VARIABLE) else None,
    )


def _free_memory(available: int) -> int:
    """Free memory, or what a container's limit leaves of it."""
    from distributed.system import MEMORY_LIMIT

    return min(available, int(MEMORY_LIMIT))


def _start(spec: ClusterSpec, stack: ExitStack, dashboard: bool) -> Client:
    import dask
    import distributed.utils
    from distributed import Client, LocalCluster

    from mirar_dask.cluster.dashboard import offer_dashboard
    from mirar_dask.engine.plugin import MEMORY

    layout = machine_layout(spec)
    logger.info(layout.reason)
    stack.enter_context(dask.config.set(SETTINGS))
    stack.enter_context(
        dask.config.set({"distributed.worker.multiprocessing-method": start_method()})
    )
    # Otherwise Dask imports here whatever a worker could want, to have its own server import it.
    distributed.utils._forkserver_preload_set = True
    in_threads = spec.kind == "threads"
    arguments: dict[str, Any] = {
        "processes": not in_threads,
        "n_workers": 1 if in_threads else layout.workers,
        "threads_per_worker": layout.workers if in_threads else layout.threads,
        "memory_limit": 0 if in_threads else layout.memory,
        # Without an address the scheduler's server would listen on all interfaces, dashboard or
        # not; so would the servers of workers in this process with the protocol inproc.
        "dashboard_address": "127.0.0.1:0",
        "scheduler_kwargs": {"dashboard": False},
        "host": "127.0.0.1",
        "protocol": "tcp://",
        "local_directory": spec.local_directory,
        "resources": {MEMORY: layout.memory * (layout.workers if in_threads else 1)},
        "silence_logs": logging.ERROR,
    }
    with _answering_interrupts_alone():
        cluster = LocalCluster(**arguments)
    stack.callback(_close, cluster)
    if dashboard:
        offer_dashboard(cluster.scheduler)
    return stack.enter_context(Client(cluster))


def _close(cluster: LocalCluster) -> None:
    """Close a cluster; a thread that is still at work after an interruption ends with Python."""
    try:
        cluster.close(timeout=CLOSE_SECONDS)
    except TimeoutError:
        cluster.shutdown_on_close = False  # or Dask would wait for it once more
        logger.warning("the workers did not end within %s s and are abandoned", CLOSE_SECONDS)


@contextmanager
def _answering_interrupts_alone() -> Iterator[None]:
    """Start threads and processes that Ctrl-C does not reach.

    A terminal sends it to every process of the command. Workers that died of it would print
    tracebacks, and be started again, while the driver is still cancelling their tasks. Threads
    inherit the mask of the thread that starts them, and processes that of their thread, so
    workers that are started later are spared too.
    """
    # Its first start unblocks the signal again in the thread in which that happens.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _reach(spec: ClusterSpec, stack: ExitStack) -> Client:
    from distributed import Client

    where = {"scheduler_file": spec.target} if spec.kind == "file" else {"address": spec.target}
    try:
        client = stack.enter_context(Client(**where, timeout=CONNECT_SECONDS))
    except (OSError, TimeoutError, ValueError) as exc:
        raise ClusterError(
            f"no scheduler answers at '{spec.target}' within {CONNECT_SECONDS} s; start one with "
            "'dask scheduler', or use --cluster local"
        ) from exc
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError as exc:
        raise ClusterError(
            f"the scheduler at '{spec.target}' has no workers; start some with "
            f"'dask worker {client.scheduler.address}'"
        ) from exc
    return client
