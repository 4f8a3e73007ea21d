"""Ending a run wherever it is: in a queue, in a job, as a process here or on another host.

The command `cancel` calls it. The way that leaves the least behind comes first: what is finished
stays whole, and the driver takes its workers and its cache away.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mirar_dask.errors import ClusterError

if TYPE_CHECKING:
    from mirar_dask.monitoring.job_file import Job
    from mirar_dask.monitoring.standing import AskJob, Standing

BOUND_SECONDS = 60.0
"""How long a driver may take to end in good order, before its job is ended."""
KILL_SECONDS = 60.0
"""How long a queue system may take to end a job."""
LOOK_SECONDS = 0.5

Say = Callable[[str], None]


def cancel_run(
    folder: Path, ask: AskJob, *, say: Say, wait: bool = True, bound: float = BOUND_SECONDS
) -> bool:
    """End a run, and those that go on with it.

    Parameters
    ----------
    folder : Path
        The run's folder.
    ask : callable
        Asks the queue system about a job.
    say : callable
        Told what is done, a sentence at a time.
    wait : bool
        Wait until it is over.
    bound : float
        Seconds after which a driver that does not end is ended with its job.

    Returns
    -------
    bool
        Whether there was anything to end.

    Raises
    ------
    ClusterError
        If it does not end.
    """
    found = False
    standing = _last(folder, ask)
    if standing.folder != folder and not standing.state.over:
        say(f"run {folder.name} goes on as run {standing.run_id}")
    while not standing.state.over:
        found = True
        _end(standing, say)
        if not wait:
            return True
        _wait(standing, ask, say, bound)
        # It may have been handed on to another job in that very moment.
        standing = _last(folder, ask)
    if not found:
        say(f"run {standing.run_id} is not under way ({standing.state}); there is nothing to end")
    return found


def _last(folder: Path, ask: AskJob) -> Standing:
    """Return the last of the runs that go on with a run, once it is known."""
    from mirar_dask.monitoring.chain import chain_of
    from mirar_dask.monitoring.job_file import HANDING_ON
    from mirar_dask.monitoring.standing import read_standing

    end = time.monotonic() + KILL_SECONDS
    while True:
        standing = read_standing(chain_of(folder)[-1], ask)
        if standing.job is None or standing.job.ending != HANDING_ON or time.monotonic() > end:
            return standing
        time.sleep(LOOK_SECONDS)


def _end(standing: Standing, say: Say) -> None:
    """Begin to end a run that is not over."""
    from mirar_dask.cluster.submission import end_job, signal_job
    from mirar_dask.monitoring.cancellation import wish_end
    from mirar_dask.monitoring.job_file import write_job
    from mirar_dask.monitoring.standing import State

    job, sign, run = standing.job, standing.sign, f"run {standing.run_id}"
    who = f"cancelled by {getpass.getuser()} from {socket.gethostname()}"
    if standing.state is State.QUEUED and job is not None:
        end_job(job.job_id)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_job(standing.folder, replace(job, ending=f"{who} before it began ({now})"))
        say(f"{run}: {job.title} was taken out of the queue")
    elif job is not None and _here(job) and not job.steps and signal_job(job.job_id):
        say(f"{run}: its driver in {job.title} was told to end")
    elif sign is not None and sign.host == socket.gethostname():
        os.kill(sign.pid, signal.SIGTERM)
        say(f"{run}: process {sign.pid} was told to end")
    elif sign is None and job is not None:
        end_job(job.job_id)
        say(f"{run}: {job.title} was ended")
    else:
        wish_end(standing.folder, who)
        where = sign.host if sign else "its host"
        say(f"{run}: asked to end; its driver on {where} looks every few seconds")


def _wait(standing: Standing, ask: AskJob, say: Say, bound: float) -> None:
    """Wait until a run is over; end its job if it does not end by itself."""
    from mirar_dask.cluster.submission import end_job

    job, run = standing.job, f"run {standing.run_id}"
    if _over_within(standing, ask, bound):
        kept = f"; what was finished is in {standing.output}" if standing.progress.started else ""
        say(f"{run} is over{kept}")
        return
    if job is None or not _here(job):
        pid = f"process {standing.sign.pid} on {standing.sign.host}" if standing.sign else "it"
        raise ClusterError(
            f"{run} did not end within {bound:.0f} s; end {pid} by 'kill -KILL', after which "
            "'mirar-dask resume' removes what it leaves"
        )
    say(f"{run} did not end within {bound:.0f} s: {job.title} is ended")
    end_job(job.job_id)
    if not _over_within(standing, ask, KILL_SECONDS):
        raise ClusterError(f"{job.title} did not end within {KILL_SECONDS:.0f} s; see 'squeue'")
    say(f"{run} is over")


def _over_within(standing: Standing, ask: AskJob, seconds: float) -> bool:
    from mirar_dask.monitoring.heartbeat import read_sign
    from mirar_dask.monitoring.standing import read_standing

    end = time.monotonic() + seconds
    while True:
        sign = read_sign(standing.folder)  # a glance, while the journal may be long
        if sign is None or not sign.alive():
            now = read_standing(standing.folder, ask)
            told = ask(now.job) if now.job and now.job.job_id else None
            if now.state.over and (told is None or not told[0]):
                return True
        if time.monotonic() > end:
            return False
        time.sleep(LOOK_SECONDS)


def _here(job: Job) -> bool:
    """Whether the queue system of a job can be told from here."""
    return job.system == "slurm" and bool(job.job_id) and shutil.which("scancel") is not None
