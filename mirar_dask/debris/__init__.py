"""What dead runs and processes left on disk: found, weighed, and removed.

The command ``clean`` shows and removes it; a run that begins removes that of its night.
"""

from mirar_dask.debris.machine import machine_debris
from mirar_dask.debris.night import night_debris, run_debris
from mirar_dask.debris.remove import remove
from mirar_dask.debris.types import Debris, Left

__all__ = ["Debris", "Left", "machine_debris", "night_debris", "remove", "run_debris"]
