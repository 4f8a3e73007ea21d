"""What the bias, dark, flat and sky calibrators share: choosing frames, arithmetic, headers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from astropy.io.fits import Header

from mirar_dask.data import Image, ImageBatch, MemoryPixels
from mirar_dask.data.pixels import RowOperation
from mirar_dask.data.pixels.computed import PIECE_BYTES
from mirar_dask.errors import ProcessorError, ShapeMismatchError
from mirar_dask.paths import (
    BASE_NAME_KEY,
    CAVEAT_KEY,
    COADD_KEY,
    EXPTIME_KEY,
    LATEST_SAVE_KEY,
    OBSCLASS_KEY,
    RAW_IMG_KEY,
    SATURATE_KEY,
    STACKED_COMPONENT_IMAGES_KEY,
    TARGET_KEY,
)
from mirar_dask.processors.base_processor import ProcessorPremadeCache, ProcessorWithCache
from mirar_dask.processors.levels import median_level, rounded
from mirar_dask.processors.mask_base import as_float

INDIVIDUAL_EXPTIMES_KEY = "INDIVEXP"
"""Exposure times of the frames of a master, joined by commas."""
METHOD_KEY = "COMBMETH"
"""How the frames of a master were combined."""
LEVEL_KEY = "MASTRMED"
"""Median of a master."""

_CLASSES = ("bias", "dark", "flat", "science")
_ENOUGH = 3
"""Fewest frames of which the median is not moved by one of them."""


def select_class(images: ImageBatch, wanted: str) -> ImageBatch:
    """Pick the images of a class: OBSCLASS names it, or TARGET where OBSCLASS names none.

    Parameters
    ----------
    images : ImageBatch
        Images; a key that is missing names nothing.
    wanted : str
        'bias', 'dark' or 'flat'; upper and lower case do not matter.
    """
    return ImageBatch([image for image in images if _class_of(image) == wanted.lower()])


def _class_of(image: Image) -> str:
    by_class, by_target = (
        str(image.get(key, "")).strip().lower() for key in (OBSCLASS_KEY, TARGET_KEY)
    )
    return by_class if by_class in _CLASSES[:3] or by_target not in _CLASSES[:3] else by_target


# -- arithmetic on pixels ----------------


def take_float(image: Image) -> np.ndarray:
    """Take the pixels of an image, made floats if they are integers."""
    return as_float(image.take_data())


@dataclass(frozen=True, slots=True)
class Subtract(RowOperation):
    """``image - master``; NaN in either becomes NaN."""

    def apply(self, rows: np.ndarray, operand: np.ndarray) -> None:
        """Subtract rows of the master."""
        np.subtract(rows, operand, out=rows)


@dataclass(frozen=True, slots=True)
class SubtractScaled(RowOperation):
    """``image - master * factor``; NaN in either becomes NaN."""

    factor: float
    """Used in the type of the master."""

    def apply(self, rows: np.ndarray, operand: np.ndarray) -> None:
        """Subtract rows of the scaled master."""
        np.subtract(rows, operand * operand.dtype.type(self.factor), out=rows)


@dataclass(frozen=True, slots=True)
class Divide(RowOperation):
    """``image / master``; NaN in either becomes NaN."""

    def apply(self, rows: np.ndarray, operand: np.ndarray) -> None:
        """Divide by rows of the master."""
        # Without a warning: an infinite pixel of a saturated frame stays what it is.
        with np.errstate(invalid="ignore", over="ignore"):
            np.divide(rows, operand, out=rows)


def change_rows(image: Image, operation: RowOperation) -> None:
    """Do something with a master to an image of its shape; integers become floats first."""
    if image.dtype.kind != "f":
        image.give_data(take_float(image))
    image.change_rows(operation)


def require_same_shape(image: Image, master: Image, step: str) -> None:
    """Raise ShapeMismatchError if an image and its master differ in shape."""
    if image.shape != master.shape:
        raise ShapeMismatchError(
            f"'{image.get_name()}' has shape {image.shape}, the master {step} "
            f"'{master.get(LATEST_SAVE_KEY, master.get_name())}' {master.shape}; group frames by "
            "their shape, or trim them, before this step"
        )


# -- headers ----------------


def header_number(image: Image, key: str, use: str) -> float:
    """Read a finite number from a header.

    Raises
    ------
    ProcessorError
        If it is missing or no number; the message names image, key and value found.
    """
    value = image.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    found = f"{key}={value!r}, not a finite number" if key in image else f"no {key}"
    raise ProcessorError(f"'{image.get_name()}' has {found}: needed to {use}")


def lower_saturation(image: Image, level: float) -> None:
    """Lower SATURATE by what was subtracted from the pixels, where the header has it."""
    value = image.get(SATURATE_KEY)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(level):
        image[SATURATE_KEY] = value - level


def master_header(frames: Sequence[Image], kind: str, method: str) -> Header:
    """Make the header of a master: that of the first frame, and what it was made of.

    Parameters
    ----------
    frames : sequence of Image
        What was combined; only headers are read.
    kind : str
        'bias', 'dark', 'flat' or 'sky'.
    method : str
        How it was combined.

    Returns
    -------
    Header
        One of its own, with RAWPATH and STCKCMPT of all frames, COADDS, INDIVEXP and COMBMETH.
    """
    header = frames[0].get_header().copy()
    for key in (LATEST_SAVE_KEY, CAVEAT_KEY, LEVEL_KEY):
        header.remove(key, ignore_missing=True, remove_all=True)
    header[BASE_NAME_KEY] = f"master_{kind}_{frames[0].get_name()}"
    header[RAW_IMG_KEY] = ",".join(str(frame[RAW_IMG_KEY]) for frame in frames)
    header[COADD_KEY] = (len(frames), "Number of frames combined")
    header[STACKED_COMPONENT_IMAGES_KEY] = ",".join(frame.get_name() for frame in frames)
    if all(EXPTIME_KEY in frame for frame in frames):
        times = [str(frame[EXPTIME_KEY]) for frame in frames]
        header[INDIVIDUAL_EXPTIMES_KEY] = ",".join(times)
    header[METHOD_KEY] = (method, "How the frames were combined")
    if len(frames) < _ENOUGH:
        plural = "s" if len(frames) > 1 else ""
        header[CAVEAT_KEY] = f"made of {len(frames)} frame{plural}: cosmic rays are left in it"
    return header


class MasterCalibrator(ProcessorWithCache):
    """Base of the calibrators: makes a master of frames of the batch and corrects every image.

    Subclasses say how frames are chosen and scaled (`select_cache_images`, `frame_scale`), what
    the master's header needs (`annotate_master`), and what is done to an image (`correct`).
    A frame that cannot be combined with the others is left out: one of another shape than most
    of them have, and one of which `frame_scale` raises a ProcessorError.
    """

    fails_before_changing = True
    needs_level: ClassVar[bool] = False
    """Whether `correct` uses the median of the master."""

    def memory_needed(self, shape: tuple[int, ...], n_images: int) -> int:
        """Bytes of some rows of a scaled master: images are corrected in place."""
        return 2 * PIECE_BYTES

    def correct(self, image: Image, master: Image) -> Image:
        """Apply the master to one image of its shape."""
        raise NotImplementedError

    def annotate_master(self, header: Header, frames: Sequence[Image]) -> None:
        """Complete the header of a new master."""

    def apply_to_image(self, image: Image, context: Image | None = None) -> Image:
        """Apply the master to one image.

        Raises
        ------
        ShapeMismatchError
            If the shapes differ; the image is as it was.
        """
        if context is None:
            self.add_caveat(image, f"no master {self.base_key}: left as it was")
            return image
        require_same_shape(image, context, self.base_key)
        context.keep_pixels()
        return self.correct(image, context)

    # -- frames -------------------------------------------------------------------------------

    def usable_frames(self, frames: ImageBatch) -> ImageBatch:
        """Leave out frames of another shape than most have, and those that cannot be scaled."""
        if self.scale_from_header:
            frames = ImageBatch([frame for frame in frames if self.why_not(frame) is None])
        shapes = Counter(frame.shape for frame in frames).most_common(1)
        return ImageBatch([frame for frame in frames if frame.shape == shapes[0][0]])

    def why_not(self, frame: Image) -> str | None:
        """Reason for which a frame cannot be scaled; None if it can."""
        try:
            self.frame_scale(frame)
        except ProcessorError as exc:
            return str(exc)
        return None

    def scaled_frames(self, frames: ImageBatch) -> tuple[ImageBatch, list[float]]:
        """Tell by what each frame is divided; one for which that fails is left out.

        Raises
        ------
        MissingCalibrationError
            If fewer than ``min_inputs`` are left.
        """
        usable, scales, reasons = ImageBatch(), [], []
        for frame in frames:
            try:
                scales.append(self.frame_scale(frame))
                usable.append(frame)
            except ProcessorError as exc:
                reasons.append((frame, str(exc)))
        if len(usable) < max(1, self.min_inputs):
            raise self.missing_error(
                f"found {len(usable)} usable {self.base_key} frames among {len(frames)}, need "
                f"{max(1, self.min_inputs)}: {reasons[0][1]}"
            )
        for frame, reason in reasons:
            self.add_caveat(frame, f"left out of the master {self.base_key}: {reason}")
        return usable, scales

    # -- the master ---------------------------------------------------------------------------

    def finish_master(self, frames: ImageBatch, data: np.ndarray) -> Image:
        """Make the master of combined pixels, which it takes over."""
        header = master_header(list(frames), self.base_key, self.method)
        self.annotate_master(header, list(frames))
        return self.ready(Image(MemoryPixels(data), header))

    def ready(self, master: Image) -> Image:
        """Do once to a master what would otherwise be done for each image."""
        if self.needs_level and LEVEL_KEY not in master:
            level = median_level(master.view_data())
            if math.isfinite(level):  # FITS has no NaN
                master[LEVEL_KEY] = (rounded(level), "Median of the master")
        return master

    def level(self, master: Image) -> float:
        """Median of a master; NaN if all its pixels are masked."""
        return float(self.ready(master).get(LEVEL_KEY, math.nan))


class PremadeMaster(ProcessorPremadeCache, MasterCalibrator):
    """Base of the calibrators whose master was made before."""

    def prepare(self, batch: ImageBatch) -> Image | None:
        """Open the master for a batch; None if there is none and that is allowed."""
        master = super().prepare(batch)
        if master is None:
            return None
        master.keep_pixels()
        return self.ready(master)
