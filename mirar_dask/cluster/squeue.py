"""What SLURM says of jobs, read from `squeue`; nothing is started or submitted.

`queues` and `keeper` ask for the jobs of workers while Dask runs, `submission` for a driver's job
from a shell, without Dask.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ASK_SECONDS = 10
"""How long to wait for an answer of the queue system."""
HOPELESS = re.compile("TimeLimit|NodeLimit|BadConstraints|InvalidAccount|InvalidQOS|PartitionDown$")
"""Reasons of SLURM for which a pending job would never start."""


@dataclass(frozen=True)
class JobState:
    """What a queue system says of a job that has not ended."""

    state: str
    """``PENDING``, ``RUNNING`` and so on."""
    reason: str = ""
    """Why it is pending, in the queue system's words."""


States = Mapping[str, JobState]
"""State of jobs by their id; a job that ended is not there."""


def squeue_command(job_ids: Iterable[str]) -> list[str]:
    """Return the command whose answer `read_squeue` reads."""
    return ["squeue", "--noheader", "--format=%i|%T|%r", f"--jobs={','.join(job_ids)}"]


async def ask_slurm(job_ids: Iterable[str]) -> States | None:
    """Ask SLURM for the state of jobs, on an event loop; None where it does not answer."""
    pipe = asyncio.subprocess.PIPE
    command = squeue_command(job_ids)
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    try:
        out, err = await asyncio.wait_for(process.communicate(), ASK_SECONDS)
    except TimeoutError:
        process.kill()
        return None
    return read_answer(process.returncode or 0, out.decode(), err.decode())


def ask_slurm_now(job_ids: Iterable[str]) -> States | None:
    """Ask SLURM for the state of jobs and wait; None where it does not answer, or is not here."""
    try:
        done = subprocess.run(
            squeue_command(job_ids),
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS,
            check=False,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return read_answer(done.returncode, done.stdout, done.stderr)


def read_answer(code: int, out: str, err: str) -> States | None:
    """Read what squeue printed; None if it failed, but for jobs that it has forgotten."""
    if code:
        return {} if "Invalid job id" in err else None
    return read_squeue(out)


def read_squeue(text: str) -> dict[str, JobState]:
    r"""Read the lines of ``squeue --format=%i|%T|%r``; what is ending counts as ended.

    Examples
    --------
    >>> read_squeue("7|PENDING|Resources\n8|COMPLETING|None")
    {'7': JobState(state='PENDING', reason='Resources')}
    """
    found = {}
    for line in text.splitlines():
        job_id, _, rest = line.strip().partition("|")
        state, _, reason = rest.partition("|")
        if state and state != "COMPLETING":
            found[job_id] = JobState(state, reason)
    return found
