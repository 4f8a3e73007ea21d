"""What the table of an image's sources tells of the image: their number, and medians."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

import numpy as np

from mirar_dask.monitoring.quality.columns import COLUMNS

_BLEMISHED = ~32
"""Flags of sources that are left out of medians: all but that of masked pixels near by."""
_WANTED = {column.table: column.name for column in COLUMNS if column.table}
_NEEDED = frozenset([*_WANTED, "flags"])
_SUFFIXES = (".csv", ".parquet")


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
        number, table = _read_csv(path) if path.suffix == ".csv" else _read_parquet(path)
        good = np.ones(number, bool)
        if "flags" in table:
            good = (np.nan_to_num(table["flags"], nan=1).astype(int) & _BLEMISHED) == 0
    except (OSError, ValueError, csv.Error):  # whatever else lies in that folder
        return {}
    found: dict[str, float | int] = {"sources": number}
    for column, name in _WANTED.items():
        if column in table:
            values = table[column][good & np.isfinite(table[column])]
            if len(values):
                found[name] = float(np.median(values))
    return found


Table = tuple[int, dict[str, np.ndarray]]
"""Number of rows, and the columns that matter."""


def _read_csv(path: Path) -> Table:
    """Read it without pandas, whose import takes longer than many tables."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        names = next(lines, [])
        places = {name: place for place, name in enumerate(names) if name in _NEEDED}
        rows = [
            [row[place] for place in places.values()] for row in lines if len(row) == len(names)
        ]
    values = np.array([[float(cell or "nan") for cell in row] for row in rows], float)
    values = values.reshape(len(rows), len(places))
    return len(rows), {name: values[:, n] for n, name in enumerate(places)}


def _read_parquet(path: Path) -> Table:
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(path) as file:
        names = [name for name in file.schema_arrow.names if name in _NEEDED]
        table = file.read(names)
        columns = {name: table[name].to_numpy().astype(float) for name in names}
        return file.metadata.num_rows, columns
