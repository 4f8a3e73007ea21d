"""Every exception that this package defines for more than one module.

::

    MirarDaskError                      anything that this package raises on purpose
    ├── UsageError (ValueError)         the user asked for something wrong (exit code 2)
    ├── NothingToDoError                nothing could be done (exit code 3)
    ├── ClusterError (ConnectionError)  a cluster cannot be reached or used
    └── BaseProcessorError              an error while blocks are processed, a "known" error
        ├── NoncriticalProcessingError  the block goes on as it was before the step
        └── ProcessorError              the block (or its batch) is dropped
            ├── ImageNotFoundError (FileNotFoundError)
            │   └── MissingCalibrationError
            ├── InvalidFitsError (OSError)
            ├── FileChangedError (OSError)
            ├── WriteError (OSError)
            └── ShapeMismatchError (ValueError)

Errors that belong to one module alone stand there and derive from these.
"""

from __future__ import annotations

from pathlib import Path


class MirarDaskError(Exception):
    """Base of everything that this package raises on purpose."""


class UsageError(MirarDaskError, ValueError):
    """Raised when the user asked for something that cannot be; the message says what can."""


class NothingToDoError(MirarDaskError):
    """Raised when there is nothing to reduce, so that no part of a request could be done."""


class ClusterError(MirarDaskError, ConnectionError):
    """Raised when a cluster cannot be reached, or is not fit for a run."""


class BaseProcessorError(MirarDaskError):
    """Base of the errors raised on purpose while blocks are processed."""


class ProcessorError(BaseProcessorError):
    """Raised when a block cannot be processed further."""


class NoncriticalProcessingError(BaseProcessorError):
    """Raised when a step failed and its block can go on without it."""


class ImageNotFoundError(ProcessorError, FileNotFoundError):
    """Raised when an image, or a folder of images, is not there."""


class MissingCalibrationError(ImageNotFoundError):
    """Raised when a batch holds no frame from which the calibration it needs could be made."""


class InvalidFitsError(ProcessorError, OSError):
    """Raised when a file is not a complete FITS image that can be reduced."""


class FileChangedError(ProcessorError, OSError):
    """Raised when a file is no longer the one that an image was opened from."""


class WriteError(ProcessorError, OSError):
    """Raised when a file cannot be written; the message gives the reason and a remedy."""

    path: Path | None = None
    """The file."""


class ShapeMismatchError(ProcessorError, ValueError):
    """Raised when two images that are combined differ in shape; the message gives both."""
