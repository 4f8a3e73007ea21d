"""Where tasks are done: a description, the layout, and the connection."""

from mirar_dask.cluster.connection import connect, worker_memory
from mirar_dask.cluster.layout import JobLayout, Layout, job_layout, local_layout
from mirar_dask.cluster.local import machine_layout
from mirar_dask.cluster.settings import Resolved, resolve
from mirar_dask.cluster.spec import ClusterSpec

__all__ = [
    "ClusterSpec",
    "JobLayout",
    "Layout",
    "Resolved",
    "connect",
    "job_layout",
    "local_layout",
    "machine_layout",
    "resolve",
    "worker_memory",
]
