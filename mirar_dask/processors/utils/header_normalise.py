"""HeaderNormaliser: writes mirar's core fields from whatever keywords a camera uses.

It reads and writes headers only, so that a night can be planned before any pixel is read. Any
pipeline may start with it; `imager` does.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any

from mirar_dask.data import Image
from mirar_dask.data.header_edits import append_values
from mirar_dask.paths import (
    BASE_NAME_KEY,
    COADD_KEY,
    EXPTIME_KEY,
    FILTER_KEY,
    GAIN_KEY,
    OBSCLASS_KEY,
    PROC_FAIL_KEY,
    PROC_HISTORY_KEY,
    SATURATE_KEY,
    TARGET_KEY,
)
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.header_words import ALIASES, is_absent, parse_number
from mirar_dask.processors.sections import SectionError, parse_section
from mirar_dask.processors.utils.frame_header import (
    BINNING_KEY,
    GAIN_SETTING_KEY,
    MJD_KEY,
    FrameHeader,
    HeaderRules,
    Keywords,
    MissingKeywordError,
    UnknownImageTypeError,
)

__all__ = [
    "ASSUMED_KEY",
    "DEFAULT_GROUP_KEYS",
    "EXTENSION_KEY",
    "GROUP_KEY",
    "MJD_KEY",
    "HeaderNormaliser",
    "MissingKeywordError",
    "UnknownImageTypeError",
]

EXTENSION_KEY = "EXTPOS"
"""Header key: position of the extension that an image came from, in files with several images."""
ASSUMED_KEY = "ASSUMED"
"""Header key: fields that no keyword gave and a default filled in, joined by commas."""
GROUP_KEY = "CALGROUP"
"""Header key: what frames must share to be calibrated with each other, as text."""
UNIT_KEY = "BUNIT"
TRIM_KEYS = ("TRIMSEC", "DATASEC")
"""Keys of the section that trimming keeps; the first that says something counts."""
DEFAULT_GROUP_KEYS = (
    "INSTRUME", "READMODE", "READOUTM", "CONFMODE", GAIN_SETTING_KEY, "OFFSET",
)  # fmt: skip
"""Keywords that frames must share, where present, to be calibrated with each other."""

_SPOKEN = {
    "INSTRUME": "camera", "READMODE": "mode", "READOUTM": "mode", "CONFMODE": "mode",
    GAIN_SETTING_KEY: "setting", "OFFSET": "offset",
}  # fmt: skip
_COPIED = (SATURATE_KEY, "RDNOISE", "AIRMASS", "RA", "DEC", "BIASSEC", "TRIMSEC", "DATASEC")


class HeaderNormaliser(BaseImageProcessor):
    """Writes mirar's core fields from the keywords of the camera.

    Parameters
    ----------
    aliases : mapping of str to sequence of str, optional
        Field -> keywords of this camera, tried before those of the common dialects. Keywords
        joined by ``+`` are filter wheels in one beam.
    defaults : mapping, optional
        Field -> value for frames whose header gives none.
    values : mapping, optional
        Field -> value that replaces what the header says.
    image_types : mapping of str to sequence of str, optional
        Class (``bias``, ``dark``, ``flat``, ``science``, ``other``) -> further words of the
        image-type keyword.
    group_keys : sequence of str, optional
        Keywords that frames must share, where present, to be calibrated with each other; beside
        shape, position on the detector, binning, gain and extension.
    trim : bool
        Whether images are trimmed later, so that their shape is that of the trimmed image.

    Notes
    -----
    Reads the keywords of the camera (see ``docs/instrument.md``); writes OBSCLASS, TARGET, EXPTIME,
    FILTER, GAIN (electrons per ADU), DATE-OBS, MJD-OBS, BINNING, COADDS, PROCFAIL, BUNIT, where
    known SATURATE, RDNOISE, AIRMASS, RA, DEC, BIASSEC, TRIMSEC, DATASEC, GAINSET (a camera's
    setting that it calls GAIN), then CALGROUP (what frames share that may be calibrated with each
    other) and ASSUMED (what the header did not say).

    A frame
    whose image type cannot be told, or that is no bias and has no exposure time, fails with a
    message that names the keywords that were tried. What else is missing gets a default, and is
    named under ASSUMED. Normalising twice changes nothing.
    """

    base_key = "header_normaliser"
    headers_only = True
    writes_products = False
    fails_before_changing = True

    def __init__(
        self,
        aliases: Mapping[str, Sequence[str]] | None = None,
        defaults: Mapping[str, Any] | None = None,
        values: Mapping[str, Any] | None = None,
        image_types: Mapping[str, Sequence[str]] | None = None,
        group_keys: Sequence[str] = DEFAULT_GROUP_KEYS,
        trim: bool = True,
    ) -> None:
        super().__init__()
        self.aliases = {name: list(keys) for name, keys in (aliases or {}).items()}
        self.defaults = dict(defaults or {})
        self.values = dict(values or {})
        self.image_types = {cls: list(words) for cls, words in (image_types or {}).items()}
        self.group_keys = list(group_keys)
        self.trim = trim

    @property
    def rules(self) -> HeaderRules:
        """What the camera does its own way."""
        return HeaderRules(self.aliases, self.defaults, self.values, self.image_types)

    def description(self) -> str:
        """Say what is written."""
        return "Write mirar's core header fields from the camera's keywords."

    def changes_keys(self) -> frozenset[str]:
        """Name the fields that may be written."""
        more = (COADD_KEY, MJD_KEY, GAIN_SETTING_KEY, ASSUMED_KEY, GROUP_KEY, PROC_FAIL_KEY)
        return frozenset({*ALIASES, *more, UNIT_KEY})

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Write the fields into the header of one image."""
        header = image.get_header()
        known = Keywords(header)
        fields = self.read(known, image.shape, str(header[BASE_NAME_KEY]))
        new = {key: value for key, value in fields.items() if key not in known}
        for key, value in fields.items():
            # A card that already says so is left alone, also in its form.
            if key in known and not _same(known[key], value):
                header[key] = value
        append_values(header, new)
        return image

    def read(self, header: Mapping[str, Any], shape: tuple[int, ...], name: str) -> dict[str, Any]:
        """Tell all fields from a header, which is not changed.

        Parameters
        ----------
        header : Header or mapping
            Of a raw frame.
        shape : tuple of int
            (ny, nx) of its pixels.
        name : str
            Name of its file, for messages and as the last source of a target's name.

        Raises
        ------
        UnknownImageTypeError, MissingKeywordError
            If the frame cannot be used.
        """
        frame = FrameHeader(header, name, self.rules)
        keywords = frame.keywords
        fields: dict[str, Any] = {
            OBSCLASS_KEY: frame.kind,
            TARGET_KEY: frame.target(),
            EXPTIME_KEY: frame.exposure_time(),
            FILTER_KEY: frame.filter_name(),
            **frame.gain(),
            **frame.start(),
            BINNING_KEY: frame.binning(),
            COADD_KEY: int(parse_number(keywords.get(COADD_KEY)) or 1),
        }
        fields.update({key: value for key in _COPIED if (value := frame.optional(key)) is not None})
        blank = {PROC_HISTORY_KEY: "", PROC_FAIL_KEY: "", UNIT_KEY: "adu"}
        fields.update({key: value for key, value in blank.items() if key not in keywords})
        before = str(keywords.get(ASSUMED_KEY) or "").split(",")
        assumed = [key for key in dict.fromkeys([*before, *frame.assumed]) if key]
        if assumed:
            fields[ASSUMED_KEY] = ",".join(assumed)
        both = ChainMap(fields, keywords)  # type: ignore[arg-type]  # nothing writes into it
        fields[GROUP_KEY] = self.group(both, shape, assumed)
        return fields

    def group(
        self, header: Mapping[str, Any], shape: tuple[int, ...], assumed: Sequence[str]
    ) -> str:
        """Say in words what frames must share to be calibrated with each other."""
        ny, nx = self.final_shape(header, shape)
        parts = [f"{nx}x{ny}"]
        corner = [int(parse_number(header.get(key)) or 0) for key in ("XORGSUBF", "YORGSUBF")]
        if any(corner):
            parts[0] += f"+{corner[0]}+{corner[1]}"
        parts.append(f"bin {header[BINNING_KEY]}")
        if EXTENSION_KEY in header:
            parts.append(f"extension {header[EXTENSION_KEY]}")
        if GAIN_KEY not in assumed:
            parts.append(f"gain {header[GAIN_KEY]:g}")
        parts += [
            f"{_SPOKEN.get(key, key)} {str(header[key]).strip()}"
            for key in self.group_keys
            if not is_absent(header.get(key))
        ]
        return ", ".join(parts)

    def final_shape(self, header: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape (ny, nx) that the image has once it is trimmed."""
        for key in TRIM_KEYS if self.trim else ():
            try:
                section = parse_section(header.get(key), (shape[0], shape[1]))
            except SectionError:
                return shape  # the step that trims says what is wrong with it
            if section is not None:
                return section.shape
        return shape


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other
