"""One header-and-data unit of a FITS file as its structural keywords describe it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from mirar_dask.errors import InvalidFitsError

BLOCK = 2880
CARD = 80
_BITPIX = (8, 16, 32, 64, -32, -64)
_STRUCTURAL = (
    b"SIMPLE",
    b"XTENSION",
    b"TFIELDS",
    b"BITPIX",
    b"PCOUNT",
    b"GCOUNT",
    b"GROUPS",
    b"ZIMAGE",
)
_SCALING = (b"BSCALE", b"BZERO", b"BLANK", b"ZBITPIX", b"INHERIT")


@dataclass(frozen=True)
class Hdu:
    """One header and the place of its data."""

    index: int
    """0 for the primary HDU."""
    raw: bytes
    """The header's cards, without END and padding."""
    header_offset: int
    """Where it begins in the (uncompressed) file, bytes."""
    offset: int
    """Where its data begin, bytes."""
    values: dict[str, str]
    """Structural keywords as text."""

    def number(self, key: str, default: float | None = None) -> float:
        """Return a keyword's value as a number."""
        text = self.values.get(key)
        if text is None:
            if default is None:
                raise InvalidFitsError(f"its header lacks {key}")
            return default
        try:
            value = float(text.replace("D", "E").replace("d", "e"))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InvalidFitsError(f"its header says {key}={text}, which is no number")
        return value

    def integer(self, key: str, default: int | None = None) -> int:
        """Return a keyword's value as a whole number (some cameras write ``2048.0``)."""
        value = self.number(key, default)
        if not float(value).is_integer():
            raise InvalidFitsError(f"its header says {key}={value}, which is no whole number")
        return int(value)

    def axes(self, prefix: str = "") -> tuple[int, ...]:
        """Return NAXIS1, NAXIS2 ... (with prefix Z those of the image in a compressed table)."""
        n_axes = self.integer(f"{prefix}NAXIS")
        if not 0 <= n_axes <= 999:
            raise InvalidFitsError(f"its header says {prefix}NAXIS={n_axes}")
        lengths = tuple(self.integer(f"{prefix}NAXIS{i + 1}") for i in range(n_axes))
        if any(length < 0 for length in lengths):
            raise InvalidFitsError(f"its header says that its axes are {lengths}")
        return lengths

    @cached_property
    def kind(self) -> str:
        """Give ``image``, ``compressed`` (tiles in a table), ``table``, ``groups`` or ``empty``."""
        extension = self.values.get("XTENSION", "").strip("' ").upper()
        if extension in ("BINTABLE", "A3DTABLE"):
            return "compressed" if self.values.get("ZIMAGE") == "T" else "table"
        if extension and extension not in ("IMAGE", "IUEIMAGE"):
            return "table"
        axes = self.axes()
        if self.values.get("GROUPS") == "T" and axes[:1] == (0,):
            return "groups"
        return "image" if axes else "empty"

    @property
    def bitpix(self) -> int:
        """Type of the pixels, as FITS codes it."""
        key = "ZBITPIX" if self.kind == "compressed" else "BITPIX"
        value = self.integer(key)
        if value not in _BITPIX:
            raise InvalidFitsError(f"its header says {key}={value}; FITS knows {_BITPIX}")
        return value

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image as NumPy gives it."""
        return self.axes("Z" if self.kind == "compressed" else "")[::-1]

    @cached_property
    def data_bytes(self) -> int:
        """Declared length of the data in the file, without padding."""
        axes = self.axes()
        if self.kind == "groups":
            axes = axes[1:]
        if not axes:
            return 0
        bitpix = self.integer("BITPIX")
        if bitpix not in _BITPIX:
            raise InvalidFitsError(f"its header says BITPIX={bitpix}; FITS knows {_BITPIX}")
        more, groups = self.integer("PCOUNT", 0), self.integer("GCOUNT", 1)
        if more < 0 or groups < 1:
            raise InvalidFitsError(f"its header says PCOUNT={more} and GCOUNT={groups}")
        return abs(bitpix) // 8 * groups * (more + math.prod(axes))

    @property
    def end(self) -> int:
        """Where the data end, bytes."""
        return self.offset + self.data_bytes


def find_end(block: bytes) -> int:
    """Return where the END card begins, or -1."""
    position = block.find(b"END")
    while position >= 0:
        if position % CARD == 0 and not block[position + 3 : position + 8].strip(b" \0"):
            return position
        position = block.find(b"END", position + 3)
    return -1


def structural_values(raw: bytes) -> dict[str, str]:
    """Collect the keywords that decide where things lie; the first of a name counts."""
    values: dict[str, str] = {}
    for start in range(0, len(raw), CARD):
        key = raw[start : start + 8].rstrip()
        if key in _STRUCTURAL or key in _SCALING or key.startswith((b"NAXIS", b"ZNAXIS")):
            if raw[start + 8 : start + 9] != b"=":
                continue
            text = raw[start + 9 : start + CARD].partition(b"/")[0]
            values.setdefault(key.decode(), text.decode("latin-1").strip())
    return values
