"""Reading source tables from CSV files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirar_dask.data import SourceTable
from mirar_dask.paths import core_source_fields
from mirar_dask.processors.sources.csv_exporter import CSV_SUFFIX
from mirar_dask.processors.sources.table_files import (
    SourceFileError,
    SourceFileLoader,
    complete_metadata,
)

if TYPE_CHECKING:
    pass


class CSVLoader(SourceFileLoader):
    """Read source tables from all CSV files of a folder, in the order of their names.

    Of the files that `CSVExporter` wrote, a column that has a twin in upper case is read once,
    and those with one value throughout become metadata too. Other files are read as they are,
    with their path as RAWPATH and their name as BASENAME.

    Parameters
    ----------
    input_dir_name : str
        Folder below the night's output folder.
    input_dir : str or Path, optional
        Root in place of the output root.

    Notes
    -----
    Reads none; writes RAWPATH, BASENAME (where a file lacks them).

    The batch that comes in is replaced. Core columns (ra, dec, objectid, prv_candidates) that a
    file lacks are added, empty. A file that cannot be read, or is empty, is left out with a caveat.
    """

    base_key = "CSVLOAD"
    suffix = CSV_SUFFIX

    def description(self) -> str:
        """Name the folder."""
        return f"Load source tables from the CSV files of folder '{self.input_dir_name}'"

    def read_table_from(self, path: Path) -> SourceTable:
        """Read one table."""
        return load_csv_table(path)


def load_csv_table(input_path: str | Path) -> SourceTable:
    """Read a source table from a CSV file.

    Raises
    ------
    SourceFileError
        If it is no CSV file.
    """
    import pandas as pd

    path = Path(input_path)
    try:
        table = pd.read_csv(path)
    except pd.errors.EmptyDataError:
        table = pd.DataFrame()
    except (OSError, ValueError) as error:  # includes ParserError and UnicodeDecodeError
        raise SourceFileError(f"{path.name} cannot be read as CSV: {error}") from error
    twins = [
        column
        for column in table.columns
        if str(column).lower() in table.columns and str(column) != str(column).lower()
    ]
    metadata: dict[str, Any] = {}
    for column in twins:
        values = table[column]
        if len(values) and str(column).lower() not in core_source_fields:
            first = values.iloc[0]
            if (values.isna() if pd.isna(first) else values == first).all():
                metadata[str(column)] = _plain(first)
    table = table.drop(columns=twins)
    for field in core_source_fields:
        if field not in table.columns:
            table[field] = None
    return SourceTable(table, complete_metadata(metadata, path))


def _plain(value: Any) -> Any:
    """A value of Python; an empty cell is an empty text, as most empty values in headers are."""
    import pandas as pd

    if pd.isna(value):
        return ""
    return value.item() if hasattr(value, "item") else value
