"""Offers the page on the server of a Dask scheduler, in whatever process that runs.

The driver has `offer_page` called there as the run begins. It costs a few milliseconds; what reads
run folders is imported when somebody looks.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


def offer_page(dask_scheduler: Any, *, out: str, run: str) -> str:
    """Let a scheduler's server show a run, and the other runs of its output folder.

    Parameters
    ----------
    dask_scheduler : distributed.Scheduler
        In this process; its server for pages is running.
    out : str
        The output folder.
    run : str
        The run's own folder.

    Returns
    -------
    str
        Why it cannot be shown, in a sentence; empty if it can.
    """
    from mirar_dask.monitoring.page.handlers import PageApplication
    from mirar_dask.monitoring.page.runs import seen

    served = dask_scheduler.http_application.applications
    page = next((one for one in served if isinstance(one, PageApplication)), None)
    if page is None:

        def live(run_id: str, under_way: dict[int, int]) -> list[dict[str, Any]]:
            return workers_of(dask_scheduler, run_id, under_way)

        page = PageApplication(live=live)
        served.insert(0, page)  # before Dask's own, which answers whatever it is asked
    page.runs.register(Path(out), Path(run))
    return "" if seen(Path(run)) else page.runs.why_none()


def workers_of(scheduler: Any, run_id: str, under_way: dict[int, int]) -> list[dict[str, Any]]:
    """Return the workers of a scheduler, and what of a run each is at work on.

    Parameters
    ----------
    scheduler : distributed.Scheduler
        In this process; to be called on its event loop.
    run_id : str
        Name of the run.
    under_way : dict
        Number of frames of each task under way, by its number.
    """
    now = time.time()
    found = []
    for worker in list(scheduler.workers.values()):
        running = dict(worker.executing)
        # A short task is over before its worker tells of it.
        tasks = list(running) or list(worker.processing)[: worker.nthreads]
        found.append(
            {
                "host": worker.host,
                "name": str(worker.name),
                "memory": int(worker.metrics.get("memory") or 0),
                "limit": int(worker.memory_limit or 0),
                "cpu": float(worker.metrics.get("cpu") or 0.0),
                "pid": worker.pid,
                "seen": round(now - worker.last_seen, 1),
                "tasks": [
                    one
                    for task in tasks
                    if (one := _task(task.key, run_id, under_way, running.get(task)))
                ],
            }
        )
    return sorted(found, key=lambda one: (one["host"], one["name"]))


def _task(
    key: Any, run_id: str, under_way: dict[int, int], seconds: float | None
) -> dict[str, Any] | None:
    """Describe a task by its key (label, run-number, attempt); None if it is another run's."""
    if not (isinstance(key, tuple) and len(key) == 3 and str(key[1]).startswith(f"{run_id}-")):
        return None
    number = str(key[1]).rpartition("-")[2]
    frames = under_way.get(int(number), 0) if number.isdecimal() else 0
    return {"label": str(key[0]), "frames": frames, "seconds": seconds}
