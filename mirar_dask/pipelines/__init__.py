"""Pipelines: named configurations of processors, and `imager` for any optical camera."""

from mirar_dask.pipelines.base_pipeline import Adaptation, Pipeline
from mirar_dask.pipelines.lookup import PipelineConfigError, get_pipeline

__all__ = ["Adaptation", "Pipeline", "PipelineConfigError", "get_pipeline"]
