"""Writing source tables as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirar_dask.atomic import replacing
from mirar_dask.data import SourceTable
from mirar_dask.processors.sources.table_files import SourceExporter, without_frames
from mirar_dask.processors.utils.header_values import ParsingError

if TYPE_CHECKING:
    import pandas as pd


CSV_SUFFIX = ".csv"


class CSVExporter(SourceExporter):
    """Write every source table to a CSV file, metadata and sources side by side.

    As in mirar each row has all metadata and all columns, under names in lower case and again in
    upper case; a column wins over metadata of its name. The file is
    ``<output>/<night>/<output_dir_name>/<BASENAME>.csv``.

    Parameters
    ----------
    output_dir_name : str
        Folder below the night's output folder.
    output_dir : str or Path, optional
        Root in place of the output root.
    export_keys : list of str, optional
        Columns to write, in this order; by default all.

    Notes
    -----
    Reads BASENAME; writes none. A key that a table lacks is an error that names both.
    """

    base_key = "CSVEXPORT"
    suffix = CSV_SUFFIX

    def __init__(
        self,
        output_dir_name: str,
        output_dir: str | Path | None = None,
        export_keys: list[str] | None = None,
    ) -> None:
        super().__init__(output_dir_name, output_dir)
        self.export_keys = None if export_keys is None else list(export_keys)

    def description(self) -> str:
        """Name the folder."""
        return f"Write source tables as CSV to folder '{self.output_dir_name}'"

    def write_table_to(self, table: SourceTable, path: Path) -> None:
        """Write one table."""
        merged = merged_columns(table)
        if self.export_keys is not None:
            absent = [key for key in self.export_keys if key not in merged.columns]
            if absent:
                raise ParsingError(
                    f"the sources of '{table.get_name()}' have no {', '.join(absent)} to export"
                )
            merged = merged[self.export_keys]
        with replacing(path) as temporary:
            merged.to_csv(temporary, index=False)


def merged_columns(table: SourceTable) -> pd.DataFrame:
    """Metadata and columns of a table, in lower case and then in upper case."""
    import pandas as pd

    data = without_frames(table.get_data())
    columns: dict[str, Any] = {}
    for key, value in table.get_metadata().items():
        columns[str(key).lower()] = pd.Series([value] * len(data), dtype=object, index=data.index)
    for key in data.columns:
        columns[str(key).lower()] = data[key]
    columns.update({key.upper(): values for key, values in list(columns.items())})
    return pd.DataFrame(columns, index=data.index)
