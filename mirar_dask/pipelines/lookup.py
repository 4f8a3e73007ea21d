"""Getting a pipeline by its name, as mirar's `get_pipeline` does."""

from __future__ import annotations

from typing import Any

from mirar_dask.errors import ProcessorError, UsageError
from mirar_dask.pipelines.base_pipeline import Pipeline
from mirar_dask.registry import load_pipeline


class PipelineConfigError(UsageError, ProcessorError, KeyError):
    """Raised when there is no pipeline of a name; the message gives those that there are."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""  # KeyError would give the repr


def get_pipeline(
    instrument: str,
    *args: Any,
    selected_configurations: str | list[str] | None = None,
    **kwargs: Any,
) -> Pipeline:
    """Make a pipeline.

    Parameters
    ----------
    instrument : str
        Name of the pipeline, or one of the other forms of `mirar_dask.registry.load_pipeline`.
    *args, **kwargs
        Of its constructor.
    selected_configurations : str or list of str, optional
        Configurations to run; ``default`` where none is named.

    Raises
    ------
    PipelineConfigError
        If there is no such pipeline.

    Examples
    --------
    >>> get_pipeline("imager", night="20240101").night_sub_dir
    'imager/20240101'
    """
    try:
        # mirar's names are in lower case; a file or a module keeps its own.
        kind = load_pipeline(instrument.lower() if instrument.isidentifier() else instrument)
    except UsageError as error:
        raise PipelineConfigError(str(error)) from error
    if selected_configurations is not None:
        kwargs["selected_configurations"] = selected_configurations
    made: Pipeline = kind(*args, **kwargs)
    return made
