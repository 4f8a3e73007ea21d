"""What the table of an image's sources tells of the image: their number, and medians."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mirar_dask.monitoring.quality.columns import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

_BLEMISHED = ~32
"""Flags of sources that are left out of medians: all but that of masked pixels near by."""
_WANTED = {column.table: column.name for column in COLUMNS if column.table}
_SUFFIXES = (".parquet", ".csv")


def table_of(stem: str, folders: Collection[Path]) -> Path | None:
    """Find the table of the sources of an image by the image's name without its suffix."""
    for folder in folders:
        for suffix in _SUFFIXES:
            path = folder / f"{stem}{suffix}"
            if path.is_file():
                return path
    return None


def source_medians(path: Path) -> dict[str, float | int]:
    """Return the number of sources in a table and the medians of some of its columns.

    Parameters
    ----------
    path : Path
        CSV or Parquet, as our writers make them; other tables tell what they can.

    Returns
    -------
    dict
        ``sources`` and those of `COLUMNS` that are made of columns of the table, by name. Empty
        if the file is no such table.
    """
    try:
        table = _read(path)
    except (OSError, ValueError, UnicodeDecodeError):  # whatever else lies in that folder
        return {}
    found: dict[str, float | int] = {"sources": len(table)}
    if "flags" in table:
        table = table[(table["flags"].to_numpy(int, na_value=1) & _BLEMISHED) == 0]
    for column, name in _WANTED.items():
        if column in table:
            values = table[column].to_numpy(float)
            values = values[np.isfinite(values)]
            if len(values):
                found[name] = float(np.median(values))
    return found


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    wanted = {*_WANTED, "flags"}
    if path.suffix == ".csv":
        return pd.read_csv(path, usecols=lambda name: name in wanted)
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(path) as file:
        names = [name for name in file.schema_arrow.names if name in wanted]
        return file.read(names).to_pandas()
