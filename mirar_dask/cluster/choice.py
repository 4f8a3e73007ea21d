"""What a specification comes to: workers, memory and jobs, told before anything is started."""

from __future__ import annotations

import os
from dataclasses import replace

from mirar_dask.cluster.layout import Need, far_memory
from mirar_dask.cluster.spec import ClusterSpec


def for_tasks(spec: ClusterSpec, task: int, what: str, worker: int) -> ClusterSpec:
    """Have the layout make room for the largest task of a run, where the user left it to us.

    Parameters
    ----------
    spec : ClusterSpec
        As the user gave it.
    task, worker : int
        Bytes that the task fills, and bytes of the smallest worker that has room for it.
    what : str
        What kind of task it is.
    """
    return replace(spec, need=Need(task, what, worker) if worker else None)


def worker_memory(spec: ClusterSpec) -> int:
    """Return the bytes that a worker process will have; 0 where that cannot be known."""
    if spec.kind == "local":
        from mirar_dask.cluster.local import machine_layout

        return machine_layout(spec).memory
    if spec.traits.queue:
        from mirar_dask.cluster.job_script import layout_of, with_dask_defaults

        return layout_of(with_dask_defaults(spec)[0]).memory
    if spec.kind in ("ssh", "slurm-runner"):
        return far_memory(spec.memory, spec.need)[0]
    return 0


def layout_text(spec: ClusterSpec) -> str:
    """Say how many workers there will be, with how much memory, and why; empty if that is unknown.

    Parameters
    ----------
    spec : ClusterSpec
        Of a kind whose workers are started here, or of another.
    """
    if spec.kind in ("serial", "address", "file"):
        return ""
    if spec.traits.queue:
        from mirar_dask.cluster.job_script import layout_of, with_dask_defaults

        jobs = layout_of(with_dask_defaults(spec)[0])
        number = str(jobs.least) if jobs.least == jobs.most else f"{jobs.least} to {jobs.most}"
        each = "1 worker" if jobs.processes == 1 else f"{jobs.processes} workers"
        return f"{number} {'job' if number == '1' else 'jobs'} of {each}; {jobs.reason}"
    if spec.kind == "ssh":
        from mirar_dask.cluster.ssh import processes

        pairs = zip(spec.hosts, processes(spec), strict=True)
        where = ", ".join(f"{n} workers on {host}" for host, n in pairs)
        return f"{where}; {far_memory(spec.memory, spec.need)[1]}"
    if spec.kind == "slurm-runner":
        said = os.environ.get("SLURM_NTASKS")
        tasks = f"this job has {said} tasks" if said else "this is no job"
        memory = far_memory(spec.memory, spec.need)[1]
        return f"a worker in each task of the job but the first ({tasks}); {memory}"
    from mirar_dask.cluster.local import machine_layout

    layout = machine_layout(spec)
    if spec.kind == "threads":
        return f"{layout.workers} threads of this process"
    return layout.reason
