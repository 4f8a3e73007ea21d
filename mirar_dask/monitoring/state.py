"""The state of a run as a pure fold of its events: what every display shows.

`fold` has no clock, no terminal and no file; the same events give the same state, live or read
back from a journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from mirar_dask.engine.events import (
    Event,
    RecordAdded,
    RunEnded,
    RunStarted,
    Sampled,
    TaskFinished,
    TaskLost,
    TaskSubmitted,
    WorkersCounted,
)
from mirar_dask.processors.base.outcome import Record, Status

KEPT_FAILURES = 5
"""How many of the last failures a state holds; all of them are in the run's records."""

WINDOW = 30.0
"""Seconds over which the pace of a run is taken."""
MOMENTS = 15
"""Moments within them that are kept."""

PLAN_STEP = "plan"
"""What the engine names as the step of a caveat that concerns the night as a whole."""

FAILURES = (Status.FAILED, Status.BLOCKED, Status.LOST)


@dataclass(frozen=True, slots=True)
class StepState:
    """How far one step is."""

    done: int = 0
    """Blocks that passed it."""
    running: int = 0
    """Frames of the tasks under way that it is part of."""
    failed: int = 0
    """Frames that failed in it, were blocked or were lost."""
    blocked: int = 0
    """Of those, frames that lack something which failed or is missing."""
    lost: int = 0
    """Of those, frames whose workers died."""
    skipped: int = 0
    """Frames that an earlier run had done."""
    set_aside: int = 0
    """Frames that it set aside."""
    caveats: int = 0
    """Frames that it has a caveat about."""
    seconds: float = 0.0
    """Time that workers spent in it, all together."""
    on_masters: float = 0.0
    """Of that, time in which they made masters."""
    tasks: int = 0
    """Tasks that did it and came back."""

    @property
    def each(self) -> float | None:
        """Seconds that a worker spends on a block; None before the first has passed."""
        return (self.seconds - self.on_masters) / self.done if self.done else None

    @property
    def idle(self) -> bool:
        """Whether no worker has been, or is, at it, and nothing failed in it."""
        return not (self.done or self.running or self.failed)


class Moment(NamedTuple):
    """What had been done at a time."""

    time: float
    steps: Mapping[str, StepState]
    bytes_read: int
    bytes_written: int

    def done(self, step: str) -> int:
        """Blocks that had passed a step."""
        at = self.steps.get(step)
        return at.done if at is not None else 0


class Pace(NamedTuple):
    """How fast a run goes."""

    frames: float
    """Frames a second through the step that most of them pass."""
    bytes_read: float
    """A second."""
    bytes_written: float
    """A second."""


@dataclass(frozen=True, slots=True)
class RunState:
    """How far a run is."""

    run_id: str = ""
    started: float | None = None
    """Seconds since the epoch; None before the run begins."""
    updated: float | None = None
    """Time of the last event."""
    n_frames: int = 0
    workers: int = 0
    """Tasks that can run at once now."""
    dashboard: str | None = None
    host: str = ""
    """Where the driver is, or was."""
    steps: Mapping[str, StepState] = field(default_factory=dict)
    """By name of the step, in the order of the steps."""
    in_flight: Mapping[int, TaskSubmitted] = field(default_factory=dict)
    """Tasks under way, by number."""
    tasks_done: int = 0
    tasks_lost: int = 0
    """Tasks that went down with their worker, those that were tried again included."""
    busy: float = 0.0
    """Seconds that workers spent in tasks, all together."""
    bytes_read: int = 0
    bytes_written: int = 0
    recent: tuple[Moment, ...] = ()
    """What had been done at some moments of the last `WINDOW` seconds, the oldest first."""
    failures: tuple[Record, ...] = ()
    """The last few, the newest at the end."""
    n_failures: int = 0
    """Records of failures, all of them."""
    n_caveats: int = 0
    """Records of caveats."""
    n_skipped: int = 0
    """Records of work that earlier runs had done."""
    sample: Sampled | None = None
    """What the run took up when that was last looked at."""
    counts: Mapping[str, int] | None = None
    """Frames by status; known at the end."""
    seconds: float | None = None
    """How long the run took; known at the end."""

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.counts is not None

    @property
    def pace(self) -> Pace | None:
        """How fast it goes now, and of a run that has ended how fast it went; None at first."""
        if self.started is None or self.updated is None or not self.tasks_done:
            return None
        then = Moment(self.started, {}, 0, 0)
        if self.recent and not self.ended and self.updated - self.recent[0].time >= WINDOW / 2:
            then = self.recent[0]
        seconds = max(self.updated - then.time, 1e-3)
        passed = [at.done - then.done(name) for name, at in self.steps.items()]
        return Pace(
            max(passed, default=0) / seconds,
            (self.bytes_read - then.bytes_read) / seconds,
            (self.bytes_written - then.bytes_written) / seconds,
        )


def steps_of(label: str) -> tuple[str, ...]:
    """Return the steps that a task's label names."""
    return tuple(label.split("+"))


def fold(state: RunState, event: Event) -> RunState:
    """Return the state after one more event; the state itself is not changed."""
    state = replace(state, updated=event.time)
    match event:
        case RunStarted():
            return replace(
                state,
                run_id=event.run_id,
                started=event.time,
                n_frames=len(event.frames),
                workers=event.workers,
                recent=(),
                dashboard=event.dashboard,
                host=event.host,
                # What was said of a step before (its frames were opened) stays said.
                steps={n: state.steps.get(n, StepState()) for n in (*event.steps, *state.steps)},
                in_flight={},
                # Where a run has several configurations, each begins and ends.
                counts=None,
                seconds=None,
            )
        case WorkersCounted():
            return replace(state, workers=event.workers)
        case TaskSubmitted():
            return replace(
                state,
                in_flight={**state.in_flight, event.number: event},
                steps=_running(state.steps, event.label, len(event.names)),
            )
        case TaskFinished():
            steps = _running(state.steps, event.label, -len(event.names))
            # A master that is made ("bias master") is no block that passes the step.
            passed = any(name in steps for name in steps_of(event.label))
            for step, seconds, n in event.times:
                at = steps.get(step, StepState())
                steps[step] = replace(
                    at,
                    done=at.done + n * passed,
                    seconds=at.seconds + seconds,
                    on_masters=at.on_masters + seconds * (not passed),
                    tasks=at.tasks + passed,
                )
            return replace(
                state,
                recent=_recent(state, event.time),
                in_flight=_without(state.in_flight, event.number),
                steps=steps,
                tasks_done=state.tasks_done + 1,
                busy=state.busy + event.seconds,
                bytes_read=state.bytes_read + sum(event.meter.read.values()),
                bytes_written=state.bytes_written + sum(event.meter.written.values()),
            )
        case TaskLost():
            return replace(
                state,
                in_flight=_without(state.in_flight, event.number),
                steps=_running(state.steps, event.label, -len(event.names)),
                tasks_lost=state.tasks_lost + 1,
            )
        case Sampled():
            return replace(state, sample=event, recent=_recent(state, event.time))
        case RecordAdded():
            return _with_record(state, event.record)
        case RunEnded():
            return replace(state, counts=dict(event.counts), seconds=event.seconds, in_flight={})


def fold_all(events: Iterable[Event], state: RunState | None = None) -> RunState:
    """Fold many events, as read back from a journal."""
    state = state or RunState()
    for event in events:
        state = fold(state, event)
    return state


def _recent(state: RunState, now: float) -> tuple[Moment, ...]:
    """Keep the state before an event among the moments, and let go of those that are old."""
    kept = state.recent
    if not kept or now - kept[-1].time >= WINDOW / MOMENTS:
        kept = (*kept, Moment(now, state.steps, state.bytes_read, state.bytes_written))
    while now - kept[0].time > WINDOW:
        kept = kept[1:]
    return kept


def _running(steps: Mapping[str, StepState], label: str, change: int) -> dict[str, StepState]:
    after = dict(steps)
    for name in steps_of(label):
        if name in after:
            after[name] = replace(after[name], running=max(0, after[name].running + change))
    return after


def _without(in_flight: Mapping[int, TaskSubmitted], number: int) -> dict[int, TaskSubmitted]:
    return {key: task for key, task in in_flight.items() if key != number}


def _with_record(state: RunState, record: Record) -> RunState:
    at = state.steps.get(record.step, StepState())
    n = len(record.names)
    if record.status in FAILURES:
        at = replace(
            at,
            failed=at.failed + n,
            blocked=at.blocked + n * (record.status is Status.BLOCKED),
            lost=at.lost + n * (record.status is Status.LOST),
        )
        state = replace(
            state,
            failures=(*state.failures, record)[-KEPT_FAILURES:],
            n_failures=state.n_failures + 1,
        )
    elif record.status is Status.SET_ASIDE:
        at = replace(at, set_aside=at.set_aside + n)
    elif record.status is Status.CAVEATS:
        at = replace(at, caveats=at.caveats + n)
        state = replace(state, n_caveats=state.n_caveats + 1)
    elif record.status is Status.SKIPPED:
        at = replace(at, skipped=at.skipped + n)
        state = replace(state, n_skipped=state.n_skipped + 1)
    if record.step == PLAN_STEP:
        return state
    return replace(state, steps={**state.steps, record.step: at})
