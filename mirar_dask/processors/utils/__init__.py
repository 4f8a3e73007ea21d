"""Processors for input and output, headers, and the making of batches."""

from mirar_dask.processors.utils.cal_hunter import (
    CalHunter,
    CalRequirement,
    MissingCalibrationsError,
    find_required_cals,
)
from mirar_dask.processors.utils.error_annotator import ErrorStackAnnotator
from mirar_dask.processors.utils.header_annotate import HeaderAnnotator, HeaderEditor
from mirar_dask.processors.utils.header_normalise import HeaderNormaliser
from mirar_dask.processors.utils.header_reader import HeaderReader
from mirar_dask.processors.utils.image_loader import (
    ImageListLoader,
    ImageLoader,
    LoadImageFromHeader,
    MEFLoader,
)
from mirar_dask.processors.utils.image_modifier import CustomImageBatchModifier
from mirar_dask.processors.utils.image_plotter import ImagePlotter
from mirar_dask.processors.utils.image_rejector import ImageRejector
from mirar_dask.processors.utils.image_saver import ImageSaver
from mirar_dask.processors.utils.image_selector import (
    ImageBatcher,
    ImageDebatcher,
    ImageRebatcher,
    ImageSelector,
    select_from_images,
)
from mirar_dask.processors.utils.mode_masker import ModeMasker
from mirar_dask.processors.utils.nan_filler import NanFiller
from mirar_dask.processors.utils.simulate_realtime import RealtimeImageSimulator

__all__ = [
    "CalHunter",
    "CalRequirement",
    "CustomImageBatchModifier",
    "ErrorStackAnnotator",
    "HeaderAnnotator",
    "HeaderEditor",
    "HeaderNormaliser",
    "HeaderReader",
    "ImageBatcher",
    "ImageDebatcher",
    "ImageListLoader",
    "ImageLoader",
    "ImagePlotter",
    "ImageRebatcher",
    "ImageRejector",
    "ImageSaver",
    "ImageSelector",
    "LoadImageFromHeader",
    "MEFLoader",
    "MissingCalibrationsError",
    "ModeMasker",
    "NanFiller",
    "RealtimeImageSimulator",
    "find_required_cals",
    "select_from_images",
]
