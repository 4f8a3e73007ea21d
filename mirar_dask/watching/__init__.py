"""Nights as they happen: frames are taken as they come, and reduced at once."""

from mirar_dask.watching.night import Watched, watch_night
from mirar_dask.watching.options import WatchOptions

__all__ = ["WatchOptions", "Watched", "watch_night"]
