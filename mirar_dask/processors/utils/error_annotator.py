"""Errors of a reduction, written into the headers of the images that they concern."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mirar_dask.data import Image
from mirar_dask.errors import ErrorStack
from mirar_dask.paths import PROC_FAIL_KEY
from mirar_dask.processors.base.identity import digest
from mirar_dask.processors.base_processor import BaseImageProcessor, names_of

NOT_PROCESSED = "Not Processed"
"""What is written of an image that no reduction has reached."""


class ErrorStackAnnotator(BaseImageProcessor):
    """Write into each header which errors an image had in a reduction before.

    Parameters
    ----------
    errorstack : ErrorStack
        The errors of that reduction.
    processed_images : list of str, optional
        Names of the images that it has processed; one that is not among them, and has no error, is
        called ``Not Processed``. By default nothing is said of it.

    Notes
    -----
    Reads PROCFAIL; writes PROCFAIL, the names of the errors joined by commas, behind what is there.
    An image is concerned by an error of its own name, and of a raw file behind it.
    """

    base_key = "errorannotate"
    headers_only = True
    writes_products = False

    def __init__(
        self, errorstack: ErrorStack, processed_images: Iterable[str] | None = None
    ) -> None:
        super().__init__()
        self.errorstack = errorstack
        self.processed_images = None if processed_images is None else sorted(processed_images)
        self.image_dict = self.unpack_errorstack()

    def description(self) -> str:
        """Count the errors."""
        return f"Annotate headers with the errors of a reduction ({len(self.errorstack)})"

    def set_night(self, night_sub_dir: str | int = "") -> None:
        """Set the folder of the night; other errors make another step of this one."""
        super().set_night(night_sub_dir)
        self._fingerprint = digest(self._fingerprint, repr(sorted(self.image_dict.items())))

    def changes_keys(self) -> frozenset[str]:
        """Return PROCFAIL."""
        return frozenset({PROC_FAIL_KEY})

    def unpack_errorstack(self) -> dict[str, list[str]]:
        """Return the names of the errors by the names of the images that they concern."""
        found: dict[str, list[str]] = {}
        for report in self.errorstack.get_all_reports():
            for name in report.contents:
                errors = found.setdefault(name, [])
                if report.get_error_name() not in errors:
                    errors.append(report.get_error_name())
        return found

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Add to PROCFAIL of an image what is known of it."""
        names = dict.fromkeys([image.get_name(), *names_of(image)])
        known = [error for name in names for error in self.image_dict.get(name, ())]
        processed = self.processed_images
        if not known and processed is not None and not any(name in processed for name in names):
            known = [NOT_PROCESSED]
        if known:
            before = str(image.get(PROC_FAIL_KEY) or "")
            image[PROC_FAIL_KEY] = ",".join(dict.fromkeys([*filter(None, [before]), *known]))
        return image
