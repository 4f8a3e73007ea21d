"""Running a function of the user's own on batches of source tables."""

from __future__ import annotations

from collections.abc import Callable

from mirar_dask.data import DataBatch, SourceBatch
from mirar_dask.errors import ProcessorError
from mirar_dask.processors.base_processor import BaseSourceProcessor
from mirar_dask.processors.utils.header_values import callable_name


class CustomSourceTableModifier(BaseSourceProcessor):
    """Modify batches of source tables by a function.

    Parameters
    ----------
    modifier_function : callable
        Given a SourceBatch, returns a SourceBatch: the same one modified, or another. If it
        raises, the batch fails with a report.

    Notes
    -----
    What is read and written is up to the function.
    """

    base_key = "custom_source_modifier"

    def __init__(self, modifier_function: Callable[[SourceBatch], SourceBatch]) -> None:
        super().__init__()
        self.modifier_function = modifier_function

    def description(self) -> str:
        """Name the function."""
        return f"Modify source tables by the function '{callable_name(self.modifier_function)}'"

    def _apply_to_sources(self, batch: SourceBatch) -> SourceBatch:
        modified = self.modifier_function(batch)
        if not isinstance(modified, DataBatch):
            raise ProcessorError(
                f"the function '{callable_name(self.modifier_function)}' returned "
                f"{type(modified).__name__}, not a SourceBatch; let it return the batch"
            )
        return modified
