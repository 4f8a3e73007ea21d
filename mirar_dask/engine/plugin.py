"""Gets a worker ready for a run: its steps, one thread for numeric libraries."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import cloudpickle
import dask
from distributed import Client, Worker, WorkerPlugin

from mirar_dask.engine.bench import Bench, clear_away, lay_out
from mirar_dask.engine.task_log import begin_listening, end_listening

logger = logging.getLogger(__name__)

TRIES = 5
"""How often a plugin is given to all workers while some of them go away; half a second between."""
MEMORY = "MEMORY"
"""Resource, in bytes, that tasks reserve on workers that were started with it.

Declared later, by a plugin, it would be of no use: Dask does not look again at a task that waits
for a resource when a worker that is there already declares it, so the first worker that is
restarted would leave tasks waiting for ever.
"""
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class BenchPlugin(WorkerPlugin):
    """Lays out the bench of a run on every worker, those that join later included.

    Parameters
    ----------
    key : str
        Name of the run, unique among all runs that the cluster ever sees.
    bench : Bench
        What its tasks need.
    """

    def __init__(self, key: str, bench: Bench) -> None:
        self.name = f"mirar_dask-{key}"
        self.key = key
        self.bench = bench

    def __getstate__(self) -> dict[str, Any]:
        # Dask itself pickles a class of a user's script by name if it can, and no worker finds it.
        return {**self.__dict__, "bench": cloudpickle.dumps(self.bench)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, bench=cloudpickle.loads(state["bench"]))

    def setup(self, worker: Worker) -> None:
        """Get the worker ready; Dask calls this where the plugin arrives."""
        if worker.nanny:  # a process of its own: what is set here is set for no one else
            for variable in THREAD_VARIABLES:
                os.environ.setdefault(variable, "1")
            # A Dask array computed inside a task would otherwise go back to the cluster.
            dask.config.set(scheduler="synchronous")
        lay_out(self.key, self.bench)
        begin_listening(self.bench.steps, alone=bool(worker.nanny) and worker.state.nthreads == 1)

    def teardown(self, worker: Worker) -> None:
        """Forget the run; Dask calls this where the plugin is taken away."""
        end_listening()
        clear_away(self.key)


def register(client: Client, plugin: WorkerPlugin) -> None:
    """Give a plugin to all workers, those that come later included.

    Dask fails as a whole if one of the workers goes away at that moment. The others have the plugin
    then, and so has the scheduler for those that come; it is given once more to be sure of it.

    Raises
    ------
    OSError
        If it cannot be done at all.
    """
    for attempt in range(1, TRIES + 1):
        try:
            client.register_plugin(plugin)
            return
        except OSError as error:
            if attempt == TRIES or client.status != "running":
                raise
            logger.info("a worker went away while it was got ready (%s)", error)
            time.sleep(0.5)
