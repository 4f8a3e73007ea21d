"""What is to be hoped for of jobs that have not given a worker, and how that is said.

`queues` asks before the first worker is there, the engine when the last one has gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mirar_dask.cluster.keeper import FRUITLESS, Keeper
from mirar_dask.cluster.squeue import HOPELESS, JobState
from mirar_dask.engine.outlook import Outlook

SILENT_SECONDS = 60.0
"""For how long a queue system may give no answer before nothing is hoped for of its jobs."""
REMEDIES = (
    (r"time limit|walltime|TimeLimit", "give a shorter --walltime"),
    (r"node config|memory|cpu|NodeLimit|BadConstraints|resource", "give fewer --cores or less "
     "--memory"),
    (r"partition|queue|destination", "check --queue"),
    (r"account|project", "check --project"),
    (r"contact|connect|communicat", "see whether the queue system is up, and try again"),
    (r"QOS|limit|Assoc", "give fewer --workers, or ask those who run the queue system"),
)  # fmt: skip
"""What to do, by the words of a queue system that refuses a job."""


@dataclass(frozen=True)
class Prospects:
    """Judges the jobs of one cluster; called, it answers at once, in any thread.

    Parameters
    ----------
    kind : str
        The queue system.
    keeper : Keeper
        Looks after the jobs.
    refused : list of str
        What the queue system said of jobs that it refused, the last at the end.
    logs : Path
        Folder of what jobs print.
    """

    kind: str
    keeper: Keeper
    refused: list[str]
    logs: Path

    def __call__(self) -> Outlook:
        """Say what is to be hoped for."""
        keeper = self.keeper
        if keeper.watch.fruitless >= FRUITLESS:
            reason = (
                f"{FRUITLESS} jobs ended before they gave a worker{last_words(self.logs)}; check "
                f"--python, --prologue and --interface, and see {self.logs}"
            )
            return Outlook(over=True, reason=reason)
        submitted = [job_id for job_id in keeper.jobs.values() if job_id]
        if not submitted:
            return Outlook(reason=refusal(self.refused[-1], self.kind) if self.refused else "")
        known = keeper.states
        states = [known[job_id] for job_id in submitted if job_id in known]
        never = [s.reason for s in states if s.state == "PENDING" and HOPELESS.search(s.reason)]
        if never and len(never) == len(submitted):
            reason = refusal(f"it would wait for ever: {never[0]}", self.kind)
            return Outlook(over=True, reason=reason)
        if keeper.silence > SILENT_SECONDS:
            why = f"--cluster {self.kind}: the queue system gives no answer; see whether it is up"
            return Outlook(reason=why)
        return Outlook(coming=True, reason=waiting(len(submitted), states))

    @property
    def none_submitted(self) -> bool:
        """Whether every job was refused."""
        return bool(self.refused) and not any(self.keeper.jobs.values())


def waiting(jobs: int, states: Iterable[JobState]) -> str:
    """Say what is waited for.

    Examples
    --------
    >>> waiting(2, [JobState("PENDING", "Resources"), JobState("RUNNING")])
    '2 jobs have not given a worker yet (1 pending: Resources)'
    """
    pending = [state for state in states if state.state == "PENDING"]
    reasons = ", ".join(sorted({state.reason for state in pending if state.reason}))
    why = f" ({len(pending)} pending{f': {reasons}' if reasons else ''})" if pending else ""
    return f"{jobs} job{'s have' if jobs != 1 else ' has'} not given a worker yet{why}"


def refusal(message: str, kind: str) -> str:
    """Turn what a queue system says into one sentence with a remedy.

    Parameters
    ----------
    message : str
        What dask-jobqueue says, with the output of the command in it.
    kind : str
        The queue system.
    """
    said = message.partition("stderr:")[2] or message
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    words = lines[-1] if lines else message
    words = re.sub(r"^\w+: (error: )?(Batch job submission failed: )?", "", words).rstrip(". ")
    found = (remedy for pattern, remedy in REMEDIES if re.search(pattern, words, re.IGNORECASE))
    remedy = next(found, "'mirar-dask cluster show' prints the job's script")
    return f"--cluster {kind}: the job was refused ({words}); {remedy}"


def last_words(logs: Path) -> str:
    """Return the last line that a job printed about an error."""
    files = sorted(logs.glob("*"), key=lambda path: path.stat().st_mtime)
    for path in reversed(files):
        lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
        if lines:
            return f" (the last one says: {lines[-1].strip()[:200]})"
    return ""
