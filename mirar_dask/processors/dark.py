"""Dark: a master of dark frames for one second, or one made before, is scaled and subtracted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from astropy.io.fits import Header

from mirar_dask.data import Image, ImageBatch
from mirar_dask.errors import MissingCalibrationError, ProcessorError
from mirar_dask.paths import DARK_FRAME_KEY, EXPTIME_KEY, LATEST_SAVE_KEY, SATURATE_KEY
from mirar_dask.processors.calibration import (
    MasterCalibrator,
    PremadeMaster,
    SubtractScaled,
    change_rows,
    header_number,
    lower_saturation,
    select_class,
)

__all__ = ["DarkCalibrator", "MasterDarkCalibrator", "MissingDarkError", "default_select_dark"]


class MissingDarkError(MissingCalibrationError):
    """Raised when a batch holds too few dark frames for a master."""


def default_select_dark(images: ImageBatch) -> ImageBatch:
    """Pick the dark frames of a batch: OBSCLASS or TARGET is 'dark', in upper or lower case."""
    return select_class(images, "dark")


class DarkCalibrator(MasterCalibrator):
    """Makes a master dark for one second, and subtracts from every image its share of it.

    Parameters
    ----------
    *args, **kwargs
        As of `ProcessorWithCache`.
    select_cache_images : callable
        Given a batch, returns the frames of the master; looks at headers only.

    Notes
    -----
    Reads EXPTIME (s), OBSCLASS and TARGET (unless ``select_cache_images`` is given), SATURATE;
    writes DARKNAME (path of the master), SATURATE (where the header has it: lowered by the median
    of what was subtracted).

    Each dark is divided by its EXPTIME before they are combined, so darks of any exposure times
    serve images of any; the bias has to be gone by then. All images of the batch are corrected,
    the dark frames too. A pixel that is NaN in the image or in the master becomes NaN. A dark
    without a positive EXPTIME is left out of the master; an image without EXPTIME fails.
    """

    base_name = "master_dark"
    base_key = "dark"
    reads_later = True
    needs_level = True

    def __init__(
        self,
        *args: Any,
        select_cache_images: Callable[[ImageBatch], ImageBatch] = default_select_dark,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        # mirar's name of the parameter is that of the method.
        self.select_cache_images = select_cache_images  # type: ignore[method-assign,assignment]

    def description(self) -> str:
        """Say what is done, and how the master is made."""
        return f"Subtract a master dark, the {self.method} of the dark frames, scaled by EXPTIME."

    def changes_keys(self) -> frozenset[str]:
        """Change DARKNAME and SATURATE."""
        return frozenset({DARK_FRAME_KEY, SATURATE_KEY})

    def missing_error(self, message: str) -> MissingDarkError:
        """Make the error that says that there is no master dark."""
        return MissingDarkError(message)

    def frame_scale(self, image: Image) -> float:
        """Exposure time of a dark, in seconds."""
        seconds = header_number(image, EXPTIME_KEY, "scale a dark")
        if seconds <= 0:
            raise ProcessorError(
                f"'{image.get_name()}' has {EXPTIME_KEY}={seconds}, a dark needs a positive one"
            )
        return seconds

    def annotate_master(self, header: Header, frames: Sequence[Image]) -> None:
        """Say that the master is for one second."""
        header[EXPTIME_KEY] = 1.0
        if "BUNIT" in header:
            header["BUNIT"] = f"{header['BUNIT']}/s"

    def correct(self, image: Image, master: Image) -> Image:
        """Subtract the master, scaled by the exposure time, from one image of its shape."""
        seconds = header_number(image, EXPTIME_KEY, "scale the master dark")
        change_rows(image, SubtractScaled(master.pixels, seconds))
        if seconds <= 0 and len(self.select_cache_images(ImageBatch([image]))):
            self.add_caveat(image, f"left out of the master dark: {self.why_not(image)}")
        lower_saturation(image, self.level(master) * seconds)
        image[DARK_FRAME_KEY] = master[LATEST_SAVE_KEY]
        return image


class MasterDarkCalibrator(PremadeMaster, DarkCalibrator):
    """Subtracts a master dark that was made before, for one second, from every image.

    Parameters
    ----------
    master_image_path_generator : callable
        Given a batch, returns the path of its master dark.
    *args, **kwargs
        As of `DarkCalibrator`.
    """

    def description(self) -> str:
        """Say what is done."""
        return "Subtract a master dark that was made before, scaled by EXPTIME."
