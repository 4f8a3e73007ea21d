"""Masking pixels: from a file, by a function, above a threshold, at sky positions, by section.

A masked pixel is NaN in the image. A mask file has 0 where a pixel is masked and 1 where it is
good; `BaseMask.get_mask` answers the other way round, True where a pixel shall be masked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirar_dask.data import Image
from mirar_dask.errors import ImageNotFoundError, ShapeMismatchError, UsageError
from mirar_dask.paths import BASE_NAME_KEY, FITS_MASK_KEY, get_mask_path, get_output_path
from mirar_dask.processors.base_processor import BaseImageProcessor, ImageHandler
from mirar_dask.processors.utils.header_values import (
    ParsingError,
    as_list,
    callable_name,
    header_value,
)

logger = logging.getLogger(__name__)

Mask = NDArray[np.bool_]
"""Shape (ny, nx); True where a pixel shall be masked."""

MASK_VALUE = np.nan
"""What a masked pixel holds."""


class BaseMask(BaseImageProcessor):
    """Base of the masking processors: subclasses say which pixels, in `get_mask`.

    Parameters
    ----------
    write_masked_pixels_to_file : bool
        Save the mask as ``<output>/<night>/<output_dir_name>/<stem of BASENAME>.mask.fits``, 0
        where masked and 1 where good.
    output_dir_name : str
        Folder for masks below the night's output folder.
    only_write_mask : bool
        Leave the pixels of the image as they are.

    Notes
    -----
    Writes MASKFITS, the path of the mask, if the mask is saved. Pixels that are NaN stay NaN. An
    image of integers becomes one of floats.
    """

    fails_before_changing = True

    def __init__(
        self,
        write_masked_pixels_to_file: bool = False,
        output_dir_name: str = "mask",
        only_write_mask: bool = False,
    ) -> None:
        super().__init__()
        self.write_masked_pixels_to_file = write_masked_pixels_to_file
        self.output_dir_name = output_dir_name
        self.only_write_mask = only_write_mask
        # Where no file is written the image is all that changes.
        self.writes_products = write_masked_pixels_to_file

    def changes_keys(self) -> frozenset[str] | None:
        """Change MASKFITS, if the mask is saved."""
        return frozenset({FITS_MASK_KEY} if self.write_masked_pixels_to_file else ())

    def get_mask(self, image: Image) -> Mask:
        """Say which pixels of an image shall be masked.

        Parameters
        ----------
        image : Image
            The image; leave it unchanged.

        Returns
        -------
        ndarray of bool, shape of the image
            True where a pixel shall be masked.
        """
        raise NotImplementedError

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Mask the pixels of one image, and save the mask if that is asked for.

        Raises
        ------
        ShapeMismatchError
            If the mask has another shape than the image.
        """
        mask = np.asarray(self.get_mask(image)).astype(bool, copy=False)
        if mask.shape != image.shape:
            raise ShapeMismatchError(
                f"the mask for '{image.get_name()}' has shape {mask.shape}, the image "
                f"{image.shape}; {type(self).__name__} needs a mask of the image's shape"
            )
        logger.debug("%s: %d of %d pixels", image.get_name(), np.count_nonzero(mask), mask.size)
        if self.write_masked_pixels_to_file:
            image[FITS_MASK_KEY] = self.save_mask(image, mask).as_posix()
        if not self.only_write_mask:
            data = as_float(image.take_data())
            data[mask] = MASK_VALUE
            image.give_data(data)
        return image

    def save_mask(self, image: Image, mask: Mask) -> Path:
        """Save a mask, with the header of its image, and return its path."""
        path = get_mask_path(
            get_output_path(
                str(image[BASE_NAME_KEY]),
                dir_root=self.output_dir_name,
                sub_dir=self.night_sub_dir or "",
            )
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        # A header of its own: saving writes the mask's path into it.
        self.save_fits(Image((~mask).astype(np.float32), image.get_header().copy()), path)
        return path


def as_float(data: NDArray[Any]) -> NDArray[Any]:
    """Array that can hold NaN: the same one, or floats made of integers."""
    if np.issubdtype(data.dtype, np.floating):
        return data
    return data.astype(np.result_type(data.dtype, np.float32))


@lru_cache(maxsize=4)
def _read_zeros(path: Path, size: int, mtime_ns: int) -> Mask:
    """Where a file is 0. Kept for the next image: one mask serves a whole night."""
    zeros: Mask = ImageHandler.open_fits(path).view_data() == 0
    zeros.flags.writeable = False
    return zeros


def read_mask(path: str | Path) -> Mask:
    """Read a mask file: True where it is 0; the array is read-only.

    Raises
    ------
    ImageNotFoundError
        If there is no such file.
    """
    try:
        stat = Path(path).stat()
    except FileNotFoundError as exc:
        raise ImageNotFoundError(f"no mask at '{path}'") from exc
    return _read_zeros(Path(path), stat.st_size, stat.st_mtime_ns)


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
    Reads ``mask_path_key``; writes MASKFITS if the mask is saved. NaN in the mask image counts as
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
        self.mask_path = None if mask_path is None else Path(mask_path)
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
    Writes MASKFITS if the mask is saved.
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
    Reads ``threshold_key``, of every image anew; writes MASKFITS if the mask is saved.
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
    Writes MASKFITS.
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


class MaskPixelsFromWCS(BaseMask):
    """Mask the pixels at positions on the sky.

    Parameters
    ----------
    mask_pixels_ra, mask_pixels_dec : float or list of float, optional
        Positions in degrees (ICRS). With them ``mask_file_key`` is not used.
    mask_file_key : str
        Header key with the path of a mask file that has a WCS: the positions of its zeros.
    write_masked_pixels_to_file, output_dir_name, only_write_mask
        As in `BaseMask`.

    Raises
    ------
    UsageError
        If there are not as many right ascensions as declinations.

    Notes
    -----
    Reads the WCS and ``mask_file_key``; writes MASKFITS if the mask is saved. Each position masks
    the pixel that it falls into; positions outside the image mask nothing.
    """

    base_key = "maskwcs"

    def __init__(
        self,
        mask_pixels_ra: float | list[float] | None = None,
        mask_pixels_dec: float | list[float] | None = None,
        mask_file_key: str | None = FITS_MASK_KEY,
        write_masked_pixels_to_file: bool = False,
        output_dir_name: str = "mask",
        only_write_mask: bool = False,
    ) -> None:
        super().__init__(write_masked_pixels_to_file, output_dir_name, only_write_mask)
        if np.shape(mask_pixels_ra) != np.shape(mask_pixels_dec) or (
            (mask_pixels_ra is None) != (mask_pixels_dec is None)
        ):
            raise UsageError("MaskPixelsFromWCS needs as many values in ra as in dec")
        self.mask_pixels_ra = mask_pixels_ra
        self.mask_pixels_dec = mask_pixels_dec
        self.mask_file_key = mask_file_key if mask_pixels_ra is None else None

    def description(self) -> str:
        """Name where the positions come from."""
        if self.mask_file_key is None:
            return f"Mask the pixels at {len(as_list(self.mask_pixels_ra or []))} sky positions"
        return (
            f"Mask the sky positions that are masked in the file of header key {self.mask_file_key}"
        )

    def get_mask(self, image: Image) -> Mask:
        """Return True at the positions."""
        from astropy.coordinates import SkyCoord
        from astropy.wcs import WCS

        mask: Mask = np.zeros(image.shape, dtype=bool)
        if self.mask_file_key is None:
            sky = SkyCoord(
                np.atleast_1d(self.mask_pixels_ra), np.atleast_1d(self.mask_pixels_dec), unit="deg"
            )
        else:
            path = str(header_value(image, self.mask_file_key))
            rows, columns = np.nonzero(read_mask(path))
            if rows.size == 0:
                return mask
            sky = WCS(self.open_fits(path).get_header()).pixel_to_world(columns, rows)
        x, y = (np.rint(axis) for axis in WCS(image.get_header()).world_to_pixel(sky))
        ny, nx = image.shape
        inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)  # NaN, behind the sky, is not inside
        mask[y[inside].astype(int), x[inside].astype(int)] = True
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
