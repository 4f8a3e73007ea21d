"""The base of the masking processors, and the reading of mask files."""

from __future__ import annotations

import logging
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirar_dask.data import Image
from mirar_dask.errors import ImageNotFoundError, ShapeMismatchError
from mirar_dask.io import open_image
from mirar_dask.paths import BASE_NAME_KEY, FITS_MASK_KEY, get_mask_path, get_output_path
from mirar_dask.processors.base_processor import BaseImageProcessor

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

    @property
    def writes_products(self) -> bool:  # type: ignore[override]
        """Whether a file is written; else the image is all that changes."""
        return self.write_masked_pixels_to_file

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

    def memory_needed(self, shape: tuple[int, ...], n_images: int) -> int:
        """Bytes of masks, and of the one that is written, as floats."""
        return (3 + 8 * self.write_masked_pixels_to_file) * math.prod(shape)

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
    zeros: Mask = open_image(path).view_data() == 0
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
