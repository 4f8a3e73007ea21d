"""What a request would do, found by reading headers only: its plan, its steps, its cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mirar_dask.cluster import ClusterSpec
    from mirar_dask.engine.plan import Plan
    from mirar_dask.processors.base_processor import BaseProcessor
    from mirar_dask.request import Request


def plan_request(request: Request) -> Plan:
    """Find out what a request would do, reading headers only.

    Where it has several configurations, the first is planned: what the others work on is known
    when it has run.

    Raises
    ------
    NothingToDoError
        If there is no frame to reduce.
    TaskTooLargeError
        If its largest task does not fit a worker.
    """
    from mirar_dask.data import Dataset, ImageBatch
    from mirar_dask.engine.plan import plan
    from mirar_dask.engine.types import RunSettings
    from mirar_dask.paths import use_roots

    roots, pipeline = request.folders.roots, request.pipeline
    with use_roots(roots):
        steps = steps_of(request, request.settings.configurations[0])
        settings = RunSettings(roots=roots, adapt=pipeline.adapt)
        found = plan(steps, Dataset([ImageBatch()]), settings)
    if request.settings.memory_check:
        _refuse_if_too_large(request, found)
    return found


def steps_of(request: Request, configuration: str) -> list[BaseProcessor]:
    """Return the steps of a configuration; they find no master where all is to be made anew."""
    from mirar_dask.processors.base_processor import ProcessorWithCache

    steps = request.pipeline.set_configuration(configuration)
    if request.settings.clobber:
        for step in steps:
            if isinstance(step, ProcessorWithCache):
                step.try_load_cache = False
    return steps


def cluster_for(request: Request, found: Plan) -> ClusterSpec:
    """Return the cluster of a request, with room for the largest task of its plan.

    How many workers there are, and with how much memory, is chosen with it where nobody said.
    """
    from mirar_dask.cluster import for_tasks

    if not request.settings.memory_check:
        return request.cluster
    return for_tasks(request.cluster, found.memory, found.largest, found.least_worker)


def _refuse_if_too_large(request: Request, found: Plan) -> None:
    """Refuse a plan whose largest task does not fit the workers that would be started."""
    from mirar_dask.cluster import worker_memory
    from mirar_dask.engine.memory import refuse_if_too_large

    memory = worker_memory(cluster_for(request, found))
    if 0 < memory < found.least_worker:
        refuse_if_too_large(found.memory, found.largest, memory)
