"""Overscan: the level of the unexposed columns is subtracted, and they are cut off."""

from __future__ import annotations

import math
import re
from string import ascii_uppercase
from typing import Any, Literal

import numpy as np

from mirar_dask.data import Image
from mirar_dask.errors import ProcessorError, UsageError
from mirar_dask.paths import SATURATE_KEY
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.calibration import lower_saturation, take_float
from mirar_dask.processors.combine import combine_rows
from mirar_dask.processors.levels import median_level, rounded
from mirar_dask.processors.sections import Section, header_section

__all__ = ["OverscanCorrector", "SectionTrimmer", "overscan_levels"]

BIASSEC_KEY = "BIASSEC"
TRIMSEC_KEY = "TRIMSEC"
DATASEC_KEY = "DATASEC"
OVERSCAN_KEY = "OVERSCAN"
"""Median of the levels that were subtracted."""

Axis = Literal["auto", "rows", "columns"]


class OverscanCorrector(BaseImageProcessor):
    """Subtracts the level of the overscan from every image that has one.

    Parameters
    ----------
    method : {'median', 'mean'}
        How the pixels of a row of the overscan are combined.
    order : int, optional
        Order of a polynomial that is fitted to the levels of all rows and subtracted in their
        place; by default each row's own level is subtracted. 0 subtracts one number.
    axis : {'auto', 'rows', 'columns'}
        Whether each row has its level, or each column (an overscan above or below the image).
        'auto': columns if BIASSEC and the exposed part (TRIMSEC, else DATASEC) share columns;
        without an exposed part, if BIASSEC is wider than high.
    section_key : str
        Header key of the overscan's section.

    Notes
    -----
    Reads ``section_key`` (BIASSEC by default), TRIMSEC, DATASEC, SATURATE; writes OVERSCAN (median
    of what was subtracted), SATURATE (lowered by it).

    An image without BIASSEC, or with one that says nothing, passes unchanged. NaNs do not count;
    a row without any other value gets its level from its neighbours, as do rows beyond the
    section.
    """

    base_key = "overscan"
    writes_products = False
    fails_before_changing = True

    def __init__(
        self,
        method: Literal["median", "mean"] = "median",
        order: int | None = None,
        axis: Axis = "auto",
        section_key: str = BIASSEC_KEY,
    ) -> None:
        super().__init__()
        if method not in ("median", "mean"):
            raise UsageError(f"method={method!r} of the overscan: expected 'median' or 'mean'")
        if axis not in ("auto", "rows", "columns"):
            raise UsageError(f"axis={axis!r}: expected 'auto', 'rows' or 'columns'")
        if order is not None and order < 0:
            raise UsageError(f"order={order}: expected 0 or more, or none for each row's own level")
        self.method = method
        self.order = order
        self.axis = axis
        self.section_key = section_key

    def description(self) -> str:
        """Say what is subtracted."""
        if self.order is None:
            return f"Subtract the {self.method} of each row of the overscan."
        return f"Subtract a polynomial of order {self.order} fitted to the overscan."

    def changes_keys(self) -> frozenset[str]:
        """Change OVERSCAN and SATURATE."""
        return frozenset({OVERSCAN_KEY, SATURATE_KEY})

    def memory_needed(self, shape: tuple[int, ...], n_images: int) -> int:
        """Bytes of the strip: images are corrected in place."""
        return math.prod(shape)

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Subtract the overscan of one image.

        Raises
        ------
        SectionError
            If BIASSEC is nonsense or outside of the image.
        ProcessorError
            If the overscan has no pixel that is not NaN.
        """
        section = header_section(image, self.section_key)
        if section is None:
            return image
        by_column = self.is_by_column(image, section)
        strip = image.view_data()[section.slices]
        start, size = (section.x_start, image.shape[1]) if by_column else (
            section.y_start, image.shape[0]
        )  # fmt: skip
        try:
            levels = overscan_levels(
                strip.T if by_column else strip, start, size, method=self.method, order=self.order
            )
        except ValueError as exc:
            raise ProcessorError(
                f"overscan {section.shape} of '{image.get_name()}': {exc}"
            ) from exc
        data = take_float(image)
        _subtract_levels(data, levels[None, :] if by_column else levels[:, None])
        image.give_data(data)
        level = rounded(median_level(levels))
        image[OVERSCAN_KEY] = (level, "Median of the overscan that was subtracted")
        lower_saturation(image, level)
        return image

    def is_by_column(self, image: Image, section: Section) -> bool:
        """Whether each column, not each row, has its level."""
        if self.axis != "auto":
            return self.axis == "columns"
        for key in (TRIMSEC_KEY, DATASEC_KEY):
            exposed = header_section(image, key)
            if exposed is not None:
                return section.overlaps_columns(exposed)
        return section.shape[1] > section.shape[0]


def overscan_levels(
    strip: np.ndarray,
    start: int,
    size: int,
    *,
    method: Literal["median", "mean"] = "median",
    order: int | None = None,
) -> np.ndarray:
    """Tell the level of each row of an image from its overscan.

    Parameters
    ----------
    strip : ndarray, shape (rows, width)
        The overscan; NaNs do not count.
    start, size : int
        First row of the image that `strip` has, and number of rows of the image.
    method : {'median', 'mean'}
        How the pixels of a row are combined.
    order : int, optional
        Order of the polynomial that replaces the levels (Chebyshev, least squares).

    Returns
    -------
    ndarray, shape (size,), float64

    Raises
    ------
    ValueError
        If too few rows have a value.
    """
    columns = [column[None, :] for column in np.asarray(strip, float).T]
    measured = combine_rows(columns, method=method)[0].astype(float)
    known = np.flatnonzero(~np.isnan(measured))
    needed = 1 if order is None else order + 1
    if len(known) < needed:
        raise ValueError(f"{len(known)} rows have pixels that are not masked, need {needed}")
    rows, everywhere = known + start, np.arange(size, dtype=float)
    if order is None:
        return np.interp(everywhere, rows, measured[known])
    domain = [0, max(1, size - 1)]
    fit = np.polynomial.Chebyshev.fit(rows, measured[known], order, domain=domain)
    return np.asarray(fit(everywhere))


def _subtract_levels(data: np.ndarray, levels: np.ndarray) -> None:
    # In two parts, so that a float32 result is right to its own last digit and not to that of
    # the level: integers less an integer are exact, and what is left of the level is small.
    whole = np.rint(levels)
    data -= whole.astype(data.dtype)
    data -= (levels - whole).astype(data.dtype)


class SectionTrimmer(BaseImageProcessor):
    """Cuts every image down to its exposed part.

    Parameters
    ----------
    section_keys : sequence of str
        Header keys of the section to keep; the first that an image has counts.

    Notes
    -----
    Reads ``section_keys`` (TRIMSEC, DATASEC by default), CRPIX1, CRPIX2, LTV1, LTV2, NAXIS1,
    NAXIS2; writes NAXIS1, NAXIS2, CRPIX1 and CRPIX2 (of all coordinate systems), LTV1 and LTV2
    (so that physical coordinates stay those of the raw frame), and removes TRIMSEC, DATASEC,
    BIASSEC.

    An image without such a section passes unchanged.
    """

    base_key = "trim"
    writes_products = False
    fails_before_changing = True

    def __init__(self, section_keys: tuple[str, ...] | list[str] = (TRIMSEC_KEY, DATASEC_KEY)):
        super().__init__()
        self.section_keys = list(section_keys)

    def description(self) -> str:
        """Say what is cut."""
        return f"Trim to {', else '.join(self.section_keys)}."

    def changes_keys(self) -> frozenset[str]:
        """Change the shape, the sections, and where coordinates have their origin."""
        axes = [f"{key}{axis}" for key in ("NAXIS", "LTV", "CRPIX") for axis in (1, 2)]
        others = [f"CRPIX{axis}{letter}" for axis in (1, 2) for letter in ascii_uppercase]
        sections = (TRIMSEC_KEY, DATASEC_KEY, BIASSEC_KEY, *self.section_keys)
        return frozenset({*axes, *others, *sections})

    def memory_needed(self, shape: tuple[int, ...], n_images: int) -> int:
        """Bytes of the part that is left."""
        return 4 * math.prod(shape)

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Trim one image.

        Raises
        ------
        SectionError
            If the section is nonsense or outside of the image.
        """
        sections = (header_section(image, key) for key in self.section_keys)
        section = next((section for section in sections if section is not None), None)
        if section is None:
            return image
        if section.shape != image.shape:
            image.give_data(image.view_data()[section.slices].copy())
        self.update_header(image, section)
        return image

    def update_header(self, image: Image, section: Section) -> None:
        """Let the header describe the part that is left."""
        header = image.get_header()
        for axis, offset, size in (
            (1, section.x_start, section.shape[1]),
            (2, section.y_start, section.shape[0]),
        ):
            if f"NAXIS{axis}" in header:
                header[f"NAXIS{axis}"] = size
            for key in [key for key in header if re.fullmatch(rf"CRPIX{axis}[A-Z]?", key)]:
                header[key] -= offset
            if offset or f"LTV{axis}" in header:
                header[f"LTV{axis}"] = header.get(f"LTV{axis}", 0.0) - offset
        for key in {TRIMSEC_KEY, DATASEC_KEY, BIASSEC_KEY, *self.section_keys}:
            header.remove(key, ignore_missing=True)
