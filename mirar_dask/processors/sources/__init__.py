"""Processors of sources: finding them in images, selecting, exporting and loading their tables."""

from mirar_dask.processors.sources.csv_exporter import CSVExporter
from mirar_dask.processors.sources.csv_loader import CSVLoader
from mirar_dask.processors.sources.parquet_loader import ParquetLoader
from mirar_dask.processors.sources.parquet_writer import ParquetWriter
from mirar_dask.processors.sources.source_detector import SourceDetector
from mirar_dask.processors.sources.source_selector import (
    SourceBatcher,
    SourceDebatcher,
    SourceRebatcher,
    SourceSelector,
)
from mirar_dask.processors.sources.source_table_modifier import CustomSourceTableModifier

__all__ = [
    "CSVExporter",
    "CSVLoader",
    "CustomSourceTableModifier",
    "ParquetLoader",
    "ParquetWriter",
    "SourceBatcher",
    "SourceDebatcher",
    "SourceDetector",
    "SourceRebatcher",
    "SourceSelector",
]
