"""Sky: the pattern of the night sky, told from the science images, is subtracted from each."""

from __future__ import annotations

import math

from mirar_dask.data import Image
from mirar_dask.errors import MissingCalibrationError, ProcessorError
from mirar_dask.paths import LATEST_SAVE_KEY, SATURATE_KEY
from mirar_dask.processors.calibration import (
    PremadeMaster,
    SubtractScaled,
    change_rows,
    lower_saturation,
)
from mirar_dask.processors.flat import MissingFlatError, SkyFlatCalibrator
from mirar_dask.processors.levels import median_level, rounded

__all__ = ["MasterSkyCalibrator", "MissingSkyError", "NightSkyMedianCalibrator"]

SKY_LEVEL_KEY = "SKMEDSUB"
SKY_FRAME_KEY = "SKYNAME"


class MissingSkyError(MissingFlatError):
    """Raised when a batch holds too few science images for a master of the sky."""


class NightSkyMedianCalibrator(SkyFlatCalibrator):
    """Makes a master of the sky and subtracts it from every image, scaled by the image's median.

    Parameters
    ----------
    *args, **kwargs
        As of `SkyFlatCalibrator`: each science image is divided by the median of its window, and
        they are combined.

    Notes
    -----
    Reads OBSCLASS, SATURATE, ``flat_mask_key``; writes SKYNAME (path of the master), SKMEDSUB
    (median of the image, by which the master was scaled), SATURATE (where the header has it:
    lowered by that median).

    Arithmetic is in the type of the image: in float32 a sky of 10,000 is subtracted to 1e-3.
    """

    base_key = "sky"
    reads_later = False  # it measures the level of each image

    def description(self) -> str:
        """Say what is done, and how the master is made."""
        return f"Subtract the sky, the {self.method} of the science images, scaled to each image."

    def changes_keys(self) -> frozenset[str]:
        """Change SKMEDSUB, SKYNAME and SATURATE."""
        return frozenset({SKY_LEVEL_KEY, SKY_FRAME_KEY, SATURATE_KEY})

    def missing_error(self, message: str) -> MissingCalibrationError:
        """Make the error that says that there is no master of the sky."""
        return MissingSkyError(message)

    def correct(self, image: Image, master: Image) -> Image:
        """Subtract the scaled master from one image of its shape.

        Raises
        ------
        ProcessorError
            If all pixels of the image are masked; the image is as it was.
        """
        level = median_level(image.view_data())
        if not math.isfinite(level):
            raise ProcessorError(f"'{image.get_name()}' has no median: all its pixels are masked")
        change_rows(image, SubtractScaled(master.pixels, level))
        image[SKY_LEVEL_KEY] = (rounded(level), "Median sky level subtracted")
        image[SKY_FRAME_KEY] = master[LATEST_SAVE_KEY]
        lower_saturation(image, rounded(level))
        return image


class MasterSkyCalibrator(PremadeMaster, NightSkyMedianCalibrator):
    """Subtracts a master of the sky that was made before, scaled by each image's median.

    Parameters
    ----------
    master_image_path_generator : callable
        Given a batch, returns the path of its master.
    *args, **kwargs
        As of `NightSkyMedianCalibrator`.
    """

    def description(self) -> str:
        """Say what is done."""
        return "Subtract a master of the sky that was made before, scaled to each image."
