"""Saving images as FITS files."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mirar_dask.data import DataBatch, DataBlock, Image
from mirar_dask.io import saved_pixels
from mirar_dask.io.banded import BAND_BYTES
from mirar_dask.paths import BASE_NAME_KEY, LATEST_SAVE_KEY, get_output_path
from mirar_dask.processors.base.claims import OutputPathError, current_claims
from mirar_dask.processors.base.core import CONTAINED
from mirar_dask.processors.base_processor import (
    BaseImageProcessor,
    BaseProcessor,
    Processed,
    Record,
    names_of,
)
from mirar_dask.processors.sky_level import SKY_KEY, SKY_RMS_KEY, sky_cards
from mirar_dask.processors.utils.header_values import header_text

DATE_KEY = "DATE"

__all__ = ["ImageSaver", "OutputPathError", "back_by_product"]


class ImageSaver(BaseImageProcessor):
    """Save every image under its own name.

    The file is ``<output>/<night>/<output_dir_name>/<BASENAME>``. It is written under a temporary
    name and renamed, so that nobody sees half of it, and replaces the file of an earlier run. Two
    images of a run that have one path are not saved over each other: the second fails.

    Parameters
    ----------
    output_dir_name : str
        Folder below the night's output folder.
    write_mask : bool
        Also save the mask as ``<stem>.mask.fits``: 0 where masked, 1 (or the weight, where
        WGHTPATH names a weight map) where good.
    output_dir : str or Path, optional
        Root in place of the output root.
    compress : bool
        Compress the tiles of the image (still FITS, readable by the usual programs).
    measure_sky : bool
        Also write what a sample of the pixels tells of the sky: SKYMED, its level, and SKYRMS,
        its noise, both in the image's units.

    Notes
    -----
    Reads BASENAME, WGHTPATH (for the mask); writes SAVEPATH (the path), DATE (the time of writing,
    UTC), SKYMED and SKYRMS (where asked for).

    Masked pixels are saved as NaN. The pixels stay as they are; those of an uncompressed product
    are from then on read from it, so that no second copy is kept.
    """

    base_key = "save"
    fails_before_changing = True

    def __init__(
        self,
        output_dir_name: str,
        write_mask: bool = False,
        output_dir: str | Path | None = None,
        compress: bool = False,
        measure_sky: bool = False,
    ) -> None:
        super().__init__()
        self.output_dir_name = output_dir_name
        self.write_mask = write_mask
        self.output_dir = None if output_dir is None else Path(output_dir).absolute()
        self.compress = compress
        self.measure_sky = measure_sky
        self.backs_images = True
        """Whether images read their pixels from the product; not if a later step replaces it."""

    def description(self) -> str:
        """Name the folder."""
        kind = "compressed" if self.compress else "uncompressed"
        return f"Save {kind} images to folder '{self.output_dir_name}'"

    def changes_keys(self) -> frozenset[str] | None:
        """Change SAVEPATH and DATE, and what is measured."""
        measured = {SKY_KEY, SKY_RMS_KEY} if self.measure_sky else set()
        return frozenset({LATEST_SAVE_KEY, DATE_KEY} | measured)

    def set_preceding_steps(self, previous_steps: list[BaseProcessor]) -> None:
        """Tell the processor which steps come before it, and those which files it will replace."""
        super().set_preceding_steps(previous_steps)
        for step in previous_steps:
            if isinstance(step, ImageSaver) and step.root_and_folder == self.root_and_folder:
                # An image backed by the earlier product could not be read any more if this step
                # has to be done a second time, after a worker died.
                step.backs_images = False

    def memory_needed(self, shape: tuple[int, ...], n_images: int) -> int:
        """Bytes of the band that is being written; of all pixels for masks and compression."""
        frames = 3 * self.compress + 2 * self.write_mask
        return 2 * BAND_BYTES + frames * 4 * math.prod(shape)

    @property
    def root_and_folder(self) -> tuple[Path | None, str]:
        """Where products go, apart from the night."""
        return self.output_dir, self.output_dir_name.strip("/")

    def product_path(self, block: DataBlock) -> Path:
        """Return the path under which an image will be saved, told from its header alone."""
        return get_output_path(
            header_text(block, BASE_NAME_KEY),
            dir_root=self.output_dir_name,
            sub_dir=self.night_sub_dir or "",
            output_dir=self.output_dir,
        )

    def refuse_shared_paths(self, batch: DataBatch[Any]) -> tuple[DataBatch[Any], list[Record]]:
        """Set apart the images whose path an image before them has; each is one failure."""
        claims = current_claims()
        kept, records = [], []
        for image in batch:
            try:
                claims.claim(self.product_path(image), image)
                kept.append(image)
            except CONTAINED as exc:
                records.append(self.failure(exc, names_of(image)))
        return type(batch)(kept), records

    def process(self, batch: DataBatch[Any]) -> Processed:
        """Save the images of a batch; one that would be saved over another fails."""
        kept, records = self.refuse_shared_paths(batch)
        done = super().process(kept)
        done.records[:0] = records
        return done

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Save one image."""
        path = self.product_path(image)
        path.parent.mkdir(parents=True, exist_ok=True)
        image[DATE_KEY] = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
        if self.write_mask:
            self.save_mask_image(image, img_path=path)
        measure = sky_cards if self.measure_sky else None
        self.save_fits(image, path, compress=self.compress, measure=measure)
        if self.backs_images and not self.compress:
            back_by_product(image, path)
        return image


def back_by_product(image: Image, path: Path) -> None:
    """Have the pixels of an image read from its product, where that gives them as they are."""
    pixels = saved_pixels(path)
    same = (pixels.shape, pixels.dtype) == (image.shape, image.dtype)
    if same and pixels.rows_readable:
        image.back_by(pixels)
