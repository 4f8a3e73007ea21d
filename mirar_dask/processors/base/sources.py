"""Processors of source tables: from images to sources, and from sources to sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mirar_dask.data import DataBatch, Image, ImageBatch, SourceBatch
from mirar_dask.io import MissingCoreFieldError
from mirar_dask.paths import core_source_fields
from mirar_dask.processors.base.core import BaseProcessor, CleanupProcessor
from mirar_dask.processors.base.forms import default_hook
from mirar_dask.processors.base.image_files import ImageHandler

if TYPE_CHECKING:
    import pandas as pd


class BaseSourceGenerator(CleanupProcessor, ImageHandler):
    """A processor with a batch of images in and a batch of source tables out.

    Every table must have the columns ``ra``, ``dec``, ``prv_candidates`` and ``objectid``.
    Batches in which nothing was found are left out.
    """

    @default_hook
    def _apply(self, batch: DataBatch) -> DataBatch:
        tables = self._apply_to_images(batch)  # type: ignore[arg-type]
        for table in tables:
            columns = list(table.get_data().columns)
            absent = [field for field in core_source_fields if field not in columns]
            if absent:
                raise MissingCoreFieldError(
                    f"source table of '{table.get_name()}' lacks {', '.join(absent)}; "
                    f"it has {', '.join(map(str, columns))}"
                )
        return tables

    @default_hook
    def _apply_to_images(self, batch: ImageBatch) -> SourceBatch:
        """Find the sources in the images of a batch."""
        raise NotImplementedError

    def get_metadata(self, image: Image) -> dict[str, Any]:
        """Header of an image as the metadata of its sources, without COMMENT cards."""
        return {key: image[key] for key in image.keys() if key not in ("COMMENT", "")}


BaseCandidateGenerator = BaseSourceGenerator
"""The older name of `BaseSourceGenerator`."""


class BaseSourceProcessor(BaseProcessor):
    """A processor with source tables in and source tables out."""

    @default_hook
    def _apply(self, batch: DataBatch) -> DataBatch:
        return self._apply_to_sources(batch)  # type: ignore[arg-type]

    @default_hook
    def _apply_to_sources(self, batch: SourceBatch) -> SourceBatch:
        """Do the operation on a batch of source tables."""
        raise NotImplementedError

    @staticmethod
    def generate_super_dict(metadata: dict[str, Any], source_row: pd.Series[Any]) -> dict[str, Any]:
        """Merge metadata and one row of a table; every key is there in lower and upper case."""
        merged = {str(key).lower(): value for key, value in metadata.items()}
        merged.update({str(key).lower(): value for key, value in source_row.to_dict().items()})
        merged.update({key.upper(): value for key, value in list(merged.items())})
        return merged
