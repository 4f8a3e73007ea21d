"""Pictures of images."""

from __future__ import annotations

from typing import Any

from mirar_dask.data import Image
from mirar_dask.errors import NoncriticalProcessingError, UsageError
from mirar_dask.paths import get_output_dir
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.header_values import as_list

PLOT_FORMATS = ("png", "pdf")


class ImagePlotter(BaseImageProcessor):
    """Plot every image, grey from five standard deviations below its median to five above.

    The picture goes to ``<output>/<night>/<output_sub_dir>/<stem of BASENAME>.<plot_format>``.

    Parameters
    ----------
    output_sub_dir : str
        Folder for pictures below the night's output folder.
    plot_format : {'png', 'pdf'}
        Kind of file.
    annotate_fields : str or list of str, optional
        Header keys whose values are the picture's title.

    Raises
    ------
    UsageError
        If the format is another.

    Notes
    -----
    Reads ``annotate_fields``, BASENAME; writes none. The pixels are left alone; masked (NaN) ones
    stay blank. An image that lacks one of the fields goes on without a picture, with a
    report.
    """

    base_key = "plot"
    fails_before_changing = True

    def __init__(
        self,
        output_sub_dir: str = "plots",
        plot_format: str = "png",
        annotate_fields: str | list[str] | None = None,
    ) -> None:
        super().__init__()
        if plot_format not in PLOT_FORMATS:
            raise UsageError(
                f"plot_format={plot_format!r} of ImagePlotter: expected 'png' or 'pdf'"
            )
        self.output_sub_dir = output_sub_dir
        self.plot_format = plot_format
        self.annotate_fields = None if annotate_fields is None else as_list(annotate_fields)

    def description(self) -> str:
        """Name the format and the folder."""
        return f"Plot images as {self.plot_format} to folder '{self.output_sub_dir}'"

    def changes_keys(self) -> frozenset[str] | None:
        """Change none."""
        return frozenset()

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Plot one image."""
        from mirar_dask.data.utils import plot_fits_image

        lacking = [key for key in self.annotate_fields or [] if key not in image.keys()]
        if lacking:
            raise NoncriticalProcessingError(
                f"'{image.get_name()}' lacks header key {' and '.join(lacking)} for the title of "
                "its picture; correct annotate_fields"
            )
        folder = get_output_dir(self.output_sub_dir, sub_dir=self.night_sub_dir or "")
        folder.mkdir(parents=True, exist_ok=True)
        plot_fits_image(
            image, folder, plot_format=self.plot_format, title_fields=self.annotate_fields
        )
        return image
