"""DaskEngine: asks `Flow` for tasks, submits them, and takes in what comes back.

Finished work lives here, unfinished work with Dask: every outcome is taken in as it completes and
its future is released, so a worker that dies costs the tasks that it was running and nothing
else. The driver alone retries.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from distributed import Client

from mirar_dask.data import Dataset
from mirar_dask.data.cache import new_key, use_place
from mirar_dask.data.late import LATE_SECONDS
from mirar_dask.engine import memory
from mirar_dask.engine.accidents import Accidents
from mirar_dask.engine.bench import Bench, use_bench
from mirar_dask.engine.collecting import seldom
from mirar_dask.engine.deaths import Deaths
from mirar_dask.engine.events import (
    RecordAdded,
    RunEnded,
    RunStarted,
    Sampled,
    TaskFinished,
    TaskSubmitted,
)
from mirar_dask.engine.flights import Flight, Flights, GivenBack, Landed
from mirar_dask.engine.flow import Flow
from mirar_dask.engine.loading import load_packs, packs_of
from mirar_dask.engine.losses import Losses
from mirar_dask.engine.opening import Loaded, open_night
from mirar_dask.engine.outlook import AskOutlook, nobody_knows
from mirar_dask.engine.places import RunPlace
from mirar_dask.engine.plugin import BenchPlugin, register
from mirar_dask.engine.release import remove
from mirar_dask.engine.sampling import Sampler, sample
from mirar_dask.engine.tally import STOPPED, any_failed, frame_statuses, stopped_for
from mirar_dask.engine.types import RunResult, RunSettings
from mirar_dask.engine.workers import Workers
from mirar_dask.errors import ClusterError, ErrorStack
from mirar_dask.paths import current_roots, use_roots
from mirar_dask.processors.base.outcome import Record, Status, error_stack
from mirar_dask.processors.base_processor import BaseProcessor

logger = logging.getLogger(__name__)

UNLIMITED = 6 << 30
"""Memory of a thread that is reckoned with where workers have no limit."""
LOOK_SECONDS = 0.2
"""How often a worker is looked for that can take what is tried again."""
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

    @property
    def connected(self) -> bool:
        """Whether the scheduler is there."""
        return bool(self.client.status == "running")

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
    sampler: Sampler | None = None
    stopped: str | None = None
    """Why nothing new is begun, if somebody wished so."""

    def __post_init__(self) -> None:
        # Unique even where the caller gives every run one name: a plugin of a name that a worker
        # knows would silently keep its old steps.
        self.key = f"{self.settings.run_id}-{self.place.cache.key or new_key()}"
        self.flights = Flights(self.client, self.key, self.workers)
        self.deaths = Deaths(self.client, self.key, self.workers.last_seen)
        self.accidents = Accidents(
            self.client, self.workers, self.settings.announce, self._stop, self.settings.memo
        )
        self.retries = self.accidents.retries

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
            if self.settings.check_memory and self.workers.memory:
                left, workers = opened.steps[opened.next_step :], self.workers
                memory.refuse_too_large(left, opened.bunches, workers.share, workers.memory)
            flow = Flow(
                opened.steps, opened.bunches, threads, start=opened.next_step,
                foreseen=opened.foreseen, group_by_group=self.settings.group_by_group,
                memo=self.settings.memo,
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
        remove(flow.garbage())
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
            if not self.flights and not self.retries.waiting:
                break  # nothing is under way, and nothing could be handed out
            landed = self._wait()
            if landed is None:
                self._give_up(flow)
                continue
            losses = Losses.of(landed, self.deaths)
            for one in landed:
                self._take_in(flow, one, losses)
            self.accidents.settle(flow)
            remove(flow.garbage())
        self.note(flow.records[self.announced :])
        self.announced = len(flow.records)

    def _stop_if_wished(self, flow: Flow) -> None:
        """Begin nothing new once somebody wishes so."""
        if self.settings.stopping is None or self.stopped:
            return
        self._stop(flow, self.settings.stopping())

    def _stop(self, flow: Flow, reason: str | None) -> None:
        if reason and not self.stopped:
            self.stopped = reason
            logger.warning("%s; nothing new is begun", reason)
            flow.stop()

    def _wait(self) -> list[Landed | GivenBack] | None:
        """Wait for tasks that came back, or for workers that others wait for; None without hope."""
        while True:
            look_again = bool(self.retries.waiting)
            landed = self.flights.landed(timeout=LOOK_SECONDS if look_again else 1.0)
            self.workers.announce_changes(self.settings.announce)
            if self.sampler is not None:
                self.sampler.announce(self.settings.announce)
            if not landed and self.workers.why_hopeless() is not None:
                return None
            if landed or look_again:
                return landed

    def _land(self) -> tuple[Sequence[Landed | GivenBack], Losses]:
        """Wait for tasks that came back, where the run cannot go on without them."""
        landed = self._wait()
        if landed is None:
            raise ClusterError(self.workers.why_hopeless() or "nothing came back")
        return landed, Losses.of(landed, self.deaths)

    def _give_up(self, flow: Flow) -> None:
        """Lose everything that is under way, and begin nothing new."""
        reason = self.workers.why_hopeless() or "nothing came back"
        flights = [*self.flights.cancel(), *self.retries.forget()]
        flow.stop()
        self.note([Record((), Status.LOST, "run", reason)])
        for flight in flights:
            flow.lose(flight.task, reason)

    def _fill(self, flow: Flow) -> None:
        """Hand out tasks until every worker has one in hand.

        All tasks in the hands of a worker that dies are lost with it. Those that are tried again
        get a worker each, with nothing waiting behind them: a second loss is then their own.
        """
        again = self.retries.next(self.workers.threads - len(self.flights))
        careful = self.retries.waiting or again or any(f.attempt for f in self.flights.under_way)
        if careful:
            self.workers.ask_again()  # with a worker less, two of them would get the same
        threads, where = self.workers.threads, self.retries.free_workers
        flow.packing.slots = threads
        handed = list(again)
        window = threads if careful else threads + AHEAD * self.workers.number
        window -= max(len(self.retries.waiting), self.retries.kept_free)
        while (out := len(self.flights) + len(handed)) < window:
            flow.packing.free = max(0, threads - out)
            may_begin = flow.packing.free or flow.may_queue
            task = self.accidents.next_task(flow) if may_begin else None
            if task is None:
                break
            handed.append(Flight(task, 0, where))
        self._send(handed)
        if (idle := threads - len(self.flights)) > 0 and not self.retries.held:
            self.flights.ask_back(idle, flow.packing)

    def _send(self, flights: Sequence[Flight]) -> None:
        if not flights:
            return
        self.flights.send(flights)
        now = time.time()
        for task, attempt, *_ in flights:
            self.settings.announce(
                TaskSubmitted(task.label, task.number, attempt, task.names, now, task.batch)
            )

    def _take_in(self, flow: Flow, landed: Landed | GivenBack, losses: Losses) -> None:
        if isinstance(landed, GivenBack):
            flow.take_back(landed.number, landed.positions)
            return
        flight, outcome = landed.flight, landed.outcome
        task = flight.task
        self.retries.landed(task.number)
        if outcome is None:
            self.accidents.take_loss(flow, landed, losses)
            return
        if outcome.trouble and self.accidents.take_trouble(flow, flight, outcome.trouble):
            remove(outcome.files)
            return
        times = tuple((flow.steps[t.step].step_name, t.seconds, t.n) for t in outcome.times)
        flow.absorb(task, outcome)
        self.settings.announce(
            TaskFinished(
                task.label, task.number, flight.attempt, task.names, outcome.worker,
                outcome.seconds, times, time.time(), outcome.meter, task.batch, outcome.log,
            )
        )  # fmt: skip

    def _look(self) -> Sampled:
        """See what the run takes up."""
        roots = self.settings.roots or current_roots()
        return sample(self.workers.usage, self.place.cache, roots.output)

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
            with self.flights, self.deaths:
                yield bench
        finally:
            try:
                self.client.unregister_worker_plugin(plugin.name)
            except Exception as exc:  # the cluster may be what failed
                logger.debug("could not take the steps away: %s", exc)

    def _loader(self, steps: Sequence[BaseProcessor]) -> Callable[[int, Sequence[Path]], Loaded]:
        def load(number: int, paths: Sequence[Path]) -> Loaded:
            packs = packs_of(paths, number, steps[number], self.workers.threads)
            with self._benches(steps):
                return load_packs(packs, steps[number], self._send, self._land)

        return load

    def note(self, records: Sequence[Record]) -> None:
        """Keep records and announce them."""
        for record in records:
            self.records.append(record)
            self.settings.announce(RecordAdded(record, time.time()))
