"""Filling masked pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from mirar_dask.data import Image
from mirar_dask.errors import ProcessorError
from mirar_dask.processors.base_processor import BaseImageProcessor


class NanFiller(BaseImageProcessor):
    """Fill the masked (NaN) pixels of every image with the median of its others.

    Reads none; writes none. An image without NaN stays as it is; one of which every pixel
    is NaN fails.
    """

    base_key = "nanfill"
    writes_products = False
    fails_before_changing = True

    def description(self) -> str:
        """Say what is done."""
        return "Fill masked pixels with the median of the image"

    def changes_keys(self) -> frozenset[str] | None:
        """Change none."""
        return frozenset()

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Fill the masked pixels of one image."""
        good = image.get_mask()
        if good.all():
            return image
        if not good.any():
            raise ProcessorError(
                f"every pixel of '{image.get_name()}' is masked, so there is no median to fill "
                "with; look at the masking steps before"
            )
        data = image.take_data()
        data[~good] = np.median(data[good])
        image.give_data(data)
        return image
