"""The table of measurements as files in a run's folder: JSON, TSV and Parquet.

JSON says what the columns are; TSV is for eyes and spreadsheets; Parquet keeps the types.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mirar_dask.atomic import replacing
from mirar_dask.monitoring.quality.columns import COLUMNS
from mirar_dask.monitoring.quality.measurements import Row

JSON_FILE, TSV_FILE, PARQUET_FILE = "measurements.json", "measurements.tsv", "measurements.parquet"
FORMAT = 1
"""Version of the JSON file."""
_WHITE = str.maketrans("\t\n\r", "   ")


def write_measurements(rows: Sequence[Row], folder: Path) -> None:
    """Write a table of measurements in all three forms, each whole or not at all.

    Raises
    ------
    WriteError
        If the folder cannot be written to, or its disk is full.
    """
    with replacing(folder / JSON_FILE) as temporary:
        temporary.write_text(as_json(rows), encoding="utf-8")
    with replacing(folder / TSV_FILE) as temporary:
        temporary.write_text(as_tsv(rows), encoding="utf-8")
    with replacing(folder / PARQUET_FILE) as temporary:
        _write_parquet(rows, temporary)


def as_json(rows: Sequence[Row]) -> str:
    """Return the table as JSON: what its columns are, and a list of objects."""
    columns = [
        {"name": column.name, "unit": column.unit, "description": column.doc} for column in COLUMNS
    ]
    head = f'{{"format": {FORMAT},\n"columns": [\n{_lines(columns)}],\n"rows": [\n'
    return f"{head}{_lines(rows)}]}}\n"


def _lines(values: Sequence[Any]) -> str:
    """Return a line for each value: json's own indentation is ten times slower."""
    return ",\n".join(json.dumps(value, allow_nan=False) for value in values)


def as_tsv(rows: Sequence[Row]) -> str:
    """Return the table as text: a line of names, then one for each row; empty where not known."""
    lines = ["\t".join(column.name for column in COLUMNS)]
    lines += ["\t".join(_cell(row[column.name]) for column in COLUMNS) for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    return "" if value is None else str(value).translate(_WHITE)


def _write_parquet(rows: Sequence[Row], path: Path) -> None:
    """Make it of the TSV: to be made of lists, pyarrow would import pandas, which takes longer."""
    import pyarrow as pa
    import pyarrow.csv as csv
    import pyarrow.parquet as parquet

    kinds = {column.name: pa.string() if column.text else pa.float64() for column in COLUMNS}
    table = csv.read_csv(
        pa.BufferReader(as_tsv(rows).encode()),
        read_options=csv.ReadOptions(use_threads=False),
        parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=csv.ConvertOptions(
            column_types=kinds, null_values=[""], strings_can_be_null=True
        ),
    )
    meaning = {column.name: {"description": column.doc, "unit": column.unit} for column in COLUMNS}
    fields = [pa.field(name, kind, metadata=meaning[name]) for name, kind in kinds.items()]
    parquet.write_table(pa.Table.from_arrays(table.columns, schema=pa.schema(fields)), path)
