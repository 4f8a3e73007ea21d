"""The kinds of backing that an image's pixels can have; none of them ever changes.

`MemoryPixels` is an array, `NpyPixels` a generation of the cache, `FitsPixels` a region of a FITS
file, `FitsFilePixels` a FITS image that can only be read whole. `ComputedPixels` are made of those
of a file when they are read, `KeptPixels` stay in memory then. All but the first travel to another
process as a path.
"""

from mirar_dask.data.pixels.base import Pixels
from mirar_dask.data.pixels.computed import ComputedPixels, KeptPixels, RowOperation, change, keep
from mirar_dask.data.pixels.fits_file import FitsFilePixels, FitsPixels
from mirar_dask.data.pixels.in_memory import MemoryPixels, MovedPixels
from mirar_dask.data.pixels.npy import NpyPixels

__all__ = [
    "ComputedPixels",
    "FitsFilePixels",
    "FitsPixels",
    "KeptPixels",
    "MemoryPixels",
    "MovedPixels",
    "NpyPixels",
    "Pixels",
    "RowOperation",
    "change",
    "keep",
]
