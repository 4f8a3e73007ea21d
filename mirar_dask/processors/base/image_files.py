"""ImageHandler: how processors open images and save them, under mirar's names."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mirar_dask.data import Image, ImageBatch
from mirar_dask.io import open_image, save_fits
from mirar_dask.io.writing import Measure
from mirar_dask.paths import (
    BASE_NAME_KEY,
    LATEST_WEIGHT_SAVE_KEY,
    PROC_HISTORY_KEY,
    get_mask_path,
)


class ImageHandler:
    """Opens and saves images for processors."""

    @staticmethod
    def open_fits(path: str | Path) -> Image:
        """Open a FITS file as an Image; RAWPATH and BASENAME are filled in where absent.

        Its pixels are read from the file when they are asked for.
        """
        return open_image(Path(path))

    @staticmethod
    def save_fits(
        image: Image, path: str | Path, compress: bool = False, measure: Measure | None = None
    ) -> None:
        """Save an Image; its header then says where, under SAVEPATH, and what `measure` found."""
        save_fits(image, Path(path), compress=compress, measure=measure)

    def save_mask_image(self, image: Image, img_path: str | Path, compress: bool = False) -> Path:
        """Save the mask of an image beside it: 0 where masked, 1 where good.

        Where the image names a weight map (WGHTPATH) that exists, good pixels get their weight
        instead of 1. The header of the image itself is left as it is.

        Parameters
        ----------
        image : Image
            The image whose NaNs are the mask.
        img_path : Path
            Where the image itself is saved.
        compress : bool
            Whether to compress the mask.

        Returns
        -------
        Path
            Where the mask was written: ``<stem>.mask.fits``.
        """
        mask_path = Path(get_mask_path(Path(img_path)))
        mask = image.get_mask().astype("float32")
        weight = image[LATEST_WEIGHT_SAVE_KEY] if LATEST_WEIGHT_SAVE_KEY in image.keys() else None
        if weight is not None and Path(str(weight)).is_file():
            mask *= self.open_fits(str(weight)).view_data()
        self.save_fits(Image(mask, image.get_header().copy()), mask_path, compress=compress)
        return mask_path

    @staticmethod
    def get_hash(image_batch: ImageBatch) -> str:
        """Hash of the names and histories of the images of a batch, whatever their order."""
        parts = sorted(str(x[BASE_NAME_KEY]) + str(x[PROC_HISTORY_KEY]) for x in image_batch)
        return hashlib.sha1("".join(parts).encode(), usedforsecurity=False).hexdigest()
