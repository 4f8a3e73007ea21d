"""Errors, and how they are collected: one report an error, one stack a run."""

from mirar_dask.errors.error_report import ErrorReport
from mirar_dask.errors.error_stack import ErrorStack
from mirar_dask.errors.exceptions import (
    BaseProcessorError,
    ClusterError,
    FileChangedError,
    ImageNotFoundError,
    InvalidFitsError,
    MirarDaskError,
    MissingCalibrationError,
    NoncriticalProcessingError,
    NothingToDoError,
    ProcessorError,
    ShapeMismatchError,
    UsageError,
    WriteError,
)
from mirar_dask.errors.printable import printable

__all__ = [
    "BaseProcessorError",
    "ClusterError",
    "ErrorReport",
    "ErrorStack",
    "FileChangedError",
    "ImageNotFoundError",
    "InvalidFitsError",
    "MirarDaskError",
    "MissingCalibrationError",
    "NoncriticalProcessingError",
    "NothingToDoError",
    "ProcessorError",
    "ShapeMismatchError",
    "UsageError",
    "WriteError",
    "printable",
]
