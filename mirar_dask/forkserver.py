"""A server from which worker processes are forked, started while the command still imports.

Importing what a worker needs takes a second. Spawned workers would each do it, after the driver
has done the same; forked from this server they begin with it done, and the server does it while
the driver reads headers.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker, util
from pathlib import Path

from mirar_dask.life import sign_folder

PRELOADED = "mirar_dask.preloaded"
"""Module that imports what workers need of any night."""
METHOD = "forkserver"
ENVIRONMENT = {
    # glibc gives memory back to the system after every large array by default, and a frame's
    # chain then spends a third of its time on page faults. Read when a process starts.
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    # Numeric libraries run one thread for each worker thread.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
"""Environment of worker processes."""

logger = logging.getLogger(__name__)

_running = False


def start_early() -> None:
    """Start the server; workers of clusters that are started later are forked from it.

    Meant for commands, which own their process; in a notebook workers are spawned. Does nothing
    where the system has no such server.
    """
    global _running
    if _running or METHOD not in multiprocessing.get_all_start_methods():
        return
    multiprocessing.get_context(METHOD).set_forkserver_preload([PRELOADED])
    resource_tracker.ensure_running()  # its first start unblocks signals in this thread
    try:
        with _environment(), _interrupts_blocked():
            forkserver.ensure_running()
    except OSError as error:  # temporary space whose path is too long for a socket, say
        logger.info("worker processes are spawned, which takes longer: %s", error)
        return
    # It holds the server's socket, and stays behind if this process is killed.
    sign_folder(Path(util.get_temp_dir()))
    _running = True


def start_method() -> str:
    """How worker processes are started: from the server if there is one, else spawned."""
    return METHOD if _running else "spawn"


@contextmanager
def _environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Start a process that Ctrl-C does not reach, nor those that are forked from it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
