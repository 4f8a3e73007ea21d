"""Processors: one operation each, on batches of images or source tables; none knows of Dask."""
