"""Errors that every processor may raise."""

from __future__ import annotations

from mirar_dask.errors import ProcessorError


class PrerequisiteError(ProcessorError):
    """Raised when a processor needs another one before it that is not there."""


class NoCandidatesError(ProcessorError):
    """Raised when a source generator was required to find something and did not."""


class DuplicationError(ProcessorError):
    """Raised when a batch holds several blocks of one name."""
