"""SerialEngine: the steps one after the other, in this process, without Dask.

It is the oracle: every other engine gives the same pixels to the last bit, and the same records.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Sequence

from mirar_dask.data import Dataset
from mirar_dask.data.cache import task_memory, use_place
from mirar_dask.data.metering import metered
from mirar_dask.engine.events import RecordAdded, RunEnded, RunStarted, TaskFinished
from mirar_dask.engine.opening import open_night
from mirar_dask.engine.places import RunPlace
from mirar_dask.engine.sampling import SECONDS, memory_here, sample
from mirar_dask.engine.tally import STOPPED, any_failed, frame_statuses, stopped_for
from mirar_dask.engine.task_log import kept_log, listening
from mirar_dask.engine.types import RunResult, RunSettings
from mirar_dask.errors import ErrorStack
from mirar_dask.paths import current_roots, use_roots
from mirar_dask.processors.base.blocks import names_of
from mirar_dask.processors.base.claims import Claims, use_claims
from mirar_dask.processors.base.outcome import Record, Status, error_stack
from mirar_dask.processors.base_processor import BaseProcessor

MEMORY_FOR_PIXELS = 1 << 30
"""Bytes of pixels kept in memory between steps; beyond it they go to the cache."""


class SerialEngine:
    """Takes a dataset through steps in this process.

    Parameters
    ----------
    memory : int
        Bytes of pixels to keep in memory between steps.
    """

    def __init__(self, memory: int = MEMORY_FOR_PIXELS) -> None:
        self.memory = memory

    def apply(
        self, processors: Sequence[BaseProcessor], dataset: Dataset
    ) -> tuple[Dataset, ErrorStack]:
        """Run the steps and return mirar's pair."""
        result = self.run(processors, dataset, RunSettings())
        return result.dataset, result.errors

    def run(
        self, steps: Sequence[BaseProcessor], dataset: Dataset, settings: RunSettings
    ) -> RunResult:
        """Run the steps; what fails in them is in the result, never raised."""
        start = time.perf_counter()
        records: list[Record] = []

        def note(new: Sequence[Record]) -> None:
            for record in new:
                records.append(record)
                settings.announce(RecordAdded(record, time.time()))

        roots, looked = settings.roots or current_roots(), -math.inf

        def look() -> None:
            nonlocal looked
            if time.monotonic() - looked >= SECONDS:
                settings.announce(sample(memory_here(), place.cache, roots.output))
                looked = time.monotonic()

        with (
            RunPlace(settings) as place,
            use_roots(roots),
            use_place(place.cache),
            use_claims(Claims()),
            task_memory(self.memory),
            listening(steps),
        ):
            opened = settings.opened or open_night(steps, dataset, settings)
            planned = time.perf_counter()
            names = tuple(step.step_name for step in opened.steps)
            settings.announce(RunStarted(settings.run_id, time.time(), names, opened.frames))
            look()
            note(opened.records)
            for number, found in opened.rows.items():
                note(opened.steps[number].save_table(found))
            dataset, stopped = opened.dataset, False
            worker = f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"
            for number, step in enumerate(opened.steps[opened.next_step :]):
                if not len(dataset):
                    break
                reason = settings.stopping() if settings.stopping else None
                if reason or (settings.fail_fast and any_failed(records)):
                    stopped, dataset = True, Dataset()
                    note([stopped_for(reason) if reason else STOPPED])
                    break
                began = time.perf_counter()
                n = sum(len(batch) for batch in dataset)
                frames = tuple(dict.fromkeys(f for batch in dataset for f in names_of(batch)))
                with metered() as meter, kept_log() as log:
                    stepped = step.step(dataset)
                look()
                note(stepped.records)
                dataset = stepped.dataset
                seconds = time.perf_counter() - began
                failed = sum(len(r.names) for r in stepped.records if r.status is Status.FAILED)
                passed = max(0, n - failed)
                settings.announce(
                    TaskFinished(
                        step.step_name, number, 0, frames, worker, seconds,
                        ((step.step_name, seconds, passed),), time.time(), meter, log=log.lines(),
                    )
                )  # fmt: skip
            dataset = place.keep(dataset)
        statuses = frame_statuses(opened.frames, records, dataset, stopped=stopped)
        end = time.perf_counter()
        phases = {"plan": planned - start, "reduce": end - planned}
        result = RunResult(dataset, tuple(records), statuses, phases, error_stack(records))
        settings.announce(RunEnded(result.counts(), end - start, time.time()))
        return result
