"""Running a function of the user's own on batches of images."""

from __future__ import annotations

from collections.abc import Callable

from mirar_dask.data import DataBatch, ImageBatch
from mirar_dask.errors import ProcessorError
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.header_values import callable_name


class CustomImageBatchModifier(BaseImageProcessor):
    """Modify batches of images by a function.

    Parameters
    ----------
    image_batch_modifier : callable
        Given an ImageBatch, returns an ImageBatch: the same one modified, or another with images
        changed, added, merged or left out. If it raises, the batch fails with a report.

    Notes
    -----
    What is read and written, and what happens to masked (NaN) pixels, is up to the function.
    """

    base_key = "custom_image_modifier"

    def __init__(self, image_batch_modifier: Callable[[ImageBatch], ImageBatch]) -> None:
        super().__init__()
        self.image_batch_modifier = image_batch_modifier

    def description(self) -> str:
        """Name the function."""
        return f"Modify batches by the function '{callable_name(self.image_batch_modifier)}'"

    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        modified = self.image_batch_modifier(batch)
        if not isinstance(modified, DataBatch):
            raise ProcessorError(
                f"the function '{callable_name(self.image_batch_modifier)}' returned "
                f"{type(modified).__name__}, not an ImageBatch; let it return the batch"
            )
        return modified
