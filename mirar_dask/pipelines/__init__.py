"""Pipelines: named configurations of processors, and `imager` for any optical camera."""
