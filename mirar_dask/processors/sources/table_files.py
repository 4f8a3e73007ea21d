"""What the exporters and loaders of source tables share: their paths, and metadata as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mirar_dask.data import DataBlock, SourceBatch, SourceTable
from mirar_dask.errors import ProcessorError
from mirar_dask.paths import (
    BASE_NAME_KEY,
    PROC_FAIL_KEY,
    PROC_HISTORY_KEY,
    RAW_IMG_KEY,
    get_output_dir,
    safe_component,
)
from mirar_dask.processors.base.claims import current_claims
from mirar_dask.processors.base_processor import BaseSourceProcessor

if TYPE_CHECKING:
    import pandas as pd


class SourceFileError(ProcessorError, OSError):
    """Raised when source tables are not there, or cannot be read or written."""


TABLE_BYTES, BYTES_A_PIXEL = 16 << 20, 4
"""Bytes that writing the table of an image takes: 19 MB were measured with 6,000 sources in 4096 by
4096 pixels, 81 MB with 37,000."""


class SourceExporter(BaseSourceProcessor):
    """Base of the processors that write every source table of a batch to a file of its own.

    The file is ``<output>/<night>/<output_dir_name>/<BASENAME with another suffix>``, written
    under a temporary name and renamed.
    """

    suffix = ""
    fails_before_changing = True

    def __init__(self, output_dir_name: str, output_dir: str | Path | None = None) -> None:
        super().__init__()
        self.output_dir_name = output_dir_name
        self.output_dir = None if output_dir is None else Path(output_dir).absolute()

    def changes_keys(self) -> frozenset[str] | None:
        """Change none."""
        return frozenset()

    def product_path(self, block: DataBlock) -> Path:
        """Path under which a table is written."""
        folder = get_output_dir(
            dir_root=self.output_dir_name,
            sub_dir=self.night_sub_dir or "",
            output_dir=self.output_dir,
        )
        return folder / Path(safe_component(block[BASE_NAME_KEY])).with_suffix(self.suffix).name

    def memory_needed(self, shape: tuple[int, ...], n_images: int) -> int:
        """Bytes for one table at a time: a source takes some 2 kB, with the metadata beside it."""
        return TABLE_BYTES + BYTES_A_PIXEL * math.prod(shape)

    def write_table_to(self, table: SourceTable, path: Path) -> None:
        """Write one table."""
        raise NotImplementedError

    def _apply_to_sources(self, batch: SourceBatch) -> SourceBatch:
        claims = current_claims()
        paths = [self.product_path(table) for table in batch]
        for path, table in zip(paths, batch, strict=True):
            claims.claim(path, table)
        for path, table in zip(paths, batch, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.write_table_to(table, path)
        return batch


class SourceFileLoader(BaseSourceProcessor):
    """Base of the processors that read all source tables of a folder, whatever their input."""

    suffix = ""
    writes_products = False
    fails_before_changing = True

    def __init__(self, input_dir_name: str, input_dir: str | Path | None = None) -> None:
        super().__init__()
        self.input_dir_name = input_dir_name
        self.input_dir = None if input_dir is None else Path(input_dir).absolute()

    def list_inputs(self) -> list[Path]:
        """Paths of the files, sorted by name.

        Raises
        ------
        SourceFileError
            If there is none.
        """
        folder = get_output_dir(
            dir_root=self.input_dir_name,
            sub_dir=self.night_sub_dir or "",
            output_dir=self.input_dir,
        )
        paths = sorted(
            path for path in folder.glob(f"*{self.suffix}") if not path.name.startswith(".")
        )
        if not paths:
            state = "holds none" if folder.is_dir() else "does not exist"
            raise SourceFileError(f"no '*{self.suffix}' source tables: the folder {folder} {state}")
        return paths

    def read_table_from(self, path: Path) -> SourceTable:
        """Read one table."""
        raise NotImplementedError

    def _apply_to_sources(self, batch: SourceBatch) -> SourceBatch:
        return load_all(self.list_inputs(), self.read_table_from, self.add_caveat)


def load_all(
    paths: list[Path],
    read: Callable[[Path], SourceTable],
    say: Callable[[list[str], str], None],
) -> SourceBatch:
    """Read tables; what cannot be read is named and left out, as are empty tables."""
    tables = SourceBatch()
    failed: SourceFileError | None = None
    for path in paths:
        try:
            table = read(path)
        except SourceFileError as error:
            failed = error
            say([path.name], str(error))
            continue
        if len(table):
            tables.append(table)
        else:
            say([path.name], f"the source table {path.name} is empty")
    if failed is not None and not len(tables):
        raise failed
    return tables


def complete_metadata(metadata: dict[str, Any], path: Path) -> dict[str, Any]:
    """Add to metadata from a file what every table must have."""
    own = {
        RAW_IMG_KEY: str(path),
        BASE_NAME_KEY: path.name,
        PROC_HISTORY_KEY: "",
        PROC_FAIL_KEY: "",
    }
    for key, value in own.items():
        if metadata.get(key) is None:
            metadata[key] = value
    return metadata


def metadata_to_json(metadata: dict[str, Any]) -> str:
    """Metadata as standard JSON: NaN and infinity become null, what is no plain value its text."""
    return json.dumps({str(key): _plain(value) for key, value in metadata.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return str(value)


def without_frames(table: pd.DataFrame) -> pd.DataFrame:
    """The table with lists of dicts in place of DataFrames in its cells; it is not changed."""
    import pandas as pd

    changed = table.copy(deep=False)
    for column in changed.columns:
        cells = changed[column]
        if cells.dtype == object and any(isinstance(cell, pd.DataFrame) for cell in cells):
            changed[column] = cells.map(_as_records)
    return changed


def _as_records(cell: Any) -> Any:
    import pandas as pd

    return cell.to_dict("records") if isinstance(cell, pd.DataFrame) else cell
