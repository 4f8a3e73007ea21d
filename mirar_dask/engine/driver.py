"""DaskEngine: asks `Flow` for tasks, submits them, and takes in what comes back.

Finished work lives here, unfinished work with Dask: every outcome is taken in as it completes and
its future is released, so a worker that dies costs the tasks that it was running and nothing
else. The driver alone retries.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client

from mirar_dask.data import Dataset
from mirar_dask.data.cache import new_key, use_place
from mirar_dask.data.late import LATE_SECONDS
from mirar_dask.engine import memory
from mirar_dask.engine.bench import Bench, use_bench
from mirar_dask.engine.collecting import seldom
from mirar_dask.engine.events import (
    RecordAdded,
    RunEnded,
    RunStarted,
    Sampled,
    TaskFinished,
    TaskLost,
    TaskSubmitted,
)
from mirar_dask.engine.flights import Flight, Flights, GivenBack, Landed
from mirar_dask.engine.flow import Flow
from mirar_dask.engine.opening import Loaded, open_night
from mirar_dask.engine.outlook import AskOutlook, nobody_knows
from mirar_dask.engine.places import RunPlace
from mirar_dask.engine.plugin import BenchPlugin, register
from mirar_dask.engine.sampling import Sampler, memory_of_workers, sample
from mirar_dask.engine.tally import STOPPED, any_failed, frame_statuses, stopped_for
from mirar_dask.engine.types import LoadWork, RunResult, RunSettings, Task
from mirar_dask.engine.workers import Workers
from mirar_dask.errors import ClusterError, ErrorStack
from mirar_dask.paths import current_roots, use_roots
from mirar_dask.processors.base.outcome import Record, Status, error_stack
from mirar_dask.processors.base_processor import BaseProcessor

logger = logging.getLogger(__name__)

ATTEMPTS = 3
"""How often a task is tried whose worker dies."""
UNLIMITED = 6 << 30
"""Memory of a thread that is reckoned with where workers have no limit."""
AHEAD = 1
"""Tasks handed to a worker beside those that it can run at once, so that it never waits."""


@dataclass(eq=False)
class DaskEngine:
    """Takes a dataset through steps on the workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
        Connected to the cluster; the caller closes it.
    outlook : callable
        Asks who starts workers, while there is none, whether any is on its way.
    patience : float
        Seconds for which a file that another host has made is waited for; 0 on one machine.
    """

    client: Client
    _: KW_ONLY
    outlook: AskOutlook = nobody_knows
    patience: float = LATE_SECONDS

    def apply(
        self, processors: Sequence[BaseProcessor], dataset: Dataset
    ) -> tuple[Dataset, ErrorStack]:
        """Run the steps and return mirar's pair."""
        result = self.run(processors, dataset, RunSettings())
        return result.dataset, result.errors

    def run(
        self, steps: Sequence[BaseProcessor], dataset: Dataset, settings: RunSettings
    ) -> RunResult:
        """Run the steps; what fails in them is in the result, never raised.

        Raises
        ------
        TaskTooLargeError
            If the largest task does not fit a worker; nothing was begun then.
        KeyboardInterrupt
            If the user interrupts; what was under way is cancelled and the cache emptied first.
        """
        roots = settings.roots or current_roots()
        place = RunPlace(settings, patience=self.patience)
        workers = Workers(self.client, self.outlook)
        with place, use_roots(roots), use_place(place.cache), seldom():
            return _Run(self.client, settings, place, workers).go(steps, dataset)


@dataclass
class _Run:
    """One run on one client."""

    client: Client
    settings: RunSettings
    place: RunPlace
    workers: Workers
    records: list[Record] = field(default_factory=list)
    announced: int = 0
    suspects: list[Flight] = field(default_factory=list)
    """Tasks whose worker died, to be tried again."""
    sampler: Sampler | None = None
    stopped: str | None = None
    """Why nothing new is begun, if somebody wished so."""

    def __post_init__(self) -> None:
        # Unique even where the caller gives every run one name: a plugin of a name that a worker
        # knows would silently keep its old steps.
        self.key = f"{self.settings.run_id}-{self.place.cache.key or new_key()}"
        self.flights = Flights(self.client, self.key, self.workers)

    def go(self, steps: Sequence[BaseProcessor], dataset: Dataset) -> RunResult:
        """Open the night, do all tasks, and put the result together."""
        start = time.perf_counter()
        opened = self.settings.opened or open_night(
            steps, dataset, self.settings, self._loader(steps)
        )
        planned = time.perf_counter()
        self.note(opened.records)
        rows = dict(opened.rows)
        with self._benches(opened.steps) as bench:
            threads = self.workers.announced = self.workers.threads
            names = tuple(step.step_name for step in opened.steps)
            self.settings.announce(
                RunStarted(
                    self.settings.run_id, time.time(), names, opened.frames, threads,
                    self.client.dashboard_link,
                )
            )  # fmt: skip
            bunches = opened.bunches
            if self.settings.check_memory and self.workers.memory:
                members = [member for bunch in bunches for member in bunch.members]
                budget = memory.held_by_images(self.workers.share)
                steps = opened.steps[opened.next_step :]
                largest = memory.largest_task(steps, members, budget)
                memory.refuse_if_too_large(*largest, self.workers.memory)
            flow = Flow(
                opened.steps, bunches, threads, start=opened.next_step, foreseen=opened.foreseen,
                group_by_group=self.settings.group_by_group, memo=self.settings.memo,
            )  # fmt: skip
            try:
                with Sampler(self._look) as self.sampler:
                    self._drive(flow)
            except BaseException:
                self.flights.cancel()
                raise
        if flow.cut_short and (self.stopped or self.settings.fail_fast):
            self.note([stopped_for(self.stopped) if self.stopped else STOPPED])
        rows.update(flow.tables())
        for number, found in sorted(rows.items()):
            self.note(opened.steps[number].save_table(found))
        result = Dataset([bunch.open() for bunch in flow.results()])
        with use_bench(bench):
            result = self.place.keep(result)
        self._remove(flow.garbage())
        end = time.perf_counter()
        frames = frame_statuses(
            opened.frames, self.records, result, stopped=flow.cut_short, worked=flow.worked
        )
        phases = {"plan": planned - start, "reduce": end - planned}
        done = RunResult(result, tuple(self.records), frames, phases, error_stack(self.records))
        self.settings.announce(RunEnded(done.counts(), end - start, time.time()))
        return done

    # -- the loop -----------------------------------------------------------------------------

    def _drive(self, flow: Flow) -> None:
        while True:
            self.note(flow.records[self.announced :])
            self.announced = len(flow.records)
            if self.settings.fail_fast and any_failed(self.records):
                flow.stop()
            self._stop_if_wished(flow)
            self._fill(flow)
            if not self.flights:
                break  # nothing is under way, and nothing could be handed out
            landed = self._wait()
            if landed is None:
                self._give_up(flow)
                continue
            for one in landed:
                self._take_in(flow, one)
            self._remove(flow.garbage())
        self.note(flow.records[self.announced :])
        self.announced = len(flow.records)

    def _stop_if_wished(self, flow: Flow) -> None:
        """Begin nothing new once somebody wishes so."""
        if self.settings.stopping is None or self.stopped:
            return
        self.stopped = self.settings.stopping()
        if self.stopped:
            logger.warning("%s; nothing new is begun", self.stopped)
            flow.stop()

    def _wait(self) -> list[Landed | GivenBack] | None:
        """Wait for tasks that came back; None once there is no hope that one will."""
        while True:
            landed = self.flights.landed(timeout=1.0)
            self.workers.announce_changes(self.settings.announce)
            if self.sampler is not None:
                self.sampler.announce(self.settings.announce)
            if landed:
                return landed
            if self.workers.why_hopeless() is not None:
                return None

    def _give_up(self, flow: Flow) -> None:
        """Lose everything that is under way, and begin nothing new."""
        reason = self.workers.why_hopeless() or "nothing came back"
        flights = [*self.flights.cancel(), *self.suspects]
        self.suspects.clear()
        flow.stop()
        self.note([Record((), Status.LOST, "run", reason)])
        for flight in flights:
            flow.lose(flight.task, reason)

    def _fill(self, flow: Flow) -> None:
        """Hand out tasks until every worker has one in hand.

        All tasks in the hands of a worker that dies are lost with it. Those that are tried again
        get a worker each, with nothing waiting behind them: a second loss is then their own.
        """
        careful = self.suspects or any(flight.attempt for flight in self.flights.under_way)
        if careful:
            self.workers.ask_again()  # with a worker less, two of them would get the same
        threads = self.workers.threads
        flow.packing.slots = threads
        room = max(0, threads - len(self.flights))
        again, self.suspects = self.suspects[:room], self.suspects[room:]
        window = threads if careful else threads + AHEAD * self.workers.number
        handed = list(again)
        while (out := len(self.flights) + len(handed)) < window:
            flow.packing.free = max(0, threads - out)
            task = flow.next_task() if flow.packing.free or flow.may_queue else None
            if task is None:
                break
            handed.append(Flight(task, 0))
        self._send(handed)
        if (idle := threads - len(self.flights)) > 0:
            self.flights.ask_back(idle, flow.packing)

    def _send(self, flights: Sequence[Flight]) -> None:
        if not flights:
            return
        self.flights.send(flights)
        now = time.time()
        for task, attempt in flights:
            self.settings.announce(
                TaskSubmitted(task.label, task.number, attempt, task.names, now, task.batch)
            )

    def _take_in(self, flow: Flow, landed: Landed | GivenBack) -> None:
        if isinstance(landed, GivenBack):
            flow.take_back(landed.number, landed.positions)
            return
        flight, outcome, reason = landed
        task = flight.task
        if outcome is not None:
            times = tuple((flow.steps[t.step].step_name, t.seconds, t.n) for t in outcome.times)
            flow.absorb(task, outcome)
            self.settings.announce(
                TaskFinished(
                    task.label, task.number, flight.attempt, task.names, outcome.worker,
                    outcome.seconds, times, time.time(), outcome.meter, task.batch, outcome.log,
                )
            )  # fmt: skip
            return
        again = task.repeatable and flight.attempt + 1 < ATTEMPTS
        if not task.repeatable:
            reason = f"lost after side effect: {reason}"
        logger.warning("task %s: %s%s", task.label, reason, "; trying again" if again else "")
        self.settings.announce(
            TaskLost(
                task.label, task.number, flight.attempt, task.names, reason, again, time.time()
            )
        )
        if again:
            parts = flow.divide(task)
            self.suspects += [Flight(part, flight.attempt + 1) for part in parts]
        else:
            flow.lose(task, f"{reason} ({flight.attempt + 1} attempts)")

    def _look(self) -> Sampled:
        """See what the run takes up."""
        roots = self.settings.roots or current_roots()
        return sample(memory_of_workers(self.client), self.place.cache, roots.output)

    # -- the cluster --------------------------------------------------------------------------

    @contextmanager
    def _benches(self, steps: Sequence[BaseProcessor]) -> Iterator[Bench]:
        """Give every worker the steps; take them away again at the end."""
        bench = Bench(
            steps,
            self.settings.roots or current_roots(),
            self.place.cache,
            budget=memory.held_by_images(self.workers.share or UNLIMITED),
            memory=memory.usable(self.workers.share or UNLIMITED),
        )
        plugin = BenchPlugin(self.key, bench)
        register(self.client, plugin)
        try:
            with self.flights:
                yield bench
        finally:
            try:
                self.client.unregister_worker_plugin(plugin.name)
            except Exception as exc:  # the cluster may be what failed
                logger.debug("could not take the steps away: %s", exc)

    def _loader(self, steps: Sequence[BaseProcessor]) -> Any:
        def load(number: int, paths: Sequence[Path]) -> Loaded:
            with self._benches(steps):
                size = max(1, math.ceil(len(paths) / (8 * self.workers.threads)))
                packs = [tuple(paths[i : i + size]) for i in range(0, len(paths), size)]
                loaded: list[Any] = [None] * len(packs)
                work = [LoadWork(number, pack) for pack in packs]
                names = [tuple(path.name for path in pack) for pack in packs]
                label = steps[number].step_name
                tasks = [Task(label, -1 - n, work[n], names[n], 0) for n in range(len(packs))]
                self._send([Flight(task, 0) for task in tasks])
                while self.flights:
                    landed = self._wait()
                    if landed is None:
                        raise ClusterError(self.workers.why_hopeless() or "nothing came back")
                    for one in landed:
                        self._take_loaded(one, steps[number], loaded)
                return loaded

        return load

    def _take_loaded(
        self, landed: Landed | GivenBack, step: BaseProcessor, loaded: list[Any]
    ) -> None:
        assert isinstance(landed, Landed)  # nobody asks for files back
        flight, outcome, reason = landed
        place = -1 - flight.task.number
        if outcome is not None:
            images = [handle.open() for bunch in outcome.batches for handle in bunch.members]
            loaded[place] = (images, list(outcome.records))
        elif flight.attempt + 1 < ATTEMPTS:
            self._send([Flight(flight.task, flight.attempt + 1)])
        else:
            lost = Record(flight.task.names, Status.LOST, step.step_name, reason)
            loaded[place] = ([], [lost])

    # -- small things -------------------------------------------------------------------------

    def note(self, records: Sequence[Record]) -> None:
        """Keep records and announce them."""
        for record in records:
            self.records.append(record)
            self.settings.announce(RecordAdded(record, time.time()))

    def _remove(self, files: Sequence[Path]) -> None:
        for path in files:
            path.unlink(missing_ok=True)
