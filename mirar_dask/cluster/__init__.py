"""Where tasks are done: a description, the layout on this machine, and the connection."""

from mirar_dask.cluster.connection import connect, machine_layout
from mirar_dask.cluster.layout import Layout, local_layout
from mirar_dask.cluster.spec import ClusterSpec

__all__ = ["ClusterSpec", "Layout", "connect", "local_layout", "machine_layout"]
