"""Where tasks are done: a description, the layout, and the connection."""

from mirar_dask.cluster.choice import for_tasks, layout_text, worker_memory
from mirar_dask.cluster.connection import connect
from mirar_dask.cluster.layout import JobLayout, Layout, Need, job_layout, local_layout
from mirar_dask.cluster.local import machine_layout
from mirar_dask.cluster.settings import Resolved, resolve
from mirar_dask.cluster.spec import ClusterSpec

__all__ = [
    "ClusterSpec",
    "JobLayout",
    "Layout",
    "Need",
    "Resolved",
    "connect",
    "for_tasks",
    "job_layout",
    "layout_text",
    "local_layout",
    "machine_layout",
    "resolve",
    "worker_memory",
]
