"""Writing source tables as Parquet, metadata included."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirar_dask.atomic import replacing
from mirar_dask.data import SourceTable
from mirar_dask.processors.sources.table_files import (
    SourceExporter,
    SourceFileError,
    metadata_to_json,
    without_frames,
)

if TYPE_CHECKING:
    import pandas as pd


PARQUET_METADATA_KEY = "mirar_metadata"
PARQUET_SUFFIX = ".parquet"


class ParquetWriter(SourceExporter):
    """Write every source table to a Parquet file.

    The file is ``<output>/<night>/<output_dir_name>/<BASENAME>.parquet``. The metadata are in its
    schema, as JSON under the key ``mirar_metadata``.

    Parameters
    ----------
    output_dir_name : str
        Folder below the night's output folder.
    output_dir : str or Path, optional
        Root in place of the output root.

    Notes
    -----
    Reads BASENAME; writes none. DataFrames in cells become lists; NaN in metadata
    becomes null.
    """

    base_key = "PARQUETWRITE"
    suffix = PARQUET_SUFFIX

    def description(self) -> str:
        """Name the folder."""
        return f"Write source tables as Parquet to folder '{self.output_dir_name}'"

    def write_table_to(self, table: SourceTable, path: Path) -> None:
        """Write one table."""
        export_parquet(table.get_data(), table.get_metadata(), path)


def export_parquet(
    source_table: pd.DataFrame, metadata: dict[str, Any], parquet_path: str | Path
) -> None:
    """Write a source table and its metadata to a Parquet file.

    Raises
    ------
    SourceFileError
        If a column holds what Parquet cannot.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(parquet_path)
    try:
        table = pa.Table.from_pandas(without_frames(source_table))
    except (pa.ArrowException, TypeError) as error:
        raise SourceFileError(f"{path.name} cannot be written as Parquet: {error}") from error
    own = {PARQUET_METADATA_KEY: metadata_to_json(metadata).encode()}
    table = table.replace_schema_metadata({**own, **(table.schema.metadata or {})})
    with replacing(path) as temporary:
        pq.write_table(table, temporary)
