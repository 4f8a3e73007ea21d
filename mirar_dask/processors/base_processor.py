"""Base classes of processors under mirar's module path; each is described where it is defined."""

from mirar_dask.processors.base.blocks import names_of
from mirar_dask.processors.base.core import BaseProcessor, CleanupProcessor
from mirar_dask.processors.base.errors import (
    DuplicationError,
    NoCandidatesError,
    PrerequisiteError,
)
from mirar_dask.processors.base.forms import Form, Regroup, form_of, regroup_of, regroups
from mirar_dask.processors.base.image_files import ImageHandler
from mirar_dask.processors.base.images import (
    BaseImageLoader,
    BaseImageProcessor,
    BatchSplitter,
    KeyedRegroup,
)
from mirar_dask.processors.base.masters import ProcessorWithCache
from mirar_dask.processors.base.outcome import Processed, Record, Status, Stepped, error_stack
from mirar_dask.processors.base.premade import ProcessorPremadeCache
from mirar_dask.processors.base.sources import (
    BaseCandidateGenerator,
    BaseSourceGenerator,
    BaseSourceProcessor,
)

__all__ = [
    "BaseCandidateGenerator",
    "BaseImageLoader",
    "BaseImageProcessor",
    "BaseProcessor",
    "BaseSourceGenerator",
    "BaseSourceProcessor",
    "BatchSplitter",
    "CleanupProcessor",
    "DuplicationError",
    "Form",
    "ImageHandler",
    "KeyedRegroup",
    "NoCandidatesError",
    "PrerequisiteError",
    "Processed",
    "ProcessorPremadeCache",
    "ProcessorWithCache",
    "Record",
    "Regroup",
    "Status",
    "Stepped",
    "error_stack",
    "form_of",
    "names_of",
    "regroup_of",
    "regroups",
]
