"""The end of the job that this process is in, and what is to be done before: a clock for the run.

A run stops beginning new work some minutes before its job is ended, and is interrupted when what
was under way does not come to its end either. Not by a signal of the queue system: those reach
all tasks of a job, come up to a minute early, and do not exist everywhere.
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from mirar_dask.cluster.squeue import ASK_SECONDS
from mirar_dask.processors.base.outcome import Record

logger = logging.getLogger(__name__)

VARIABLE = "MIRAR_DASK_JOB_ENDS"
"""When the job will be ended, in seconds since the epoch; a driver's job sets it."""
ASK = "ask"
"""Its value where only the queue system knows, because nobody asked for a time."""

STOPPED = "the job's time is nearly over"
"""Why nothing new is begun."""


def margin_of(seconds: float) -> float:
    """Return how long before its end a job of so many seconds begins nothing new.

    Examples
    --------
    >>> margin_of(60), margin_of(1200), margin_of(86400)
    (30.0, 120.0, 300.0)
    """
    return min(max(seconds / 10, 30.0), 300.0)


@dataclass
class TimeLimit:
    """Tells when to stop, and when to end what has not stopped by then."""

    ends: float
    """When the job will be ended, in seconds since the epoch."""
    margin: float
    """So many seconds before that nothing new is begun, and the half before all is ended."""
    ask: Callable[[], float | None] = lambda: None
    """Asks the queue system whether the end was put off."""
    stopped: bool = False
    """Whether it has told the run to stop."""

    @classmethod
    def here(cls, environment: Mapping[str, str] = os.environ) -> TimeLimit | None:
        """Return the limit of the job in which this process runs; None if none is known."""
        said, job = environment.get(VARIABLE, ""), environment.get("SLURM_JOB_ID")
        ask: Callable[[], float | None] = (lambda: ask_end(job)) if job else lambda: None
        ends = ask() if said == ASK else float(said or "nan")
        if ends is None or ends != ends:
            return None
        return cls(ends, margin_of(ends - time.time()), ask)

    def stopping(self) -> str | None:
        """Return why nothing new should be begun, once that is so."""
        return STOPPED if self._near(self.margin) else None

    def cut_short(self, records: Iterable[Record]) -> bool:
        """Tell by what a run says of itself whether it was stopped before its end."""
        return any(record.reason == STOPPED for record in records)

    def ending(self) -> str | None:
        """Return why all should be ended, once what was under way has had its time."""
        if not self._near(self.margin / 2):
            return None
        return f"{STOPPED}, and tasks are still under way"

    def _near(self, seconds: float) -> bool:
        """Tell whether the end is nearer than that, and was not put off."""
        if time.time() < self.ends - seconds:
            return False
        if not self.stopped:
            ends = self.ask()
            if ends is not None and ends > self.ends + 1:
                logger.info("the job was given %.0f more seconds", ends - self.ends)
                self.ends = ends
                return self._near(seconds)
        self.stopped = True
        return True


def ask_end(job_id: str) -> float | None:
    """Ask SLURM when a job will be ended; None where it does not say."""
    command = ["squeue", "--noheader", "--format=%e", f"--jobs={job_id}"]
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, timeout=ASK_SECONDS, check=False
        ).stdout.strip()
        return datetime.fromisoformat(said).timestamp()  # in the local time of the cluster
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
