"""Blocks, batches and datasets, and the cache that holds their pixels."""

from mirar_dask.data.base_data import DataBatch, DataBlock, Dataset, PseudoList
from mirar_dask.data.cache import Cache, CacheError, cache, task_memory, use_cache
from mirar_dask.data.handles import ImageHandle, SourceHandle
from mirar_dask.data.headers import TravellingHeader, pack_header
from mirar_dask.data.image_data import Image, ImageBatch
from mirar_dask.data.pixels import FitsFilePixels, FitsPixels, MemoryPixels, NpyPixels, Pixels
from mirar_dask.data.reading import loaded_dtype
from mirar_dask.data.source_data import SourceBatch, SourceTable

__all__ = [
    "Cache",
    "CacheError",
    "DataBatch",
    "DataBlock",
    "Dataset",
    "FitsFilePixels",
    "FitsPixels",
    "Image",
    "ImageBatch",
    "ImageHandle",
    "MemoryPixels",
    "NpyPixels",
    "Pixels",
    "PseudoList",
    "SourceBatch",
    "SourceHandle",
    "SourceTable",
    "TravellingHeader",
    "cache",
    "loaded_dtype",
    "pack_header",
    "task_memory",
    "use_cache",
]
