"""Workers on this machine: processes, or threads of this process."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirar_dask.cluster.environment import SETTINGS
from mirar_dask.cluster.layout import Layout, local_layout
from mirar_dask.cluster.options import check_options
from mirar_dask.cluster.spec import ClusterSpec
from mirar_dask.data.cache import TEMPORARY
from mirar_dask.forkserver import start_method
from mirar_dask.life import sign_folder
from mirar_dask.paths import MAX_N_CPU_VARIABLE, get_max_n_cpu

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 5
"""How long to wait for workers to end."""


def machine_layout(spec: ClusterSpec) -> Layout:
    """Choose the workers for this machine."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return local_layout(
        min(cores or 1, spec.cores or cores or 1),
        _free_memory(int(psutil.virtual_memory().available)),
        workers=spec.workers,
        worker_memory=spec.memory,
        max_n_cpu=get_max_n_cpu() if os.environ.get(MAX_N_CPU_VARIABLE) else None,
        need=spec.need if spec.kind == "local" else None,
    )


def _free_memory(available: int) -> int:
    """Free memory, or what a container's limit leaves of it."""
    from distributed.system import MEMORY_LIMIT

    return min(available, int(MEMORY_LIMIT))


def start_local(spec: ClusterSpec, stack: ExitStack, *, dashboard: bool, folder: Path) -> Client:
    """Start workers here.

    Parameters
    ----------
    spec : ClusterSpec
        Of kind ``local`` or ``threads``.
    stack : ExitStack
        Ends them when it is closed.
    dashboard : bool
        Offer the dashboard, on this machine's loopback interface.
    folder : Path
        For certificates, if any are made.
    """
    import dask
    import distributed.utils
    from distributed import Client, LocalCluster, Nanny

    from mirar_dask.cluster.certificates import certificates_for, security_at
    from mirar_dask.cluster.dashboard import offer_dashboard
    from mirar_dask.cluster.reviver import Reviver
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
        "dashboard_address": f"127.0.0.1:{spec.dashboard_port or 0}",
        "scheduler_kwargs": {"dashboard": False},
        "host": "127.0.0.1",
        "protocol": "tls://" if spec.encrypted else "tcp://",
        "local_directory": spec.local_directory or _scratch(stack),
        "resources": {MEMORY: layout.memory * (layout.workers if in_threads else 1)},
        # What happens to workers is told by the run; Dask would print its own account beside it.
        "silence_logs": logging.CRITICAL,
    }
    if spec.encrypted:
        arguments["security"] = security_at(certificates_for(spec.certificates, folder, stack))
    check_options(spec, (LocalCluster.__init__, Nanny.__init__), ours=arguments)
    arguments.update(spec.options)
    with _answering_interrupts_alone():
        cluster = LocalCluster(**arguments)
    stack.callback(_close, cluster)
    if not in_threads:
        reviver = Reviver(cluster)
        reviver.start()
        stack.callback(reviver.stop)
    if dashboard:
        offer_dashboard(cluster.scheduler)
    return stack.enter_context(Client(cluster))


def _scratch(stack: ExitStack) -> str:
    """Make a private folder for Dask's own files, gone in the end.

    In its common one Dask leaves locks of workers that died while they started.
    """
    folder = Path(tempfile.mkdtemp(prefix=TEMPORARY))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    sign_folder(folder)
    return str(folder)


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
