"""Images as the planner sees them: headers as far as they are known, no pixels.

A step may be asked which group an image belongs to, or which frames make a master, before any
pixel is read. Where its answer would hang on a header value that an earlier step may still
change, or on pixels, looking ahead ends there: `LateError` is raised instead of a wrong answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from astropy.io.fits import Header

from mirar_dask.data import Image
from mirar_dask.data.image_data import ImageHandle
from mirar_dask.data.pixels import Pixels
from mirar_dask.paths import BASE_NAME_KEY, PROC_HISTORY_KEY
from mirar_dask.processors.base_processor import BaseProcessor


class LateError(BaseException):
    """Raised when something is asked that is known only once earlier steps have run.

    A BaseException, so that no processor's own ``except`` takes it for a missing key.
    """


class AheadHeader(Header):
    """A header some of whose values are not known yet."""

    late: frozenset[str] | None
    """Keys that may still change; None for all."""

    def _check(self, key: Any) -> None:
        if key == PROC_HISTORY_KEY:
            return
        if self.late is None:
            raise LateError(str(key))
        if isinstance(key, str) and key.upper() in self.late:
            raise LateError(key)

    def __getitem__(self, key: Any) -> Any:
        self._check(key)
        return super().__getitem__(key)

    def __contains__(self, key: Any) -> bool:
        self._check(key)
        return super().__contains__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return a value that is known."""
        self._check(key)
        return super().get(key, default)


class AheadPixels(Pixels):
    """Pixels that must not be asked for."""

    def __init__(self, pixels: Pixels) -> None:
        self.shape = pixels.shape
        self.dtype = pixels.dtype
        self.path = pixels.path

    rows_readable = False

    def read(self) -> np.ndarray:
        """Raise: they are not known yet."""
        raise LateError("pixels")

    def token(self) -> tuple[Any, ...]:
        """Raise: they are not known yet."""
        raise LateError("pixels")


@dataclass(frozen=True, slots=True)
class AheadHandle:
    """An image as a plan knows it behind some steps, in the place of its handle."""

    image: Image

    files: ClassVar[tuple[()]] = ()

    def open(self) -> Image:
        """Return the image itself: a plan looks at it once more."""
        return self.image

    @property
    def pixels(self) -> Pixels:
        """Pixels that must not be asked for."""
        return self.image.pixels

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape that the pixels had when they were read."""
        return self.image.shape

    @property
    def name(self) -> str:
        """The image's ``BASENAME``, as far as it is known."""
        return str(Header.__getitem__(self.image.get_header(), BASE_NAME_KEY))

    @property
    def names(self) -> list[str]:
        """Base names of the raw files behind the image."""
        return [path.name for path in self.image.get_raw_img_list()]


def look_ahead(handle: ImageHandle | AheadHandle) -> Image:
    """Make an image whose header is known and whose pixels must not be asked for."""
    if isinstance(handle, AheadHandle):
        return handle.image
    image = handle.open()
    header = image.get_header()
    # A parsed header of 60 cards takes a millisecond to copy; changing its class takes nothing,
    # and nobody else holds it.
    header.__class__ = AheadHeader
    header.late = frozenset()
    return Image(AheadPixels(handle.pixels), header)


def ahead_handle(image: Image) -> AheadHandle:
    """Put an image, looked at before or not, into the place of its handle."""
    if isinstance(image.get_header(), AheadHeader):
        return AheadHandle(image)
    return AheadHandle(look_ahead(image.handle()))


def know_less(images: Iterable[Image], step: BaseProcessor) -> None:
    """Note what a step that was not run may change in headers."""
    changed = step.changes_keys()
    for image in images:
        header = image.get_header()
        late = header.late
        header.late = None if changed is None or late is None else late | changed


def pass_by(images: Iterable[Image], step: BaseProcessor) -> None:
    """Write the history of a step that was not run."""
    for image in images:
        header = image.get_header()
        late, header.late = header.late, frozenset()
        step.write_history(image)
        header.late = late


def is_known(image: Image) -> bool:
    """Whether all of the header of an image is known."""
    return image.get_header().late == frozenset()


def known_handle(image: Image, pixels: Pixels) -> ImageHandle:
    """Handle of an image as it is after steps that concern headers only."""
    header = image.get_header()
    late, header.late = header.late, frozenset()
    try:
        plain = Header(header.cards, copy=True)
    finally:
        header.late = late
    return Image(pixels, plain).handle()
