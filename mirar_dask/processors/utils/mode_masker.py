"""Masking values that are too common to be measurements."""

from __future__ import annotations

from typing import Any

import numpy as np

from mirar_dask.data import Image
from mirar_dask.errors import NoncriticalProcessingError
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.mask_base import as_float

COMMON_FRACTION = 1e-4
"""Fraction of an image's pixels that may have one value."""
LEAST_COMMON = 10
"""So many pixels of one value are no accident, however small the image."""
MOST_MASKED = 0.5
"""If more of an image than this fraction would go, its values are whole numbers, not fillings."""


class ModeMasker(BaseImageProcessor):
    """Mask (set to NaN) the pixels whose value is very common in their image.

    Detectors and resampling mark pixels by a value: 0, or a ceiling. In an image of floats a
    value that more than one pixel in 10,000 has, and at least ten pixels, is such a mark. An
    image of which more than half would be masked goes on as it is, with a report: its values are
    most likely whole numbers, as in a raw frame. Reads none; writes none. NaN stays NaN.
    """

    base_key = "modemask"
    writes_products = False
    fails_before_changing = True

    def description(self) -> str:
        """Say what is done."""
        return "Mask the pixels whose value is very common in their image"

    def changes_keys(self) -> frozenset[str] | None:
        """Change none."""
        return frozenset()

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Mask the common values of one image."""
        data = image.view_data()
        values, counts = np.unique(data[~np.isnan(data)], return_counts=True)
        common = values[counts >= max(COMMON_FRACTION * data.size, LEAST_COMMON)]
        if common.size == 0:
            return image
        mask = np.isin(data, common)
        fraction = np.count_nonzero(mask) / mask.size
        if fraction > MOST_MASKED:
            raise NoncriticalProcessingError(
                f"{fraction:.0%} of '{image.get_name()}' has values that many pixels share, as in "
                "an image of whole numbers; nothing was masked. Mask before, or after, the step "
                "that rounds"
            )
        del data
        masked = as_float(image.take_data())
        masked[mask] = np.nan
        image.give_data(masked)
        return image
