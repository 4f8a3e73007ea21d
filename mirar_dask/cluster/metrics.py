"""Figures of runs on the scheduler's own ``/metrics``, for Prometheus.

The driver tells its figures once a second at most, whole, so that what is lost on the way does not
matter. The scheduler keeps those of the runs that go on, and the sum of those that are over. What
the figures mean it does not know: names, help and labels come with them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from distributed import Client, Scheduler, SchedulerPlugin

from mirar_dask.engine.driver import DaskEngine
from mirar_dask.engine.types import Engine

logger = logging.getLogger(__name__)

PREFIX = "mirar_dask_"
OPERATION = "mirar_dask_metrics"
TELL_SECONDS = 1.0
"""Shortest time between two messages."""
SIGN_SECONDS = 10.0
"""Longest time between two messages."""
SEND_SECONDS = 5.0
"""How long the last message may take."""
RESULTS = WELL, FAILURES, INTERRUPTED, FAILED, DIED = (
    "well", "failures", "interrupted", "failed", "died",
)  # fmt: skip
"""Results of runs: two that came to their end, one that was told to stop, one that an error ended,
and one whose driver went away without a word."""

Family = tuple[str, str, tuple[str, ...], str]
"""Name, help, labels, and kind: ``counter``, ``gauge`` (summed over runs) or ``least``."""
Value = tuple[str, list[str], float]
"""Name, labels, value."""

OWN: tuple[Family, ...] = (
    ("active_runs", "Runs that go on.", (), "gauge"),
    ("runs_total", "Runs that are over, by their result.", ("result",), "counter"),
    ("last_end_timestamp_seconds", "When a run was over last.", ("result",), "gauge"),
    (
        "last_sign_timestamp_seconds",
        "When the runs that go on were last heard of; the one that is silent longest.",
        (),
        "least",
    ),
)
"""What is told of runs as such."""


class Source(Protocol):
    """Figures of one run."""

    families: tuple[Family, ...]

    def values(self) -> list[Value]:
        """Return the figures as they are now; counters never fall."""


# -- on the scheduler --------------------------------------------------------------------------


@dataclass
class _Run:
    pipeline: str
    client: str
    values: list[Value]
    seen: float


@dataclass
class Ledger:
    """The figures of all runs that a scheduler has seen."""

    families: dict[str, Family] = field(default_factory=lambda: {f[0]: f for f in OWN})
    runs: dict[str, _Run] = field(default_factory=dict)
    sums: dict[tuple[str, tuple[str, ...]], float] = field(
        default_factory=lambda: defaultdict(float)
    )
    """Of runs that are over; labels begin with the pipeline."""
    ends: dict[tuple[str, str], float] = field(default_factory=dict)
    """When a run was over last, by pipeline and result."""

    def take(
        self,
        *,
        run: str,
        client: str,
        pipeline: str,
        values: list[Value],
        families: list[Family] | None = None,
        result: str | None = None,
    ) -> None:
        """Take in the figures of a run; with a result, it is over."""
        for name, text, labels, kind in families or ():
            self.families.setdefault(name, (name, text, tuple(labels), kind))
        self.runs[run] = _Run(pipeline, client, values, time.time())
        for each in RESULTS:  # Prometheus sees no increase in what was not there before
            self.sums["runs_total", (pipeline, each)] += 0
        if result is not None:
            self.close(run, result)

    def close(self, run: str, result: str) -> None:
        """Add a run to those that are over."""
        over = self.runs.pop(run)
        for name, labels, value in over.values:
            if name in self.families and self.families[name][3] == "counter":
                self.sums[name, (over.pipeline, *labels)] += value
        self.sums["runs_total", (over.pipeline, result)] += 1
        self.ends[over.pipeline, result] = time.time()

    def lose(self, client: str) -> None:
        """Note that a driver has gone: its runs that are not over never will be."""
        for name in [name for name, run in self.runs.items() if run.client == client]:
            self.close(name, DIED)

    def figures(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Return all figures: name, labels (the pipeline first), value."""
        found: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
        for (name, labels), value in self.sums.items():
            found[name][labels] = value
        for (pipeline, result), moment in self.ends.items():
            found["last_end_timestamp_seconds"][pipeline, result] = moment
            found["active_runs"].setdefault((pipeline,), 0)
        for run in self.runs.values():
            own: list[Value] = [
                ("active_runs", [], 1),
                ("last_sign_timestamp_seconds", [], run.seen),
            ]
            for name, parts, value in (*run.values, *own):
                labels = (run.pipeline, *parts)
                least = self.families[name][3] == "least" if name in self.families else False
                if least:
                    found[name][labels] = min(value, found[name].get(labels, value))
                else:
                    found[name][labels] = found[name].get(labels, 0) + value
        return found


LEDGER = Ledger()
"""The ledger of this process: schedulers that follow one another in it go on with it."""


class Metrics(SchedulerPlugin):
    """Receives the figures of runs, and serves them with the scheduler's own."""

    name = "mirar_dask-metrics"
    idempotent = True

    def start(self, scheduler: Scheduler) -> None:
        """Get ready; Dask calls this where the plugin arrives."""
        scheduler.handlers[OPERATION] = self.take
        serve(LEDGER)

    def take(self, **told: Any) -> None:
        """Take in what a driver tells."""
        LEDGER.take(**told)

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """Note that a driver has gone."""
        LEDGER.lose(client)


class Collector:
    """Gives a ledger to Prometheus's library, which asks it at each scrape."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def collect(self) -> Iterator[Any]:
        """Yield the families that have figures."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for name, values in self.ledger.figures().items():
            if name not in self.ledger.families:
                continue
            _, text, labels, kind = self.ledger.families[name]
            make = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
            family = make(PREFIX + name, text, labels=("pipeline", *labels))
            for found, value in sorted(values.items()):
                family.add_metric(found, value)
            yield family


_served: list[Ledger] = []


def serve(ledger: Ledger) -> None:
    """Let Prometheus's library, if it is installed, ask for a ledger; once in a process."""
    if ledger in _served:
        return
    try:
        from prometheus_client import REGISTRY
    except ImportError:
        return  # Dask's own page says what is missing
    REGISTRY.register(Collector(ledger))
    _served.append(ledger)


# -- at the driver -----------------------------------------------------------------------------


@contextmanager
def telling_metrics(engine: Engine, source: Source, *, run: str, pipeline: str) -> Iterator[None]:
    """Tell the scheduler of an engine the figures of the run inside the block.

    A scheduler that cannot take them (it lacks this package, say) is left alone, with a line in
    the log; the run goes on without.

    Parameters
    ----------
    engine : Engine
        One without a scheduler has nobody to tell.
    source : Source
        The figures.
    run, pipeline : str
        Names.
    """
    if not isinstance(engine, DaskEngine):
        yield
        return
    told = {"run": run, "client": engine.client.id, "pipeline": pipeline}
    teller = _Teller(engine.client, source, told)
    ended = threading.Event()
    thread = threading.Thread(
        target=teller.keep_telling, args=(ended,), name=f"metrics {run}", daemon=True
    )
    thread.start()
    result = FAILED
    try:
        yield
        failures = any(n for name, _, n in source.values() if name == "failures_total")
        result = FAILURES if failures else WELL
    except KeyboardInterrupt:
        result = INTERRUPTED
        raise
    finally:
        ended.set()
        thread.join(SEND_SECONDS)  # a scheduler that hangs must not hold the run's end up
        if not thread.is_alive():
            teller.tell(result=result)


class _Teller:
    """Tells one scheduler of one run."""

    def __init__(self, client: Client, source: Source, told: dict[str, str]) -> None:
        self.client = client
        self.source = source
        self.told = told
        self.able = True

    def keep_telling(self, ended: threading.Event) -> None:
        """Tell what changed, every now and then."""
        try:
            self.client.register_plugin(Metrics())
        except Exception as error:  # whatever the scheduler's host lacks, the run does without
            logger.info("no figures for Prometheus: the scheduler does not take them (%s)", error)
            self.able = False
            return
        before, moment = None, -SIGN_SECONDS
        families = self.source.families
        while self.able:
            values, now = self.source.values(), time.monotonic()
            if values != before or now - moment >= SIGN_SECONDS:
                self.tell(families=families, values=values)
                before, moment = values, now
            if ended.wait(TELL_SECONDS):
                return

    def tell(self, *, values: list[Value] | None = None, **more: Any) -> None:
        """Send one message."""
        if not self.able:
            return
        values = self.source.values() if values is None else values
        message = {**self.told, "values": values, **more}
        try:
            self.client.sync(
                getattr(self.client.scheduler, OPERATION), **message, callback_timeout=SEND_SECONDS
            )
        except Exception as error:  # a scheduler that is gone is the driver's matter, not ours
            logger.debug("figures were not told: %r", error)
