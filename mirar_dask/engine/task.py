"""What a worker does: take one task, run its steps, bring back an outcome.

Nothing that a processor does can raise through here. Dask appears nowhere: the same function runs
in a worker process, in a thread, or inline in a test.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import replace
from typing import assert_never

from mirar_dask.data.cache import task_memory, use_place
from mirar_dask.data.metering import metered
from mirar_dask.engine.batch_work import do_batch, do_load, do_regroup
from mirar_dask.engine.bench import Bench, find_bench, use_bench
from mirar_dask.engine.chain_work import do_chain
from mirar_dask.engine.context_work import do_band, do_master, do_prepare
from mirar_dask.engine.task_log import kept_log
from mirar_dask.engine.trial_work import do_trial
from mirar_dask.engine.types import (
    BandWork,
    BatchWork,
    ChainWork,
    LoadWork,
    MasterWork,
    Outcome,
    PrepareWork,
    RegroupWork,
    Task,
    TrialWork,
    Work,
)
from mirar_dask.paths import use_roots
from mirar_dask.processors.base.core import CONTAINED
from mirar_dask.processors.base.trouble import noticing


def execute(bench: Bench, task: Task) -> Outcome:
    """Do one task.

    Returns
    -------
    Outcome
        Always: what fails is in its records.
    """
    start = time.perf_counter()
    bench.last_pending = None
    if not isinstance(task.work, MasterWork):
        bench.last_band = None
    bench.make_room(task.memory, getattr(task.work, "contexts", ()))
    with (
        use_bench(bench),
        use_roots(bench.roots),
        use_place(bench.place),
        task_memory(bench.budget),
        metered() as meter,
        kept_log() as log,
        noticing() as troubles,
    ):
        try:
            outcome = perform(task, bench)
        except (*CONTAINED, KeyboardInterrupt) as exc:
            step = bench.steps[first_step(task.work)]
            outcome = Outcome(failed=True, records=(step.failure(exc, task.names),))
    worker = f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"
    seconds = time.perf_counter() - start
    trouble = replace(troubles[0], needed=task.memory) if troubles else None
    return replace(
        outcome, seconds=seconds, worker=worker, meter=meter, log=log.lines(), trouble=trouble
    )


def execute_remote(run_id: str, task: Task) -> Outcome:
    """Do one task of a run for which this process was prepared; what Dask calls.

    Raises
    ------
    ProcessorError
        If this process was never prepared: its plugin is missing.
    """
    return execute(find_bench(run_id), task)


def perform(task: Task, bench: Bench) -> Outcome:
    """Do one kind of work."""
    work = task.work
    match work:
        case ChainWork():
            return do_chain(work, bench, task.number)
        case BandWork():
            return do_band(work, bench)
        case MasterWork():
            return do_master(work, bench)
        case PrepareWork():
            return do_prepare(work, bench)
        case BatchWork():
            return do_batch(work, bench)
        case RegroupWork():
            return do_regroup(work, bench)
        case LoadWork():
            return do_load(work, bench)
        case TrialWork():
            return do_trial(work, bench)
    assert_never(work)


def first_step(work: Work) -> int:
    """Return the number of the first step that a work concerns."""
    if not isinstance(work, ChainWork):
        return work.step
    if work.links:
        return work.links[0].step
    return next((step for item in work.items for step in item.measures), 0)
