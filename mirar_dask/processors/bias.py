"""Bias: a master of bias frames, or one made before, is subtracted from every image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mirar_dask.data import Image, ImageBatch
from mirar_dask.errors import MissingCalibrationError
from mirar_dask.paths import BIAS_FRAME_KEY, LATEST_SAVE_KEY, SATURATE_KEY
from mirar_dask.processors.calibration import (
    MasterCalibrator,
    PremadeMaster,
    Subtract,
    change_rows,
    lower_saturation,
    select_class,
)

__all__ = ["BiasCalibrator", "MasterBiasCalibrator", "MissingBiasError", "default_select_bias"]


class MissingBiasError(MissingCalibrationError):
    """Raised when a batch holds too few bias frames for a master."""


def default_select_bias(images: ImageBatch) -> ImageBatch:
    """Pick the bias frames of a batch: OBSCLASS or TARGET is 'bias', in upper or lower case."""
    return select_class(images, "bias")


class BiasCalibrator(MasterCalibrator):
    """Makes a master bias of the batch's bias frames and subtracts it from every image.

    Parameters
    ----------
    *args, **kwargs
        As of `ProcessorWithCache`.
    select_bias_images : callable
        Given a batch, returns the frames of the master; looks at headers only.

    Notes
    -----
    Reads OBSCLASS and TARGET (unless ``select_bias_images`` is given), SATURATE; writes BIASNAME
    (path of the master), SATURATE (where the header has it: lowered by the median of the master).

    All images of the batch are corrected, the bias frames too. A pixel that is NaN in the image
    or in the master becomes NaN.
    """

    base_key = "bias"
    reads_later = True
    needs_level = True

    def __init__(
        self,
        *args: Any,
        select_bias_images: Callable[[ImageBatch], ImageBatch] = default_select_bias,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.select_bias_images = select_bias_images

    def description(self) -> str:
        """Say what is done, and how the master is made."""
        return f"Subtract a master bias, the {self.method} of the bias frames."

    def changes_keys(self) -> frozenset[str]:
        """Change BIASNAME and SATURATE."""
        return frozenset({BIAS_FRAME_KEY, SATURATE_KEY})

    def select_cache_images(self, images: ImageBatch) -> ImageBatch:
        """Pick the bias frames of a batch."""
        return self.select_bias_images(images)

    def missing_error(self, message: str) -> MissingBiasError:
        """Make the error that says that there is no master bias."""
        return MissingBiasError(message)

    def correct(self, image: Image, master: Image) -> Image:
        """Subtract the master from one image of its shape."""
        change_rows(image, Subtract(master.pixels))
        image[BIAS_FRAME_KEY] = master[LATEST_SAVE_KEY]
        lower_saturation(image, self.level(master))
        return image


class MasterBiasCalibrator(PremadeMaster, BiasCalibrator):
    """Subtracts a master bias that was made before from every image.

    Parameters
    ----------
    master_image_path_generator : callable
        Given a batch, returns the path of its master bias.
    *args, **kwargs
        As of `BiasCalibrator`.
    """

    def description(self) -> str:
        """Say what is done."""
        return "Subtract a master bias that was made before."
