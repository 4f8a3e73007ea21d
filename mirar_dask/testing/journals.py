"""Journals of nights that never were: a run's folder of any size, for whatever shows runs.

Tests and trials of the page and the report use it; the events are those that an engine announces.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirar_dask.data.metering import Meter
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
from mirar_dask.engine.journal import Journal
from mirar_dask.errors import ErrorReport
from mirar_dask.monitoring import run_folder
from mirar_dask.processors.base.outcome import Record, Status

STEPS = (
    *(("load", "FrameLoader", "source"), ("header", "HeaderNormaliser", "header")),
    *(("bias", "BiasCalibrator", "gather"), ("dark", "DarkCalibrator", "gather")),
    *(("flat", "FlatCalibrator", "gather"), ("save", "ImageSaver", "image")),
    *(("group", "ImageBatcher", "pass"), ("stack", "ImageStacker", "batch")),
    *(("savestack", "ImageSaver", "image"), ("detect", "SourceDetector", "batch")),
)
"""Name, processor and form of each step."""
CHAIN = ("bias", "dark", "flat", "save")
ENDING = ("stack", "savestack", "detect")
REASONS = (
    (Status.FAILED, "flat", "InvalidImageError", "the frame is saturated in 98 % of its pixels"),
    (Status.FAILED, "save", "WriteError", "no space left on the device"),
    (Status.BLOCKED, "dark", "", "there is no dark of 900 s"),
    (Status.LOST, "bias", "", "its worker was killed by signal 9 (3 attempts)"),
)
"""What goes wrong: status, step, class of the error, reason."""


@dataclass(frozen=True)
class JournalOfNight:
    """A simulated run.

    Examples
    --------
    >>> from pathlib import Path
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as out:
    ...     folder = JournalOfNight(frames=40, batches=4).write(Path(out) / "imager" / "20260101")
    ...     sorted(path.name for path in folder.iterdir())
    ['journal.jsonl', 'plan.json', 'summary.json']
    """

    frames: int = 10_000
    """Raw frames of objects; calibration frames come on top."""
    batches: int = 200
    workers: int = 16
    seed: int = 1
    bad: float = 0.01
    """Share of the frames that come to grief."""
    lost: float = 0.002
    """Share of the tasks that go down with their worker and are tried again."""
    pack: int = 5
    """Frames a task."""
    started: float = field(default_factory=lambda: time.time() - 4000.0)
    run_id: str = "20260101T000000-0000"

    @property
    def members(self) -> list[list[str]]:
        """Names of the frames of each batch."""
        return [
            [
                f"F{batch:04d}_r_{n:05d}.fits"
                for n in range(len(range(batch, self.frames, self.batches)))
            ]
            for batch in range(self.batches)
        ]

    def write(self, night: Path, *, until: float = 1.0) -> Path:
        """Write the folder of the run, and return it.

        Parameters
        ----------
        night : Path
            The night's output folder.
        until : float
            How far the run is: a share of its events. At 1 it has ended and has a summary; before
            it is one that was interrupted.
        """
        folder = run_folder.make_run_folder(night, self.run_id)
        (folder / run_folder.PLAN).write_text(json.dumps(self.plan()))
        events = list(self.events())
        if until < 1.0:
            events = events[: int(until * len(events))]
        with Journal(folder / run_folder.JOURNAL) as journal:
            for event in events:
                journal(event)
        if until >= 1.0:
            ended = events[-1]
            assert isinstance(ended, RunEnded)
            summary = {
                "run_id": self.run_id,
                "started": "2026-01-01T00:00:00.000+00:00",
                "seconds": ended.seconds,
                "counts": {"frames": sum(ended.counts.values()), **ended.counts},
                "products": [],
                "failures": [],
                "phases": {},
                "folders": {"output": str(night)},
            }
            (folder / run_folder.SUMMARY).write_text(json.dumps(summary))
        return folder

    def calibrations(self) -> dict[str, list[str]]:
        """Return the names of the frames of each master, by its step."""
        return {
            step: [f"{step}_{n:04d}.fits" for n in range(20)] for step in ("bias", "dark", "flat")
        }

    def plan(self) -> dict[str, Any]:
        """Return the plan, as `Plan.to_json` gives it."""
        total = self.frames + 60
        known = {"stack": self.frames, "savestack": None, "detect": None}
        return {
            "frames": total,
            "steps": [
                {
                    "name": name,
                    "processor": processor,
                    "description": f"What {processor} does",
                    "form": form,
                    "segment": -1 if form in ("source", "header") else 0,
                    "regroup": "none",
                    "batches": self.batches,
                    "images": known.get(name, self.frames),
                    "set_aside": 0,
                }
                for name, processor, form in STEPS
            ],
            "masters": [
                {
                    "step": step,
                    "name": f"{step}_1x1_0123456789abcdef0123.fits",
                    "frames": names,
                    "used_by": self.frames,
                    "made": True,
                }
                for step, names in self.calibrations().items()
            ],
            "batches": [
                {"name": name, "segment": 0, "members": names, "steps": steps, "before": before}
                for name, names, steps, before in self._batches()
            ],
            "missing": [],
            "caveats": [],
            "late": ["step 'stack' works on whole batches"],
        }

    def _batches(self) -> Iterator[tuple[str, list[str], tuple[str, ...], str]]:
        for step, names in self.calibrations().items():
            yield step, names, (step,), step
        for place, names in enumerate(self.members):
            yield f"F{place:04d} r", names, (*CHAIN, *ENDING), "end"

    def events(self) -> Iterator[Event]:
        """Yield the events of the run, in their order."""
        draw = random.Random(self.seed)
        masters, members = self.calibrations(), self.members
        frames = tuple(name for names in (*masters.values(), *members) for name in names)
        clock = _Clock(self.started, draw, self.workers)
        steps = tuple(name for name, _, _ in STEPS)
        yield RunStarted(self.run_id, self.started, steps, frames, self.workers, None)
        for step, names in masters.items():
            yield from clock.task(f"{step} master", step, tuple(names), ((step, 2.0, 1),))
            reason = f"Reject the images with OBSCLASS = {step}"
            yield RecordAdded(Record(tuple(names), Status.SET_ASIDE, step, reason), clock.now)
        counts = {status.value: 0 for status in Status}
        counts[Status.SET_ASIDE.value] = sum(map(len, masters.values()))
        for batch, names in enumerate(members):
            name, good = f"F{batch:04d} r", []
            for place in range(0, len(names), self.pack):
                pack = tuple(names[place : place + self.pack])
                bad = {one: draw.choice(REASONS) for one in pack if draw.random() < self.bad}
                if draw.random() < self.lost:
                    yield from clock.lose("+".join(CHAIN), name, pack)
                times = tuple((step, 0.3 * len(pack), len(pack) - len(bad)) for step in CHAIN)
                yield from clock.task("+".join(CHAIN), name, pack, times)
                for one, (status, step, kind, why) in bad.items():
                    counts[status.value] += 1
                    yield RecordAdded(_record(one, status, step, kind, why), clock.now)
                good += [one for one in pack if one not in bad]
            ending = tuple((step, 3.0, 1) for step in ENDING)
            yield from clock.task("+".join(ENDING), name, tuple(good), ending)
            counts[Status.SUCCEEDED.value] += len(good)
            yield clock.sample()
        yield RunEnded(counts, clock.now - self.started, clock.now)


@dataclass
class _Clock:
    """Hands tasks to the worker that is free first."""

    now: float
    draw: random.Random
    workers: int
    number: int = 0

    def __post_init__(self) -> None:
        self.free = [self.now] * self.workers

    def task(
        self,
        label: str,
        batch: str,
        names: tuple[str, ...],
        times: Sequence[tuple[str, float, int]],
    ) -> Iterator[Event]:
        start, place = min((time, place) for place, time in enumerate(self.free))
        seconds = sum(spent for _, spent, _ in times) * self.draw.uniform(0.8, 1.4)
        self.free[place] = start + seconds
        self.now = max(self.now, start)
        self.number += 1
        worker = f"node{place // 4}:{1000 + place}:1"
        yield TaskSubmitted(label, self.number, 0, names, start, batch)
        self.now = max(self.now, start + seconds)
        log = (f"{time.strftime('%H:%M:%S', time.gmtime(self.now))} INFO mirar_dask: {label}",)
        meter = Meter(read={"raw": 8 << 20}, written={"products": 16 << 20})
        yield TaskFinished(
            label, self.number, 0, names, worker, seconds, tuple(times), self.now, meter, batch, log
        )

    def lose(self, label: str, batch: str, names: tuple[str, ...]) -> Iterator[Event]:
        self.number += 1
        yield TaskSubmitted(label, self.number, 0, names, self.now, batch)
        yield TaskLost(label, self.number, 0, names, "killed by signal 9", True, self.now + 1.0)

    def sample(self) -> Event:
        return Sampled(
            self.now,
            memory=int(self.draw.uniform(20e9, 40e9)),
            fullest=self.draw.uniform(0.3, 0.9),
            memory_limit=64 << 30,
            cache_files=self.draw.randrange(200, 900),
            cache_bytes=int(self.draw.uniform(1e9, 9e9)),
            cache_free=200 << 30,
            disk_free=int(500e9 - 1e6 * self.number),
            disk_size=1 << 40,
        )


def _record(name: str, status: Status, step: str, kind: str, why: str) -> Record:
    if not kind:
        return Record((name,), status, step, why)
    report = ErrorReport(_error(kind, why), step, [name])
    return Record((name,), status, step, f"{kind}: {why}", report)


def _error(kind: str, why: str) -> Exception:
    made: Exception = type(kind, (Exception,), {})(why)
    return made
