"""Errors, and how they are collected: one report an error, one stack a run."""

from mirar_dask.errors.exceptions import (
    BaseProcessorError,
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
)

__all__ = [
    "BaseProcessorError",
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
]
