"""Masking pixels: from a file, by a function, above a threshold, at sky positions, by section.

A masked pixel is NaN in the image. A mask file has 0 where a pixel is masked and 1 where it is
good; `BaseMask.get_mask` answers the other way round, True where a pixel shall be masked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirar_dask.data import Image
from mirar_dask.errors import UsageError
from mirar_dask.processors.mask_base import MASK_VALUE, BaseMask, Mask, read_mask
from mirar_dask.processors.mask_sky import MaskPixelsFromWCS
from mirar_dask.processors.sections import header_section
from mirar_dask.processors.utils.header_values import ParsingError, callable_name, header_value

__all__ = [
    "MASK_VALUE",
    "BaseMask",
    "MaskAboveThreshold",
    "MaskDatasecPixels",
    "MaskPixelsFromFunction",
    "MaskPixelsFromPath",
    "MaskPixelsFromPathInverted",
    "MaskPixelsFromWCS",
    "WriteMaskedCoordsToFile",
]


DATASEC_KEY = "DATASEC"


class MaskPixelsFromPath(BaseMask):
    """Mask the pixels that are 0 in a mask image.

    Parameters
    ----------
    mask_path : str or Path, optional
        Path of the mask image.
    mask_path_key : str, optional
        Header key that holds the path of each image's own mask. Give this or ``mask_path``.
    write_masked_pixels_to_file, output_dir_name, only_write_mask
        As in `BaseMask`.

    Raises
    ------
    UsageError
        If both or none of ``mask_path`` and ``mask_path_key`` are given.

    Notes
    -----
    Reads ``mask_path_key``; writes MASKFITS (if the mask is saved). NaN in the mask image counts as
    a value other than 0.
    """

    base_key = "maskfrompath"

    def __init__(
        self,
        mask_path: str | Path | None = None,
        mask_path_key: str | None = None,
        write_masked_pixels_to_file: bool = False,
        output_dir_name: str = "mask",
        only_write_mask: bool = False,
    ) -> None:
        super().__init__(write_masked_pixels_to_file, output_dir_name, only_write_mask)
        _one_of(type(self).__name__, mask_path=mask_path, mask_path_key=mask_path_key)
        self.mask_path = None if mask_path is None else Path(mask_path).absolute()
        self.mask_path_key = mask_path_key

    def description(self) -> str:
        """Name the mask."""
        return f"Mask the pixels that are 0 in {self._shown()}"

    def _shown(self) -> str:
        if self.mask_path is None:
            return f"the mask named in header key {self.mask_path_key}"
        return f"the mask '{self.mask_path.name}'"

    def get_mask(self, image: Image) -> Mask:
        """Return True where the mask image is 0."""
        if self.mask_path is not None:
            return read_mask(self.mask_path)
        return read_mask(str(header_value(image, str(self.mask_path_key))))


class MaskPixelsFromPathInverted(MaskPixelsFromPath):
    """Mask the pixels that are not 0 in a mask image.

    The opposite of `MaskPixelsFromPath`, with the same parameters: for files in which bad pixels
    are marked with 1.
    """

    base_key = "maskfrompathinverted"

    def description(self) -> str:
        """Name the mask."""
        return f"Mask the pixels that are not 0 in {self._shown()}"

    def get_mask(self, image: Image) -> Mask:
        """Return True where the mask image is not 0."""
        inverted: Mask = ~super().get_mask(image)
        return inverted


class MaskPixelsFromFunction(BaseMask):
    """Mask the pixels that a function picks.

    Parameters
    ----------
    mask_function : callable
        Given an Image, returns an array of its shape, True where a pixel shall be masked.
    write_masked_pixels_to_file, output_dir_name, only_write_mask
        As in `BaseMask`.

    Notes
    -----
    Reads none; writes MASKFITS (if the mask is saved).
    """

    base_key = "maskfromfunction"

    def __init__(
        self,
        mask_function: Callable[[Image], NDArray[Any]],
        write_masked_pixels_to_file: bool = False,
        output_dir_name: str = "mask",
        only_write_mask: bool = False,
    ) -> None:
        super().__init__(write_masked_pixels_to_file, output_dir_name, only_write_mask)
        self.mask_function = mask_function

    def description(self) -> str:
        """Name the function."""
        return f"Mask the pixels that the function '{callable_name(self.mask_function)}' picks"

    def get_mask(self, image: Image) -> Mask:
        """Return what the function returns."""
        return self.mask_function(image)


class MaskAboveThreshold(BaseMask):
    """Mask the pixels above a threshold, saturated ones for instance.

    Parameters
    ----------
    threshold : float, optional
        Largest value that stays, in the units of the image.
    threshold_key : str, optional
        Header key that holds each image's own threshold. Give this or ``threshold``.
    write_masked_pixels_to_file, output_dir_name, only_write_mask
        As in `BaseMask`.

    Raises
    ------
    UsageError
        If both or none of ``threshold`` and ``threshold_key`` are given.

    Notes
    -----
    Reads ``threshold_key``, of every image anew; writes MASKFITS (if the mask is saved).
    """

    base_key = "maskthresh"

    def __init__(
        self,
        threshold: float | None = None,
        threshold_key: str | None = None,
        write_masked_pixels_to_file: bool = False,
        output_dir_name: str = "mask",
        only_write_mask: bool = False,
    ) -> None:
        super().__init__(write_masked_pixels_to_file, output_dir_name, only_write_mask)
        _one_of(type(self).__name__, threshold=threshold, threshold_key=threshold_key)
        self.threshold = threshold
        self.threshold_key = threshold_key

    def description(self) -> str:
        """Name the threshold."""
        limit = f"header key {self.threshold_key}" if self.threshold is None else self.threshold
        return f"Mask the pixels above {limit}"

    def get_mask(self, image: Image) -> Mask:
        """Return True where the image is above the threshold."""
        limit = self.threshold
        if limit is None:
            limit = _number(image, str(self.threshold_key))
        above: Mask = image.view_data() > limit
        return above


class WriteMaskedCoordsToFile(BaseMask):
    """Save which pixels of an image are masked (NaN).

    `MaskPixelsFromWCS` then masks the same positions on the sky in other images.

    Parameters
    ----------
    output_dir_name, only_write_mask
        As in `BaseMask`.

    Notes
    -----
    Reads none; writes MASKFITS.
    """

    base_key = "writemaskedcoords"

    def __init__(self, output_dir_name: str = "mask", only_write_mask: bool = False) -> None:
        super().__init__(True, output_dir_name, only_write_mask)

    def description(self) -> str:
        """Name the folder."""
        return f"Save the masks of images to folder '{self.output_dir_name}'"

    def get_mask(self, image: Image) -> Mask:
        """Return True where the image is NaN."""
        masked: Mask = ~image.get_mask()
        return masked


class MaskDatasecPixels(BaseMask):
    """Mask the pixels outside the section that DATASEC names.

    DATASEC is ``[x1:x2,y1:y2]``, counted from one with both ends included, as FITS has it.

    Parameters
    ----------
    write_masked_pixels_to_file, output_dir_name, only_write_mask
        As in `BaseMask`.

    Notes
    -----
    Reads DATASEC; writes MASKFITS (if the mask is saved). An image without DATASEC, or with one
    that is no part of it, fails alone.
    """

    base_key = "maskdatasec"

    def description(self) -> str:
        """Say what is masked."""
        return "Mask the pixels outside of DATASEC"

    def get_mask(self, image: Image) -> Mask:
        """Return True outside of the section."""
        section = header_section(image, DATASEC_KEY)
        if section is None:
            raise ParsingError(
                f"'{image.get_name()}' has no section in header key '{DATASEC_KEY}'; add it "
                "while loading"
            )
        mask: Mask = np.ones(image.shape, dtype=bool)
        mask[section.slices] = False
        return mask


def _one_of(owner: str, **options: object) -> None:
    """Raise unless one, and only one, of two options is given."""
    given = [name for name, value in options.items() if value is not None]
    if len(given) != 1:
        raise UsageError(
            f"{owner} needs one of {' and '.join(options)}, got {' and '.join(given) or 'none'}"
        )


def _number(image: Image, key: str) -> float:
    value = header_value(image, key)
    try:
        return float(value)
    except (TypeError, ValueError) as exc:
        raise ParsingError(
            f"'{image.get_name()}' has {key}={value!r} where a number is needed"
        ) from exc
