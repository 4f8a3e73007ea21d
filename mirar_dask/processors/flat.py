"""Flat: a master of normalised flats, or one made before, divides every image."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from astropy.io.fits import Header

from mirar_dask.data import Image, ImageBatch, Pixels
from mirar_dask.errors import MissingCalibrationError, ProcessorError, UsageError
from mirar_dask.paths import EXPTIME_KEY, FLAT_FRAME_KEY, LATEST_SAVE_KEY, OBSCLASS_KEY
from mirar_dask.processors.calibration import (
    INDIVIDUAL_EXPTIMES_KEY,
    Divide,
    MasterCalibrator,
    PremadeMaster,
    change_rows,
    select_class,
    take_float,
)
from mirar_dask.processors.combine import combine_frames
from mirar_dask.processors.illumination import (
    construct_smooth_gradient_for_image,
    get_convolution,
    get_outlier_pixel_mask,
    get_smoothened_outlier_pixel_mask_from_list,
    get_structure_mask,
    smooth_and_normalize_image,
)
from mirar_dask.processors.levels import median_level
from mirar_dask.processors.mask_base import as_float, read_mask

__all__ = [
    "FlatCalibrator",
    "MasterFlatCalibrator",
    "MissingFlatError",
    "SkyFlatCalibrator",
    "construct_smooth_gradient_for_image",
    "default_select_flat",
    "get_convolution",
    "get_outlier_pixel_mask",
    "get_smoothened_outlier_pixel_mask_from_list",
    "smooth_and_normalize_image",
]

FLAT_MODES = ("median", "pixel", "structure")


class MissingFlatError(MissingCalibrationError):
    """Raised when a batch holds too few flats for a master."""


def default_select_flat(images: ImageBatch) -> ImageBatch:
    """Pick the flats of a batch: OBSCLASS or TARGET is 'flat', in upper or lower case."""
    return select_class(images, "flat")


class FlatCalibrator(MasterCalibrator):
    """Makes a master flat of the batch's flats and divides every image by it.

    Parameters
    ----------
    *args, **kwargs
        As of `ProcessorWithCache`.
    x_min, x_max, y_min, y_max : int
        Window ``[x_min:x_max, y_min:y_max]`` of the array, that is, x counts rows here as in
        mirar, whose median each flat is divided by before they are combined.
    flat_nan_threshold : float
        Pixels where the master is not above become NaN.
    select_flat_images : callable
        Given a batch, returns the frames of the master; looks at headers only.
    flat_mask_key : str, optional
        Header key of each flat with the path of a mask: its pixels that are 0 do not count.
    flat_mode : {'median', 'pixel', 'structure'}
        'median': divide by the combined flats. The other two correct nothing, they only mask
        ('pixel': what stands out in every flat divided by its smoothed self; 'structure': what
        does so in the combined flats): their master is 1, and NaN in these pixels.

    Notes
    -----
    Reads OBSCLASS and TARGET (unless ``select_flat_images`` is given), ``flat_mask_key``; writes
    FLATNAME (path of the master).

    All images of the batch are corrected, the flats too. A pixel that is NaN in the image or in
    the master becomes NaN. A flat whose window has a median that is not above zero is left out of
    the master.
    """

    base_key = "flat"
    reads_later = True
    scale_from_header: ClassVar[bool] = False

    def __init__(
        self,
        *args: Any,
        x_min: int = 0,
        x_max: int = sys.maxsize,
        y_min: int = 0,
        y_max: int = sys.maxsize,
        flat_nan_threshold: float = 0.0,
        select_flat_images: Callable[[ImageBatch], ImageBatch] = default_select_flat,
        flat_mask_key: str | None = None,
        flat_mode: str = "median",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if flat_mode not in FLAT_MODES:
            raise UsageError(f"flat_mode={flat_mode!r}: expected one of {', '.join(FLAT_MODES)}")
        self.x_min = x_min
        self.x_max = x_max
        self.y_min = y_min
        self.y_max = y_max
        self.flat_nan_threshold = flat_nan_threshold
        self.select_flat_images = select_flat_images
        self.flat_mask_key = flat_mask_key
        self.flat_mode = flat_mode

    def description(self) -> str:
        """Say what is done, and how the master is made."""
        if self.flat_mode != "median":
            return f"Mask what stands out of the flats (mode '{self.flat_mode}')."
        return f"Divide by a master flat, the {self.method} of the normalised flats."

    def changes_keys(self) -> frozenset[str]:
        """Change FLATNAME."""
        return frozenset({FLAT_FRAME_KEY})

    def select_cache_images(self, images: ImageBatch) -> ImageBatch:
        """Pick the flats of a batch."""
        return self.select_flat_images(images)

    def missing_error(self, message: str) -> MissingCalibrationError:
        """Make the error that says that there is no master flat."""
        return MissingFlatError(message)

    # -- making the master --------------------------------------------------------------------

    @property
    def combines_rows(self) -> bool:
        """Whether rows of the master can be made from the same rows of the flats, apart."""
        return self.flat_mask_key is None and self.flat_mode != "pixel"

    def frame_scale(self, image: Image) -> float:
        """Median of the window of a flat, of the pixels that its mask leaves."""
        window = (slice(self.x_min, self.x_max), slice(self.y_min, self.y_max))
        data = image.view_data()[window]
        mask = self.mask_of(image)
        if mask is not None:
            data = np.where(mask[window], np.nan, data)
        level = median_level(data)
        if not level > 0:
            raise ProcessorError(
                f"'{image.get_name()}' has a median of {level} in the window of the flats, need "
                "more than 0"
            )
        return level

    def mask_of(self, image: Image) -> np.ndarray | None:
        """Pixels of a flat that do not count (True), or None if no mask is asked for.

        Raises
        ------
        ProcessorError
            If its header does not name a mask, or there is none, or it has another shape.
        """
        if self.flat_mask_key is None:
            return None
        if self.flat_mask_key not in image:
            raise ProcessorError(
                f"'{image.get_name()}' has no {self.flat_mask_key}, which should name its mask"
            )
        mask = read_mask(Path(str(image[self.flat_mask_key])))
        if mask.shape != image.shape:
            raise ProcessorError(
                f"'{image.get_name()}' has shape {image.shape}, its mask {mask.shape}"
            )
        return mask

    def combine(self, frames: ImageBatch, scales: Sequence[float]) -> np.ndarray:
        """Combine flats, each divided by the median of its window, without masked pixels."""
        if self.flat_mode == "pixel":
            mask = get_smoothened_outlier_pixel_mask_from_list(
                frame.view_data() for frame in frames
            )
            return _ones_without(mask)
        masks = [self.mask_of(frame) for frame in frames]
        return combine_frames(
            [
                frame if mask is None else _MaskedPixels(frame, mask)
                for frame, mask in zip(frames, masks, strict=True)
            ],
            scales,
            method=self.method,
            sigma=self.sigma,
            max_iterations=self.max_iterations,
        )

    def annotate_master(self, header: Header, frames: Sequence[Image]) -> None:
        """Give the exposure times once each, as mirar does; a flat has no unit."""
        if all(EXPTIME_KEY in frame for frame in frames):
            times = np.unique([frame[EXPTIME_KEY] for frame in frames])
            header[INDIVIDUAL_EXPTIMES_KEY] = ",".join(str(time) for time in times)
        if "BUNIT" in header:
            header["BUNIT"] = ""

    def finish_master(self, frames: ImageBatch, data: np.ndarray) -> Image:
        """Make the master of combined flats, which it takes over."""
        if self.flat_mode == "structure":
            data = _ones_without(get_structure_mask(data))
        for rows in data:  # here, where it is nobody else's, and row by row: without a copy
            rows[rows <= self.flat_nan_threshold] = np.nan
        return super().finish_master(frames, data)

    def ready(self, master: Image) -> Image:
        """Make the pixels NaN by which nothing shall be divided."""
        low = master.view_data() <= self.flat_nan_threshold
        if low.any():
            data = take_float(master)
            data[low] = np.nan
            master.give_data(data)
        return super().ready(master)

    # -- applying it --------------------------------------------------------------------------

    def correct(self, image: Image, master: Image) -> Image:
        """Divide one image by a master of its shape."""
        change_rows(image, Divide(master.pixels))
        image[FLAT_FRAME_KEY] = master[LATEST_SAVE_KEY]
        return image


class SkyFlatCalibrator(FlatCalibrator):
    """Makes a master flat of the batch's science images and divides every image by it.

    Parameters
    ----------
    flat_mask_key : str, optional
        Header key of each image with the path of a mask, of its stars for instance.
    *args, **kwargs
        As of `FlatCalibrator`.

    Notes
    -----
    Reads OBSCLASS, ``flat_mask_key``; writes FLATNAME (path of the master).
    """

    def __init__(self, *args: Any, flat_mask_key: str | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("select_flat_images", self.select_sky_flat)
        super().__init__(*args, flat_mask_key=flat_mask_key, **kwargs)

    def description(self) -> str:
        """Say what is done, and how the master is made."""
        return f"Divide by a master flat, the {self.method} of the normalised science images."

    @staticmethod
    def select_sky_flat(images: ImageBatch) -> ImageBatch:
        """Pick the science images of a batch: OBSCLASS is 'science', in upper or lower case."""
        return ImageBatch(
            [x for x in images if str(x.get(OBSCLASS_KEY, "")).strip().lower() == "science"]
        )


class MasterFlatCalibrator(PremadeMaster, FlatCalibrator):
    """Divides every image by a master flat that was made before.

    Parameters
    ----------
    master_image_path_generator : callable
        Given a batch, returns the path of its master flat.
    *args, **kwargs
        As of `FlatCalibrator`.
    """

    def description(self) -> str:
        """Say what is done."""
        return "Divide by a master flat that was made before."


def _ones_without(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, np.float32(np.nan), np.float32(1))


@dataclass(frozen=True, slots=True, eq=False)
class _MaskedPixels(Pixels):
    """The pixels of an image, NaN where a mask is True."""

    image: Image
    mask: np.ndarray

    path = None

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.image.shape

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        return as_float(np.empty(0, self.image.dtype)).dtype

    def read(self) -> np.ndarray:
        return self.read_rows(0, None)

    def read_rows(self, start: int | None, stop: int | None) -> np.ndarray:
        rows = as_float(self.image.read_rows(start, stop))
        rows[self.mask[start:stop]] = np.nan
        return rows

    def token(self) -> tuple[Any, ...]:
        return ("masked", self.image.pixels.token(), self.mask.tobytes())
