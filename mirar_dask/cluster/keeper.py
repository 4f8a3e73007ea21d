"""Keeps the jobs of a queue system up: replaces those that ended, and follows the work.

Jobs end: their walltime is over, a node goes down, somebody cancels one. Dask's own timer for
that (``lost-worker-timeout``) must be short for a job to be replaced soon and long for one that
the queue system starts again; with adaptive scaling a lost job counts against the maximum until
then. So it is switched off, and this decides instead: a job whose workers have gone is cancelled
(it may have been put back into the queue) and another one submitted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from distributed.core import Status
from distributed.deploy.adaptive import Adaptive
from distributed.diagnostics.plugin import SchedulerPlugin
from tornado.ioloop import PeriodicCallback

from mirar_dask.cluster.layout import JobLayout
from mirar_dask.cluster.squeue import States

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often the workers are looked at."""
ASK_SECONDS = 5.0
"""How often the queue system is asked, at most; a shared one should not be asked all the time."""
GRACE_SECONDS = 15.0
"""How long a job's workers may be gone: one that ran out of memory is back within this."""
RETRY_SECONDS = 10.0
"""How long to wait after a job was refused: the queue system may be down for a moment."""
FRUITLESS = 3
"""After so many jobs on end that ended without ever giving a worker no more are submitted."""
FOLLOW_SECONDS = 2
"""How often adaptive scaling looks at the work."""
IDLE_SECONDS = 60.0
"""How long adaptive scaling lets a worker wait for work before it goes."""
Ask = Callable[[Iterable[str]], Awaitable[States | None]]
"""Asks the queue system; None where it does not answer."""


@dataclass
class Watch:
    """What is known of each job; pure, with the time as an argument."""

    seen: dict[str, float] = field(default_factory=dict)
    """When a job last had a worker."""
    fruitless: int = 0
    """Jobs on end that never had one."""

    def arrived(self, name: str, now: float) -> None:
        """Note that a job has a worker."""
        if name not in self.seen:  # else one good node would hide a bad one
            self.fruitless = 0
        self.seen[name] = now

    def ended(
        self,
        now: float,
        jobs: Mapping[str, str | None],
        present: Iterable[str],
        states: States | None,
    ) -> list[str]:
        """Return the jobs that are over.

        Parameters
        ----------
        now : float
            Seconds of a clock that never goes back.
        jobs : mapping
            Id of each job by its name; None where submitting it failed.
        present : iterable of str
            Jobs that have a worker now.
        states : mapping or None
            What the queue system says of them.
        """
        here = set(present)
        for name in here & jobs.keys():
            self.arrived(name, now)
        over = []
        for name, job_id in jobs.items():
            if name in here:
                continue
            gone = job_id is None or (states is not None and job_id not in states)
            if name in self.seen:
                gone = gone or now - self.seen[name] > GRACE_SECONDS
                told = (states or {}).get(job_id or "")
                # Put back into the queue: it would begin anew, some time.
                gone = gone or (told is not None and told.state == "PENDING")
            elif gone and job_id is not None:
                self.fruitless += 1
            if gone:
                over.append(name)
                self.seen.pop(name, None)
        return over


class _Arrivals(SchedulerPlugin):
    """Tells of each worker that comes, also of one that is gone again before anybody looks."""

    def __init__(self, watch: Watch) -> None:
        self.name = "mirar_dask-arrivals"
        self.watch = watch

    def add_worker(self, scheduler: Any, worker: str, **_: Any) -> None:
        self.watch.arrived(job_of_worker(scheduler.workers[worker]), time.monotonic())


class Keeper:
    """Looks after the jobs of one cluster, on its event loop.

    Parameters
    ----------
    cluster : dask_jobqueue.JobQueueCluster
        Running.
    layout : JobLayout
        How many jobs there are to be.
    ask : callable, optional
        Asks the queue system about jobs; None where its answers cannot be read.
    """

    def __init__(self, cluster: Any, layout: JobLayout, ask: Ask | None) -> None:
        self.cluster = cluster
        self.layout = layout
        self.ask = ask
        self.watch = Watch()
        self.following = False
        self.states: States = {}
        """What the queue system said last of jobs without workers."""
        self._asked = 0.0
        self._silent_since: float | None = None
        self._adaptive: Adaptive | None = None
        self._not_before = 0.0
        self._busy = False
        self._timer = PeriodicCallback(self._look, LOOK_SECONDS * 1000)

    def start(self) -> None:
        """Submit the first jobs, and watch over them from now on."""
        self.cluster.scheduler.add_plugin(_Arrivals(self.watch))
        self.cluster.scale(jobs=self.wanted)
        self.cluster.loop.add_callback(self._timer.start)

    def follow(self) -> None:
        """Follow the work from now on, where the layout leaves room for it.

        Called when the first worker is there: before, nothing is to be done, and the job that is
        waited for would be taken back.
        """
        layout = self.layout
        if layout.least == layout.most:
            return
        self.following = True
        self._adaptive = self.cluster.adapt(
            Adaptive=Backlog,
            minimum_jobs=layout.least,
            maximum_jobs=layout.most,
            interval=f"{FOLLOW_SECONDS}s",
            wait_count=int(IDLE_SECONDS / FOLLOW_SECONDS),
            worker_key=job_of_worker,
        )

    @property
    def wanted(self) -> int:
        """Number of jobs below which there are never fewer."""
        return self.layout.least if self.following else max(1, self.layout.least)

    def stop(self) -> None:
        """Replace nothing any more."""
        self.cluster.loop.add_callback(self._timer.stop)

    @property
    def jobs(self) -> dict[str, str | None]:
        """Id of each job by its name; None where it was not submitted."""
        return {str(name): job.job_id for name, job in list(self.cluster.workers.items())}

    @property
    def silence(self) -> float:
        """Seconds for which the queue system has given no answer to what it was asked."""
        since = self._silent_since
        return 0.0 if since is None else time.monotonic() - since

    async def _look(self) -> None:
        if self._busy or self.cluster.status != Status.running:
            return
        self._busy = True
        try:
            await self._replace_what_ended()
        except Exception:
            logger.warning("the jobs could not be looked after", exc_info=True)
        finally:
            self._busy = False

    async def _replace_what_ended(self) -> None:
        workers = list(self.cluster.scheduler.workers.values())
        present = {job_of_worker(worker) for worker in workers}
        jobs = self.jobs
        now = time.monotonic()
        absent = [job_id for name, job_id in jobs.items() if job_id and name not in present]
        states: States | None = None
        if absent and self.ask is not None and now - self._asked >= ASK_SECONDS:
            self._asked = now
            states = await self.ask(absent)
            self._silent_since = (self._silent_since or now) if states is None else None
            self.states = self.states if states is None else states
        if None in jobs.values():
            self._not_before = now + RETRY_SECONDS
        for name in self.watch.ended(now, jobs, present, states):
            job = self.cluster.workers.pop(name, None)
            self.cluster.worker_spec.pop(name, None)
            if job is not None:
                logger.info("job %s (%s) is over", job.job_id, name)
                await _cancel(job)
        if self.watch.fruitless >= FRUITLESS:
            if self._adaptive is not None:
                self._adaptive.stop()  # it would go on asking for more of them
            return
        if now < self._not_before:
            return
        if len(self.cluster.worker_spec) < self.wanted:
            self.cluster.scale(jobs=self.wanted)


async def _cancel(job: Any) -> None:
    try:
        await asyncio.wait_for(job.close(), timeout=10)
    except Exception as error:
        logger.debug("job %s could not be cancelled: %s", job.job_id, error)


def job_of_worker(worker: Any) -> str:
    """Return the name of the job that a worker belongs to.

    A job is called ``NAME-NUMBER``, its worker too, or ``NAME-NUMBER-0``, ``-1`` and so on where
    it has several.
    """
    name = str(worker.name)
    return name.rpartition("-")[0] if name.count("-") > 1 else name


class Backlog(Adaptive):
    """Follows the work: twice the workers while all have a task and more wait.

    Dask's own rule reckons with all tasks that there will be; our driver hands out only as many
    as keep the workers busy, so it would never ask for more.
    """

    async def target(self) -> int:
        """Return how many workers there should be."""
        scheduler = self.cluster.scheduler
        workers = len(scheduler.workers)
        threads = scheduler.total_nthreads
        tasks = sum(len(w.processing) for w in scheduler.workers.values())
        tasks += len(scheduler.queued) + len(scheduler.unrunnable)
        return wanted(workers, threads, tasks)


def wanted(workers: int, threads: int, tasks: int) -> int:
    """Return how many workers so many unfinished tasks are worth.

    Examples
    --------
    >>> wanted(4, 4, 8), wanted(4, 4, 3), wanted(0, 0, 1), wanted(4, 4, 0)
    (8, 3, 1, 0)
    """
    if tasks > threads:
        return max(1, 2 * workers)
    return min(workers, tasks)
