"""The night as one sees it: a model folded from a run's journal and plan, and its JSON form.

The page and the night's report show it; it knows no server and no picture.
"""

from mirar_dask.monitoring.night.detail import (
    cell_detail,
    failure_detail,
    frame_detail,
    task_detail,
)
from mirar_dask.monitoring.night.follow import RunFollower
from mirar_dask.monitoring.night.payload import everything, payload
from mirar_dask.monitoring.night.view import NightView

__all__ = [
    "NightView",
    "RunFollower",
    "cell_detail",
    "everything",
    "failure_detail",
    "frame_detail",
    "payload",
    "task_detail",
]
