"""Reading source tables, with their metadata, from Parquet files."""

from __future__ import annotations

import json
from pathlib import Path

from mirar_dask.data import SourceTable
from mirar_dask.processors.sources.parquet_writer import PARQUET_METADATA_KEY, PARQUET_SUFFIX
from mirar_dask.processors.sources.table_files import (
    SourceFileError,
    SourceFileLoader,
    complete_metadata,
)


class ParquetLoader(SourceFileLoader):
    """Read source tables from all Parquet files of a folder, in the order of their names.

    Parameters
    ----------
    input_dir_name : str
        Folder below the night's output folder.
    input_dir : str or Path, optional
        Root in place of the output root.

    Notes
    -----
    Reads none; writes RAWPATH, BASENAME (where a file lacks them).

    The batch that comes in is replaced. Metadata are those of the file (written by
    `ParquetWriter` or by mirar). A file that cannot be read, or is empty, is left out with a
    caveat.
    """

    base_key = "PRQULOAD"
    suffix = PARQUET_SUFFIX

    def description(self) -> str:
        """Name the folder."""
        return f"Load source tables from the Parquet files of folder '{self.input_dir_name}'"

    def read_table_from(self, path: Path) -> SourceTable:
        """Read one table."""
        return load_parquet_table(path)


def load_parquet_table(
    input_path: str | Path, metadata_key: str = PARQUET_METADATA_KEY
) -> SourceTable:
    """Read a source table from a Parquet file.

    Parameters
    ----------
    input_path : path
        The file.
    metadata_key : str
        Key of its schema under which the metadata are, as JSON.

    Raises
    ------
    SourceFileError
        If it is no Parquet file, or has no metadata of a source table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(input_path)
    try:
        table = pq.read_table(path)
        text = (table.schema.metadata or {})[metadata_key.encode()]
        metadata = json.loads(text)
    except KeyError as error:
        raise SourceFileError(
            f"{path.name} holds no source table: its schema has no '{metadata_key}'"
        ) from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SourceFileError(f"{path.name} cannot be read as Parquet: {error}") from error
    return SourceTable(table.to_pandas(), complete_metadata(dict(metadata), path))
