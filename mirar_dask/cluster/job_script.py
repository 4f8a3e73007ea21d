"""What a job of a queue system is asked for, and its script as text; nothing is submitted.

The one other module that knows dask-jobqueue is `queues`, which submits.
"""

from __future__ import annotations

import shlex
import signal
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mirar_dask.cluster.amounts import clock_text, read_walltime
from mirar_dask.cluster.certificates import TLS, security_at
from mirar_dask.cluster.environment import PRELOAD, worker_environment
from mirar_dask.cluster.layout import JobLayout, job_layout
from mirar_dask.cluster.options import check_options
from mirar_dask.cluster.spec import ClusterSpec
from mirar_dask.errors import ClusterError

CLASSES = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "oar": "OARCluster",
    "htcondor": "HTCondorCluster",
}
"""Classes of dask-jobqueue."""
ACCOUNT = {"slurm": "account", "pbs": "account"}
"""What dask-jobqueue calls our project."""
WALLTIME = 30 * 60
"""Seconds of a job where nobody said: dask-jobqueue's own default."""
OURS = {"cores", "processes", "memory", "walltime", "queue", "project", "account", "interface"}
OURS |= {"name", "security", "protocol", "python", "local_directory", "scheduler", "loop"}
OURS |= {"n_workers", "asynchronous", "silence_logs", "job_cls", "scheduler_cls", "nanny"}
OURS |= {"job_kwargs", "base_class_kwargs", "config_name", "host", "dashboard_address"}
OURS |= {"extra", "job_extra", "env_extra", "header_skip", "scheduler_options"}
"""Arguments of dask-jobqueue that options of ours stand for, or that are none of a user's."""
LOGS = "jobs"
"""Folder of what jobs print, in the run's folder."""
RUN_FOLDER = "RUN_FOLDER"
"""Stands for it in a script that is only shown."""


def cluster_class(kind: str) -> Any:
    """Return the class of dask-jobqueue for a queue system."""
    try:
        # Its import makes Ctrl-C end the process at once, and as if all were well.
        with patch.object(signal, "signal"):
            import dask_jobqueue
    except ImportError as error:
        raise ClusterError(
            f"--cluster {kind} needs dask-jobqueue; install it: pip install 'mirar-dask[jobqueue]'"
        ) from error
    return getattr(dask_jobqueue, CLASSES[kind])


def lifetimes(walltime: int) -> tuple[int, int]:
    """Return after how many seconds a worker ends itself, and by how much that is staggered.

    Early enough for the job to end by itself: what starts a job (its prologue, imports) and a
    task that is under way take part of its time. Staggered so that not all jobs end at once.

    Examples
    --------
    >>> lifetimes(1800), lifetimes(60)
    ((1530, 90), (30, 10))
    """
    margin = min(max(walltime // 10, 20), 300)
    stagger = margin // 2
    return walltime - margin - stagger, stagger


def with_dask_defaults(spec: ClusterSpec) -> tuple[ClusterSpec, dict[str, str]]:
    """Fill in what was not said from Dask's own configuration (``jobqueue`` in its YAML files).

    Returns
    -------
    spec : ClusterSpec
    origins : dict
        For each field that was filled in, where its value stands.
    """
    import dask
    from dask.utils import parse_bytes

    cluster_class(spec.kind)  # reads the YAML
    said: Mapping[str, Any] = dask.config.get(f"jobqueue.{spec.kind}", {})
    found: dict[str, Any] = {}
    for name, key in (
        ("cores", "cores"), ("queue", "queue"), ("project", "project"), ("project", "account"),
        ("interface", "interface"), ("local_directory", "local-directory"), ("python", "python"),
    ):  # fmt: skip
        if getattr(spec, name) is None and said.get(key) is not None and name in spec.traits.uses:
            found[name] = said[key]
    if spec.memory is None and said.get("memory"):
        found["memory"] = parse_bytes(said["memory"]) // (said.get("cores") or 1)
    if spec.walltime is None and said.get("walltime"):
        text = str(said["walltime"])
        found["walltime"] = read_walltime(text if text.count(":") != 1 else f"{text}:00")
    if said.get("job-script-prologue"):
        found["prologue"] = (*said["job-script-prologue"], *spec.prologue)
    return replace(spec, **found), dict.fromkeys(found, f"Dask's jobqueue.{spec.kind}")


def layout_of(spec: ClusterSpec) -> JobLayout:
    """Choose the jobs of a specification."""
    return job_layout(
        workers=spec.workers,
        adapt=spec.adapt,
        cores=spec.cores,
        memory=spec.memory,
        need=spec.need,
    )


def job_arguments(spec: ClusterSpec, logs: Path | str) -> dict[str, Any]:
    """Return what dask-jobqueue is told about one job.

    Parameters
    ----------
    spec : ClusterSpec
        With Dask's defaults filled in.
    logs : Path
        Folder for what jobs print.

    Raises
    ------
    UsageError
        If an option of ``--cluster-option`` is not known to this queue system.
    """
    layout = layout_of(spec)
    said = dict(spec.options)
    check_options(spec, _makers(spec.kind), ours=OURS)
    arguments: dict[str, Any] = {
        "cores": layout.processes,
        "processes": layout.processes,
        "memory": f"{layout.job_memory}B",
        "job_name": said.pop("job_name", "mirar-dask"),
        "log_directory": said.pop("log_directory", str(logs)),
        "interface": spec.interface,
        "python": spec.python,
        "local_directory": spec.local_directory,
        "job_script_prologue": [
            *spec.prologue,
            *(f"export {k}={shlex.quote(v)}" for k, v in worker_environment().items()),
            *said.pop("job_script_prologue", ()),
        ],
        "worker_extra_args": [
            *_worker_arguments(spec, layout),
            *said.pop("worker_extra_args", _dask_says(spec.kind, "worker-extra-args")),
        ],
    }
    if spec.queue:
        arguments["queue"] = spec.queue
    if spec.project:
        arguments[ACCOUNT.get(spec.kind, "project")] = spec.project
    if "walltime" in spec.traits.uses:
        text = clock_text(spec.walltime or WALLTIME)
        arguments["walltime"] = text.rpartition(":")[0] if spec.kind == "lsf" else text
    if spec.kind == "htcondor":
        arguments["disk"] = said.pop("disk", "1 GB")
    if spec.kind == "lsf":
        arguments["lsf_units"] = said.pop("lsf_units", "mb")  # else it would be asked of LSF
    return arguments | {k: list(v) if isinstance(v, tuple) else v for k, v in said.items()}


def _dask_says(kind: str, key: str) -> list[str]:
    import dask

    cluster_class(kind)  # reads the YAML
    return list(dask.config.get(f"jobqueue.{kind}.{key}", None) or [])


def _worker_arguments(spec: ClusterSpec, layout: JobLayout) -> list[str]:
    said = [
        *("--preload", PRELOAD, "--no-dashboard", "--dashboard-address", "127.0.0.1:0"),
        # The job has more than its workers, for the process that watches over them.
        *("--memory-limit", f"{layout.memory}B", "--resources", f"MEMORY={layout.memory}"),
    ]
    if "walltime" in spec.traits.uses:
        lifetime, stagger = lifetimes(spec.walltime or WALLTIME)
        said += ["--lifetime", f"{lifetime}s", "--lifetime-stagger", f"{stagger}s"]
    return said


def _makers(kind: str) -> list[Any]:
    """Return what takes the arguments of a cluster and of its jobs."""
    made = cluster_class(kind)
    found = (*made.__mro__[:2], *made.job_cls.__mro__[:2])
    return [maker.__init__ for maker in found]


def job_script(spec: ClusterSpec) -> str:
    """Return the script of a worker's job as text, without submitting anything.

    Parameters
    ----------
    spec : ClusterSpec
        With Dask's defaults filled in.
    """
    scheme, security = "tcp", None
    if spec.encrypted:
        scheme, security = "tls", security_at(spec.certificates or Path(RUN_FOLDER, TLS))
    with tempfile.TemporaryDirectory() as folder, quiet():  # dask-jobqueue makes what it names
        job = cluster_class(spec.kind).job_cls(
            f"{scheme}://SCHEDULER:PORT",
            name="NAME",
            protocol=f"{scheme}://",
            security=security,
            **job_arguments(spec, folder),
        )
        text: str = job.job_script()
    return text.replace(folder, str(Path(RUN_FOLDER, LOGS)))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep dask-jobqueue's advice about its own arguments from users, who do not give them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"dask_jobqueue\.")
        warnings.filterwarnings("ignore", message="OAR Job memory", category=UserWarning)
        yield
