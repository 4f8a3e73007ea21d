"""Takes datasets through steps: serially, or as a Dask graph in which each batch is a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mirar_dask.engine.serial import SerialEngine
from mirar_dask.engine.types import Engine, RunResult, RunSettings
from mirar_dask.processors.base.outcome import Record, Status

if TYPE_CHECKING:
    from mirar_dask.engine.driver import DaskEngine

__all__ = ["DaskEngine", "Engine", "Record", "RunResult", "RunSettings", "SerialEngine", "Status"]


def __getattr__(name: str) -> Any:
    # Importing distributed takes half a second; who runs serially need not wait for it.
    if name == "DaskEngine":
        from mirar_dask.engine.driver import DaskEngine

        return DaskEngine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
