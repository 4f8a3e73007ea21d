"""Submitting a driver's job to SLURM, and ending one; refusals become one sentence.

`mirar_dask.submit` decides what is submitted, `driver_job` writes the script.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

from mirar_dask.cluster.spec import ClusterSpec
from mirar_dask.cluster.squeue import HOPELESS, ask_slurm_now
from mirar_dask.errors import ClusterError, UsageError

COMMAND_SECONDS = 60
"""How long to wait for a command of the queue system."""
LOOK_SECONDS = 3.0
"""How long a job that was taken is looked at, for reasons for which it would never start."""


def need_sbatch() -> None:
    """Make sure that jobs can be submitted from here.

    Raises
    ------
    UsageError
        If that is not so.
    """
    if shutil.which("sbatch") is None:
        raise UsageError(
            "there is no 'sbatch' here; run this where jobs are submitted (a login node), write "
            "the job's script with --script FILE, or use 'mirar-dask run'"
        )


def try_script(script: Path) -> None:
    """Ask SLURM whether it would take a job; nothing is submitted.

    Raises
    ------
    ClusterError
        If it would not: what it says, and the remedy.
    """
    _sbatch("--test-only", str(script))


def try_workers(spec: ClusterSpec) -> None:
    """Ask SLURM whether it would take the job of a worker; nothing is submitted.

    Parameters
    ----------
    spec : ClusterSpec
        Of kind ``slurm``.

    Raises
    ------
    ClusterError
        If it would not, or dask-jobqueue is not installed.
    """
    from mirar_dask.cluster.job_script import job_script, with_dask_defaults

    _sbatch("--test-only", given=job_script(with_dask_defaults(spec)[0]), whose="worker")


def submit_script(script: Path) -> str:
    """Submit a job and return its number.

    Raises
    ------
    ClusterError
        If SLURM refuses it, or takes it and says that it could never start; it is cancelled then.
    """
    job_id = _sbatch("--parsable", str(script)).strip().partition(";")[0]
    end = time.monotonic() + LOOK_SECONDS
    while time.monotonic() < end:
        found = (ask_slurm_now([job_id]) or {}).get(job_id)
        if found is None or found.state != "PENDING":
            break
        if HOPELESS.search(found.reason):
            end_job(job_id)
            raise ClusterError(_refusal(found.reason, "driver"))
        if found.reason == "Resources":
            break  # it was looked at, and waits for what it may get
        time.sleep(0.3)
    return job_id


def signal_job(job_id: str, name: str = "TERM") -> bool:
    """Send a signal to the process that a job's script became; tell whether SLURM took it."""
    return _call("scancel", f"--signal={name}", "--batch", job_id).returncode == 0


def end_job(job_id: str) -> None:
    """End a job, or take it out of the queue.

    Raises
    ------
    ClusterError
        If SLURM does not answer or refuses.
    """
    done = _call("scancel", job_id)
    if done.returncode and "Invalid job id" not in done.stderr:
        words = " ".join(done.stderr.split()) or "no reason given"
        raise ClusterError(f"job {job_id} could not be cancelled ({words}); try again later")


def _sbatch(*words: str, given: str | None = None, whose: str = "driver") -> str:
    done = _call("sbatch", *words, given=given)
    if done.returncode:
        raise ClusterError(_refusal(done.stderr or done.stdout, whose))
    return done.stdout


def _refusal(said: str, whose: str) -> str:
    """Say in one sentence why the job of the driver, or of a worker, was refused."""
    from mirar_dask.cluster.prospects import refusal

    text = refusal(said.replace("allocation failure: ", ""), "slurm")
    text = text.replace("--cluster slurm: the job", f"the {whose}'s job")
    if whose == "worker":
        return text
    text = text.replace("mirar-dask cluster show", "mirar-dask submit ... --dry-run")
    return re.sub(r"--(cores|memory|walltime|queue|project)\b", r"--driver-\1", text)


def _call(*command: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            input=given,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise UsageError(
            f"there is no '{command[0]}' here; run this where jobs are submitted (a login node)"
        ) from None
    except subprocess.TimeoutExpired:
        raise ClusterError(
            f"{command[0]} did not answer within {COMMAND_SECONDS} s; see whether SLURM is up, "
            "and try again"
        ) from None
