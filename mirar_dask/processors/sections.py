"""Sections of an image as headers give them, ``[x1:x2,y1:y2]``: parsing, no pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mirar_dask.data import Image
from mirar_dask.errors import ProcessorError
from mirar_dask.processors.header_words import is_absent

_ZEROS = re.compile(r"0(:0)?,0(:0)?")
"""How some cameras say that there is no section."""
_RANGE = re.compile(r"([+-]?\d+)(?:\s*:\s*([+-]?\d+))?|\*")


class SectionError(ProcessorError, ValueError):
    """Raised when the text of a section cannot be understood, or lies outside of its image."""


@dataclass(frozen=True, slots=True)
class Section:
    """A rectangle of pixels, as numpy slices: from 0, the end excluded."""

    y_start: int
    y_stop: int
    x_start: int
    x_stop: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the rectangle in an array of shape (ny, nx)."""
        return slice(self.y_start, self.y_stop), slice(self.x_start, self.x_stop)

    @property
    def shape(self) -> tuple[int, int]:
        """Its shape: (ny, nx)."""
        return self.y_stop - self.y_start, self.x_stop - self.x_start

    def overlaps_columns(self, other: Section) -> bool:
        """Whether a column goes through both rectangles."""
        return self.x_start < other.x_stop and other.x_start < self.x_stop


def parse_section(text: object, shape: tuple[int, int]) -> Section | None:
    """Read a section in IRAF's notation: x before y, from 1, both ends included.

    Parameters
    ----------
    text : object
        ``'[x1:x2,y1:y2]'``. ``*`` stands for a whole axis, one number for a range of one pixel;
        a reversed range is taken as the same pixels. A value that says nothing ('N/A',
        'UNKNOWN', blank, ``'[0:0,0:0]'``...) is no section.
    shape : tuple of int
        (ny, nx) of the image that it is a part of.

    Returns
    -------
    Section or None
        None where there is no section.

    Raises
    ------
    SectionError
        If it is no such text, or not inside the image; the message says which.

    Examples
    --------
    >>> parse_section("[3:10,1:5]", (5, 12)).slices
    (slice(0, 5, None), slice(2, 10, None))
    >>> parse_section("N/A", (5, 12)) is None
    True
    """
    if is_absent(text):
        return None
    content = str(text).strip().removeprefix("[").removesuffix("]")
    if _ZEROS.fullmatch(content):
        return None
    found = [_RANGE.fullmatch(part.strip()) for part in content.split(",")]
    if len(found) != 2 or found[0] is None or found[1] is None:
        raise SectionError(f"'{text}' is no section: expected [x1:x2,y1:y2], such as [1:2048,1:32]")
    x_start, x_stop = _pixels(found[0], shape[1], "x", text)
    y_start, y_stop = _pixels(found[1], shape[0], "y", text)
    return Section(y_start, y_stop, x_start, x_stop)


def header_section(image: Image, key: str) -> Section | None:
    """Read the section that a header key gives; None where the key is missing or says nothing.

    Raises
    ------
    SectionError
        As from `parse_section`; the message names image and key.
    """
    ny, nx = image.shape
    try:
        return parse_section(image.get(key), (ny, nx))
    except SectionError as exc:
        raise SectionError(f"{key} of '{image.get_name()}': {exc}") from None


def _pixels(match: re.Match[str], size: int, axis: str, text: object) -> tuple[int, int]:
    if match[1] is None:
        return 0, size
    ends = int(match[1]), int(match[2] or match[1])
    first, last = min(ends), max(ends)
    if first < 1 or last > size:
        raise SectionError(f"'{text}' is outside of the image: {axis} goes from 1 to {size}")
    return first - 1, last
