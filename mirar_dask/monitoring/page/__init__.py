"""The page that shows nights in a browser: on Dask's server, on one of its own, or as one file."""

from mirar_dask.monitoring.page.assets import night_page

__all__ = ["night_page"]
