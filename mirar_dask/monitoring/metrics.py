"""A run as figures for Prometheus: a fold of its events into counters and gauges with few labels.

`run` hands it to `cluster.metrics`, which takes the figures to the scheduler; there they are served
beside Dask's own. Labels are what a pipeline's author named (steps, processors, kinds), never
frames, nights or runs: their number does not grow with the nights.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mirar_dask.engine.events import (
    Event,
    RecordAdded,
    RunEnded,
    RunStarted,
    Sampled,
    TaskFinished,
    TaskLost,
    TaskSubmitted,
)
from mirar_dask.monitoring.state import FAILURES, steps_of
from mirar_dask.processors.base.outcome import Record, Status

MOST_KINDS = 50
"""Kinds of failures that are told apart; the rest are called `OTHER`."""
OTHER = "other"

FAMILIES: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("tasks_total", "Tasks that came back or went down.", ("status",), "counter"),
    ("task_seconds_total", "Seconds that workers spent in tasks.", (), "counter"),
    (
        "step_tasks_total",
        "Tasks in which a processor took part.",
        ("step", "processor", "status"),
        "counter",
    ),
    (
        "step_images_total",
        "Images that a processor was done with, by what became of them there.",
        ("step", "processor", "status"),
        "counter",
    ),
    (
        "step_seconds_total",
        "Seconds that workers spent in a processor.",
        ("step", "processor"),
        "counter",
    ),
    ("read_bytes_total", "Bytes of pixels that were read.", ("kind",), "counter"),
    ("written_bytes_total", "Bytes of files that were written.", ("kind",), "counter"),
    ("failures_total", "Failures, by the class of the error.", ("step", "kind"), "counter"),
    ("frames_total", "Raw frames of runs that are over.", ("status",), "counter"),
    ("active_frames", "Raw frames of runs that go on.", (), "gauge"),
    ("active_tasks", "Tasks in the hands of workers.", (), "gauge"),
    ("cache_files", "Files in the caches of runs that go on.", (), "gauge"),
    ("cache_bytes", "Bytes in the caches of runs that go on.", (), "gauge"),
    ("cache_free_bytes", "Bytes free where the cache is; the least of all runs.", (), "least"),
    ("disk_free_bytes", "Bytes free where products go; the least of all runs.", (), "least"),
)
"""Name, help, labels and kind of all figures of a run; ``least`` is a gauge too."""

Labels = tuple[str, ...]


@dataclass
class RunMetrics:
    """The figures of one run; use it as a listener. Any thread may ask for its values."""

    processors: Mapping[str, str] = field(default_factory=dict)
    """Class of each step's processor, by the step's name."""
    families = FAMILIES
    _values: dict[tuple[str, Labels], float] = field(default_factory=lambda: defaultdict(float))
    _steps: frozenset[str] = frozenset()
    _kinds: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def values(self) -> list[tuple[str, list[str], float]]:
        """Return name, labels and value of every figure that is there by now."""
        with self._lock:
            return [(name, list(labels), value) for (name, labels), value in self._values.items()]

    def over(self, frames: Iterable[Status]) -> None:
        """Take in what became of each frame, when the run is over."""
        with self._lock:
            for status, n in Counter(frames).items():
                self._add("frames_total", n, status.value)

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        with self._lock:
            self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._steps |= frozenset(event.steps)
                self._set("active_frames", len(event.frames))
                for status in Status:  # Prometheus sees no increase in what was not there before
                    self._add("frames_total", 0, status.value)
            case TaskSubmitted():
                self._add("active_tasks", 1)
            case TaskFinished():
                self._add("active_tasks", -1)
                self._task(event.label, "finished")
                self._add("task_seconds_total", event.seconds)
                # A master that is made ("bias master") is no image that passes the step.
                passed = any(name in self._steps for name in steps_of(event.label))
                for name, seconds, n in event.times:
                    self._at("step_seconds_total", seconds, name)
                    if passed and name in self._steps:
                        self._at("step_images_total", n, name, "passed")
                for kind, n in event.meter.read.items():
                    self._add("read_bytes_total", n, kind)
                for kind, n in event.meter.written.items():
                    self._add("written_bytes_total", n, kind)
            case TaskLost():
                self._add("active_tasks", -1)
                self._task(event.label, "retried" if event.will_retry else "lost")
            case RecordAdded():
                self._record(event.record)
            case Sampled():
                for name in ("cache_files", "cache_bytes"):
                    self._set(name, getattr(event, name))
                for place in ("cache", "disk"):
                    self._set(f"{place}_free_bytes", getattr(event, f"{place}_free"))
            case RunEnded():
                self._set("active_tasks", 0)

    def _task(self, label: str, status: str) -> None:
        self._add("tasks_total", 1, status)
        for name in dict.fromkeys(map(self._step, steps_of(label))):
            self._at("step_tasks_total", 1, name, status)

    def _record(self, record: Record) -> None:
        if record.names:
            self._at("step_images_total", len(record.names), record.step, record.status.value)
        if record.status in FAILURES:
            kind = record.report.error_name if record.report else record.status.value
            if kind not in self._kinds and len(self._kinds) >= MOST_KINDS:
                kind = OTHER
            self._kinds.add(kind)
            self._add("failures_total", 1, self._step(record.step), kind)

    def _step(self, name: str) -> str:
        """Return the step that a task's word means: ``bias master`` is of ``bias``."""
        return name if name in self._steps else name.partition(" ")[0]

    def _at(self, name: str, n: float, step: str, *labels: str) -> None:
        step = self._step(step)
        self._add(name, n, step, self.processors.get(step, ""), *labels)

    def _add(self, name: str, n: float, *labels: str) -> None:
        self._values[name, labels] += n

    def _set(self, name: str, n: float, *labels: str) -> None:
        self._values[name, labels] = n
