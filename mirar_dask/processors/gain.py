"""Gain: pixels in counts of the converter (ADU) become electrons."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from mirar_dask.data import Image
from mirar_dask.errors import ProcessorError, UsageError
from mirar_dask.paths import GAIN_KEY, SATURATE_KEY
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.calibration import header_number, take_float

__all__ = ["GainCorrector"]

BUNIT_KEY = "BUNIT"
READ_NOISE_KEY = "RDNOISE"
APPLIED_GAIN_KEY = "GAINUSED"
"""Gain by which the pixels were multiplied."""

_ELECTRONS = frozenset({"electron", "electrons", "e-", "e"})
_COUNTS = frozenset({"", "adu", "adus", "dn", "count", "counts", "ct"})


class GainCorrector(BaseImageProcessor):
    """Multiplies every image by its gain, so that pixels are in electrons.

    Parameters
    ----------
    gain : float, optional
        Electrons per ADU; by default what the header says.
    gain_key : str
        Header key of the gain.

    Notes
    -----
    Reads ``gain_key`` (GAIN by default), BUNIT, RDNOISE, SATURATE; writes BUNIT ('electron'), GAIN
    (1), GAINUSED (the gain), SATURATE (multiplied), RDNOISE (see below).

    RDNOISE is in electrons by custom and stays; it is multiplied if the comment of its card says
    ADU, DN or counts. An image that is in electrons already (BUNIT) passes unchanged with a caveat,
    so that the step may run twice.
    """

    base_key = "gain"
    writes_products = False
    fails_before_changing = True

    def __init__(self, gain: float | None = None, gain_key: str = GAIN_KEY) -> None:
        super().__init__()
        if gain is not None and not (math.isfinite(gain) and gain > 0):
            raise UsageError(f"gain={gain}: expected a positive number of electrons per ADU")
        self.gain = gain
        self.gain_key = gain_key

    def description(self) -> str:
        """Say by what is multiplied."""
        return f"Multiply by {self.gain or self.gain_key}, so that pixels are in electrons."

    def changes_keys(self) -> frozenset[str]:
        """Change the keys that depend on the unit."""
        return frozenset(
            {BUNIT_KEY, GAIN_KEY, self.gain_key, APPLIED_GAIN_KEY, SATURATE_KEY, READ_NOISE_KEY}
        )

    def memory_needed(self, shape: tuple[int, ...], n_images: int) -> int:
        """Nothing: images are multiplied in place."""
        return 0

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Multiply one image by its gain.

        Raises
        ------
        ProcessorError
            If the gain is missing or not a positive number, or the image is in another unit.
        """
        unit = str(image.get(BUNIT_KEY) or "").strip().lower()
        if unit in _ELECTRONS:
            self.add_caveat(image, f"{BUNIT_KEY} is '{unit}' already: not multiplied by the gain")
            return image
        if unit not in _COUNTS:
            raise ProcessorError(
                f"'{image.get_name()}' is in '{unit}' ({BUNIT_KEY}); a gain applies to ADU"
            )
        gain = self.gain_of(image)
        data = take_float(image)
        np.multiply(data, data.dtype.type(gain), out=data)
        image.give_data(data)
        self.update_header(image, gain)
        return image

    def gain_of(self, image: Image) -> float:
        """Gain of one image, electrons per ADU."""
        if self.gain is not None:
            return self.gain
        gain = header_number(image, self.gain_key, "turn ADU into electrons")
        if gain <= 0:
            raise ProcessorError(
                f"'{image.get_name()}' has {self.gain_key}={gain}, a gain must be positive; give "
                "one as a number"
            )
        return gain

    def update_header(self, image: Image, gain: float) -> None:
        """Let the header describe pixels in electrons."""
        header = image.get_header()
        noise = header.get(READ_NOISE_KEY)
        if isinstance(noise, int | float) and _is_in_counts(header.comments[READ_NOISE_KEY]):
            header[READ_NOISE_KEY] = (noise * gain, "[electron] Read noise")
        if isinstance(saturation := header.get(SATURATE_KEY), int | float):
            header[SATURATE_KEY] = saturation * gain
        header[BUNIT_KEY] = ("electron", "Unit of the pixels")
        header[APPLIED_GAIN_KEY] = (gain, "Electrons per ADU, multiplied")
        for key in {GAIN_KEY, self.gain_key}:
            header[key] = 1.0


def _is_in_counts(comment: str) -> bool:
    words = set(re.findall(r"[a-z]+-?", comment.lower()))
    return bool(words & (_COUNTS - {""})) and not words & _ELECTRONS
