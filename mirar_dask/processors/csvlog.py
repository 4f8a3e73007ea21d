"""A night's log of observations as a CSV table."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from mirar_dask.atomic import replacing
from mirar_dask.data import DataBatch, ImageBatch
from mirar_dask.paths import BASE_NAME_KEY, core_fields, get_output_path
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.header_values import ParsingError, header_value

logger = logging.getLogger(__name__)

default_log_keys = list(dict.fromkeys([BASE_NAME_KEY, *core_fields]))
"""Columns of a log for which none are named, each once."""


class CSVLog(BaseImageProcessor):
    """Write a table with one row a batch: header values of its first image.

    The rows of all batches are written together, in the order of the batches, to
    ``<output>/<night>/<night>_<output_name>.csv``. After `ImageBatcher("BASENAME")` that is one
    row an image.

    Parameters
    ----------
    export_keys : list of str, optional
        Header keys, which are the columns; a key named twice is one column.
    output_sub_dir : str
        Folder below the output root in which the night's folder is looked for.
    output_base_dir : str, optional
        Folder to use in place of the night's.
    output_name : str
        Part of the file's name.

    Notes
    -----
    Reads ``export_keys``; writes none. Pixels are not looked at. A key that an image lacks
    leaves its cell empty, and one that every batch lacks is named in a warning. As in mirar, the
    first column, which has no name, counts the rows. Source tables are logged by their metadata.
    """

    base_key = "csvlog"
    headers_only = True
    fails_before_changing = True

    def __init__(
        self,
        export_keys: list[str] | None = None,
        output_sub_dir: str = "",
        output_base_dir: str | None = None,
        output_name: str = "log",
    ) -> None:
        super().__init__()
        self.export_keys = list(
            dict.fromkeys(default_log_keys if export_keys is None else export_keys)
        )
        self.output_sub_dir = output_sub_dir
        self.output_base_dir = output_base_dir
        self.output_name = output_name

    def description(self) -> str:
        """Name the file and count its columns."""
        return f"Write a log with {len(self.export_keys)} columns to {self.get_log_name()}"

    def memory_needed(self, shape: tuple[int, ...], n_images: int) -> int:
        """Nothing: headers are all that is looked at."""
        return 0

    def changes_keys(self) -> frozenset[str] | None:
        """Change none."""
        return frozenset()

    def get_log_name(self) -> str:
        """Name of the file: ``<night>_<output_name>.csv``."""
        return f"{self.night}_{self.output_name}.csv" if self.night else f"{self.output_name}.csv"

    def get_output_path(self) -> Path:
        """Path of the file; its folder is not made."""
        base = self.night_sub_dir if self.output_base_dir is None else self.output_base_dir
        return get_output_path(
            base_name=self.get_log_name(), dir_root=base or "", sub_dir=self.output_sub_dir
        )

    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        return batch  # seen as a whole, so that its first image is the first of all

    def table_rows(self, batch: DataBatch[Any]) -> list[dict[str, Any]]:
        """Return one row: header values of the first image; none for an empty batch."""
        return [{key: _cell(batch, key) for key in self.export_keys}] if len(batch) else []

    def write_table(self, rows: list[dict[str, Any]]) -> Path | None:
        """Write the rows of all batches in place of the table of an earlier run."""
        import pandas as pd

        for key in self.export_keys:
            if rows and all(row[key] is None for row in rows):
                logger.warning("%s: no batch has a value for '%s'", self.get_log_name(), key)
        path = self.get_output_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            pd.DataFrame(rows, columns=self.export_keys).to_csv(temporary)
        return path


def _cell(batch: DataBatch[Any], key: str) -> Any:
    """Value for the table; None where there is none, text where it is no plain value."""
    try:
        value = header_value(batch[0], key)
    except ParsingError:
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return None if type(value).__name__ == "Undefined" else str(value)
