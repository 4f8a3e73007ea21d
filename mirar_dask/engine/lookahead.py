"""Images as the planner sees them: headers as far as they are known, no pixels.

A step may be asked which group an image belongs to, or which frames make a master, before any
pixel is read. Where its answer would hang on a header value that an earlier step may still
change, or on pixels, looking ahead ends there: `LateError` is raised instead of a wrong answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
from astropy.io.fits import Header

from mirar_dask.data import Image
from mirar_dask.data.header_edits import copy_header
from mirar_dask.data.headers import TravellingHeader, pack_header
from mirar_dask.data.image_data import ImageHandle
from mirar_dask.data.pixels import Pixels
from mirar_dask.paths import BASE_NAME_KEY, PROC_HISTORY_KEY
from mirar_dask.processors.base.history import HISTORY_KEYS, add_to_handle
from mirar_dask.processors.base_processor import BaseProcessor


class LateError(BaseException):
    """Raised when something is asked that is known only once earlier steps have run.

    A BaseException, so that no processor's own ``except`` takes it for a missing key.
    """


class AheadHeader(Header):
    """The parsed header of an image some of whose values are not known yet."""

    late: frozenset[str] | None
    """Keys that may still change; None for all."""

    def __getitem__(self, key: Any) -> Any:
        check_known(key, self.late)
        return super().__getitem__(key)

    def __contains__(self, key: Any) -> bool:
        check_known(key, self.late)
        return super().__contains__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        """Return a value that is known."""
        check_known(key, self.late)
        return super().get(key, default)


def check_known(key: Any, late: frozenset[str] | None) -> None:
    """Raise LateError for a header key that may still change."""
    if key == PROC_HISTORY_KEY:
        return
    if late is None or (isinstance(key, str) and key.upper() in late):
        raise LateError(str(key))


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


class AheadImage(Image):
    """An image behind steps that were not run: its header as far as it is known, no pixels.

    The history of the steps that it passed is written only if somebody looks at it: that of a
    night's images costs as much as all the rest of looking ahead.
    """

    late: frozenset[str] | None
    """Keys that may still change; None for all."""
    _passed: list[tuple[BaseProcessor, str]]
    """Steps whose history is not written yet, with the keys of what they used."""
    _packed: TravellingHeader
    _header: Any

    @classmethod
    def of(cls, header: TravellingHeader, pixels: Pixels) -> AheadImage:
        """Make an image of which all but the pixels is known."""
        image = cls.__new__(cls)
        image._packed, image._header, image._loaded = header, None, None
        image._pixels = AheadPixels(pixels)
        image._passed = []
        image.late = frozenset()
        return image

    def know_less(self, changed: frozenset[str] | None) -> None:
        """Note that a step may change some keys, or any (None)."""
        late = self.late
        self.late = None if changed is None or late is None else late | changed
        if self._header is not None:
            self._header.late = self.late

    def pass_by(self, step: BaseProcessor, used: str = "") -> None:
        """Note that a step was passed; ``used`` is the key of its context."""
        self._passed.append((step, used))
        if type(step).write_history is not BaseProcessor.write_history:
            self.header  # noqa: B018  # who knows what it writes

    @property
    def name(self) -> str:
        """The ``BASENAME``, as far as it is known."""
        if self._header is not None:
            return str(Header.__getitem__(self._header, BASE_NAME_KEY))
        return str(self._packed.get(BASE_NAME_KEY))

    @property
    def header(self) -> Header:
        """The parsed header."""
        if self._header is None:
            header = self._packed.unpack()
            header.__class__ = AheadHeader
            header.late = self.late
            self._header = header
        if self._passed:
            self._write_history()
        return cast("Header", self._header)

    @header.setter
    def header(self, header: Header) -> None:
        header.__class__ = AheadHeader
        header.late = self.late
        self._header = header

    def _write_history(self) -> None:
        passed, self._passed = self._passed, []
        late, self._header.late, self.late = self.late, frozenset(), frozenset()
        for step, used in passed:
            step.write_history(self, used)
        self._header.late = self.late = late

    def _quick(self, key: Any) -> Any:
        check_known(key, self.late)
        if self._passed and isinstance(key, str) and key.upper() in HISTORY_KEYS:
            self.header  # noqa: B018
        return super()._quick(key)

    def handle_of(self, handle: ImageHandle) -> ImageHandle:
        """Return a handle of this image as it is here, with the pixels of another handle.

        For images that have passed only steps that leave pixels alone.
        """
        if self._header is None:
            return add_history(handle.with_header(self._packed), self._passed)
        plain = copy_header(self.header)
        plain.__class__ = Header
        del plain.late
        return handle.with_header(pack_header(plain))

    def __copy__(self) -> AheadImage:
        image = super().__copy__()
        image._passed = list(self._passed)
        return image


@dataclass(frozen=True, slots=True)
class AheadHandle:
    """An image as a plan knows it behind some steps, in the place of its handle."""

    image: AheadImage

    files: ClassVar[tuple[()]] = ()

    def open(self) -> AheadImage:
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
        return self.image.name

    @property
    def names(self) -> list[str]:
        """Base names of the raw files behind the image."""
        return [path.name for path in self.image.get_raw_img_list()]


def look_ahead(handle: ImageHandle | AheadHandle) -> AheadImage:
    """Make an image whose header is known and whose pixels must not be asked for."""
    if isinstance(handle, AheadHandle):
        return handle.image
    return AheadImage.of(handle.header, handle.pixels)


def as_ahead(image: Image) -> AheadImage:
    """Return an image that was looked at before as it is, any other as `look_ahead` does."""
    if isinstance(image, AheadImage):
        return image
    return AheadImage.of(image.travelling_header(), image.pixels)


def add_history(handle: ImageHandle, steps: Sequence[tuple[BaseProcessor, str]]) -> ImageHandle:
    """Return a handle that has the history of steps, with the keys of what they used."""
    if not steps:
        return handle
    if all(type(step).write_history is BaseProcessor.write_history for step, _ in steps):
        passed = [(step.base_key, step.fingerprint, used) for step, used in steps]
        if (quick := add_to_handle(handle, passed)) is not None:
            return quick
    image = handle.open()
    for step, used in steps:
        step.write_history(image, used)
    return handle.with_header(image.travelling_header())
