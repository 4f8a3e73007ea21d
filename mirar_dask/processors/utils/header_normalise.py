"""HeaderNormaliser: writes mirar's core fields from whatever keywords a camera uses.

It reads and writes headers only, so that a night can be planned before any pixel is read. Any
pipeline may start with it; `imager` does.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from astropy.io.fits import Header

from mirar_dask.data import Image
from mirar_dask.errors import ProcessorError
from mirar_dask.io import MissingCoreFieldError
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
    TIME_KEY,
)
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.sections import SectionError, parse_section
from mirar_dask.processors.utils.header_words import (
    ALIASES,
    CALIBRATIONS,
    NEUTRAL_WORDS,
    class_of_name,
    class_of_word,
    from_mjd,
    has_clock,
    is_absent,
    join_filters,
    known_words,
    parse_binning,
    parse_date,
    parse_number,
    squeeze,
    target_of_name,
    to_mjd,
)

EXTENSION_KEY = "EXTPOS"
"""Header key: position of the extension that an image came from, in files with several images."""
ASSUMED_KEY = "ASSUMED"
"""Header key: fields that no keyword gave and a default filled in, joined by commas."""
GROUP_KEY = "CALGROUP"
"""Header key: what frames must share to be calibrated with each other, as text."""
UNIT_KEY = "BUNIT"
BINNING_KEY = "BINNING"
MJD_KEY = "MJD-OBS"
READ_NOISE_KEY = "RDNOISE"
GAIN_SETTING_KEY = "GAINSET"
"""Header key: the camera's own GAIN where that is a setting and EGAIN is the gain."""

TRIM_KEYS = ("TRIMSEC", "DATASEC")
"""Keys of the section that trimming keeps; the first that says something counts."""

_CLOCKS = (
    "TIME-OBS", "UTC-OBS", "UT-OBS", "UTSTART", "UTCSTART", "UTC-TIME", "UT", "UTC", "TIME_OBS",
)  # fmt: skip
_BINNING_PAIRS = (
    ("XBINNING", "YBINNING"), ("CCDXBIN", "CCDYBIN"), ("XBIN", "YBIN"), ("BINX", "BINY"),
    ("HBIN", "VBIN"),
)  # fmt: skip
DEFAULT_GROUP_KEYS = (
    "INSTRUME", "READMODE", "READOUTM", "CONFMODE", GAIN_SETTING_KEY, "OFFSET",
)  # fmt: skip
_SPOKEN = {
    "INSTRUME": "camera", "READMODE": "mode", "READOUTM": "mode", "CONFMODE": "mode",
    GAIN_SETTING_KEY: "setting", "OFFSET": "offset",
}  # fmt: skip
_COPIED = (SATURATE_KEY, READ_NOISE_KEY, "AIRMASS", "RA", "DEC", "BIASSEC", "TRIMSEC", "DATASEC")
_NUMERIC = (SATURATE_KEY, READ_NOISE_KEY, "AIRMASS")


class MissingKeywordError(MissingCoreFieldError):
    """Raised when a header lacks what a frame cannot be reduced without."""


class UnknownImageTypeError(ProcessorError, ValueError):
    """Raised when a header does not tell whether a frame is bias, dark, flat or science."""


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
    A frame whose image type cannot be told, or that is no bias and has no exposure time, fails
    with a message that names the keywords that were tried. What else is missing gets a default,
    and is named in the header under ``ASSUMED``.
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
        self.aliases = {field: list(keys) for field, keys in (aliases or {}).items()}
        self.defaults = dict(defaults or {})
        self.values = dict(values or {})
        self.image_types = {cls: list(words) for cls, words in (image_types or {}).items()}
        self.group_keys = list(group_keys)
        self.trim = trim

    def description(self) -> str:
        """Say what is written."""
        return "Write mirar's core header fields from the camera's keywords."

    def changes_keys(self) -> frozenset[str]:
        """Name the fields that may be written."""
        return frozenset(
            {*ALIASES, COADD_KEY, MJD_KEY, GAIN_SETTING_KEY, ASSUMED_KEY, GROUP_KEY}
            | {PROC_FAIL_KEY, UNIT_KEY}
        )

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Write the fields into the header of one image."""
        header = image.get_header()
        for key, value in self.read(header, image.shape, str(image[BASE_NAME_KEY])).items():
            header[key] = value
        return image

    # -- reading ------------------------------------------------------------------------------

    def read(self, header: Header, shape: tuple[int, ...], name: str) -> dict[str, Any]:
        """Tell all fields from a header, which is not changed.

        Parameters
        ----------
        header : Header
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
        fields: dict[str, Any] = {}
        assumed = [key for key in str(header.get(ASSUMED_KEY) or "").split(",") if key]
        kind = self.image_type(header, name)
        fields[OBSCLASS_KEY] = kind
        fields[TARGET_KEY] = self.target(header, kind, name, assumed)
        fields[EXPTIME_KEY] = self.exposure_time(header, kind, name)
        fields[FILTER_KEY] = self.filter_name(header, kind, assumed)
        fields.update(self.gain(header, assumed))
        fields.update(self.start(header, assumed))
        fields[BINNING_KEY] = self.binning(header)
        for field in _COPIED:
            if (value := self.optional(header, field)) is not None:
                fields[field] = value
        fields[COADD_KEY] = int(parse_number(header.get(COADD_KEY)) or 1)
        for key, value in ((PROC_HISTORY_KEY, ""), (PROC_FAIL_KEY, ""), (UNIT_KEY, "adu")):
            if key not in header:
                fields[key] = value
        if assumed:
            fields[ASSUMED_KEY] = ",".join(dict.fromkeys(assumed))
        fields[GROUP_KEY] = self.group(header, fields, shape, assumed)
        return fields

    def keywords(self, field: str) -> list[str]:
        """Return the keywords that are tried for a field, in order."""
        return list(dict.fromkeys([*self.aliases.get(field, ()), *ALIASES.get(field, (field,))]))

    def look_up(self, header: Header, field: str) -> Any:
        """Return the value of a field, or None: the fixed one, the header's, the default."""
        if field in self.values:
            return self.values[field]
        for keyword in self.keywords(field):
            value = join_filters(header.get(part.strip()) for part in keyword.split("+"))
            if "+" not in keyword:
                value = header.get(keyword)
            if not is_absent(value):
                return value
        return self.defaults.get(field)

    def image_type(self, header: Header, name: str) -> str:
        """Tell what a frame is: bias, dark, flat, science or other."""
        extra = {squeeze(word): cls for cls, words in self.image_types.items() for word in words}
        neutral, unknown = False, None
        for keyword in self.keywords(OBSCLASS_KEY):
            text = header.get(keyword)
            if is_absent(text) or not squeeze(text).strip("0123456789"):
                continue  # FRAME is a number in some dialects
            found = class_of_word(text, extra)
            if found == "science" and neutral:
                # Twilight flats of Gemini: OBSCLASS 'dayCal', OBSTYPE 'OBJECT'.
                found = class_of_word(header.get("OBJECT", ""), extra) or found
            if found is not None:
                return found
            if squeeze(text) in NEUTRAL_WORDS:
                neutral = True
            elif unknown is None:
                unknown = (keyword, text)
        if unknown is not None:
            raise UnknownImageTypeError(_unknown_word(name, *unknown, known_words(extra)))
        for text in (header.get("OBJECT"), header.get(TARGET_KEY)):
            found = None if is_absent(text) else class_of_word(text, extra)
            if found in CALIBRATIONS:
                return found
        found = class_of_name(name) or self.defaults.get(OBSCLASS_KEY)
        if found is None:
            raise UnknownImageTypeError(
                f"{name}: no keyword tells whether this is a bias, dark, flat or science frame "
                f"(tried {', '.join(self.keywords(OBSCLASS_KEY))}); name the camera's keyword in "
                "the instrument file under [header] OBSCLASS, or a default under [defaults] "
                "OBSCLASS"
            )
        return str(found)

    def target(self, header: Header, kind: str, name: str, assumed: list[str]) -> str:
        """Tell the target's name; calibration frames are their own target, as in mirar."""
        if kind in CALIBRATIONS:
            return kind
        value = self.look_up(header, TARGET_KEY)
        if value is not None:
            return str(value).strip()
        assumed.append(TARGET_KEY)
        return target_of_name(name) or "unknown"

    def exposure_time(self, header: Header, kind: str, name: str) -> float:
        """Tell the exposure time in seconds."""
        value = self.look_up(header, EXPTIME_KEY)
        number = parse_number(value)
        if number is not None and number >= 0:
            return number
        if kind == "bias":
            return 0.0
        found = next(
            (f"{key} = {header[key]!r} is no exposure time" for key in self.keywords(EXPTIME_KEY)
             if not is_absent(header.get(key))),
            f"no exposure time (tried {', '.join(self.keywords(EXPTIME_KEY))})",
        )  # fmt: skip
        raise MissingKeywordError(
            f"{name}: {found}; name the camera's keyword in the instrument file under [header] "
            f"{EXPTIME_KEY}, or a default under [defaults] {EXPTIME_KEY}"
        )

    def filter_name(self, header: Header, kind: str, assumed: list[str]) -> str:
        """Tell the filter's name; positions of several wheels are joined by '+'."""
        value = self.look_up(header, FILTER_KEY)
        if value is None:
            wheels = sorted(key for key in set(header) if re.fullmatch(r"FILTER0?\d", key))
            value = join_filters(header[key] for key in wheels)
        if value is None:
            if kind not in ("bias", "dark"):
                assumed.append(FILTER_KEY)
            return "none"
        return str(value).strip()

    def gain(self, header: Header, assumed: list[str]) -> dict[str, Any]:
        """Tell the gain in electrons per ADU, and the camera's setting where that is another."""
        fields: dict[str, Any] = {}
        value = parse_number(self.look_up(header, GAIN_KEY))
        if value is None or value <= 0:
            usable = (parse_number(header.get(key)) for key in self.keywords(GAIN_KEY))
            value = next((number for number in usable if number is not None and number > 0), None)
        if value is None:
            if GAIN_KEY not in assumed:
                assumed.append(GAIN_KEY)
            value = 1.0
        fields[GAIN_KEY] = value
        setting = header.get(GAIN_KEY)
        if not is_absent(setting) and setting != value and GAIN_SETTING_KEY not in header:
            fields[GAIN_SETTING_KEY] = setting
        return fields

    def start(self, header: Header, assumed: list[str]) -> dict[str, Any]:
        """Tell when the exposure began, in UTC."""
        moment = self._start(header)
        if moment is None:
            assumed.append(TIME_KEY)
            return {TIME_KEY: header.get(TIME_KEY, "")}
        fields: dict[str, Any] = {MJD_KEY: round(to_mjd(moment), 8)}
        text = header.get(TIME_KEY)
        if is_absent(text) or parse_date(text) != moment or not has_clock(text):
            fields[TIME_KEY] = moment.isoformat(timespec="milliseconds")
        return fields

    def _start(self, header: Header) -> datetime | None:
        value = self.look_up(header, TIME_KEY)
        if value is not None:
            clock = next((header[key] for key in _CLOCKS if has_clock(header.get(key, ""))), None)
            if (moment := parse_date(value, clock)) is not None:
                return moment
        for keyword, zero in ((MJD_KEY, 0.0), ("MJD", 0.0), ("JD", 2400000.5)):
            number = parse_number(header.get(keyword))
            if number is not None and 0 < number - zero < 200000:
                return from_mjd(number - zero)
        return None

    def binning(self, header: Header) -> str:
        """Tell the binning as 'NxM'; 1x1 where nothing is said."""
        found = parse_binning(self.look_up(header, BINNING_KEY))
        for x, y in _BINNING_PAIRS:
            if found is None and not is_absent(header.get(x)):
                found = parse_binning(f"{header[x]}x{header.get(y, header[x])}")
        x_factor, y_factor = found or (1, 1)
        return f"{x_factor}x{y_factor}"

    def optional(self, header: Header, field: str) -> Any:
        """Return what is to be written for a field that a frame may lack, or None."""
        value = self.look_up(header, field)
        if field in _NUMERIC:
            value = parse_number(value)
        return None if value is None or value == header.get(field) else value

    def group(
        self,
        header: Header,
        fields: Mapping[str, Any],
        shape: tuple[int, ...],
        assumed: Sequence[str],
    ) -> str:
        """Say in words what frames must share to be calibrated with each other."""
        ny, nx = self.final_shape(header, fields, shape)
        parts = [f"{nx}x{ny}"]
        corner = [int(parse_number(header.get(key)) or 0) for key in ("XORGSUBF", "YORGSUBF")]
        if any(corner):
            parts[0] += f"+{corner[0]}+{corner[1]}"
        parts.append(f"bin {fields[BINNING_KEY]}")
        if EXTENSION_KEY in header:
            parts.append(f"extension {header[EXTENSION_KEY]}")
        if GAIN_KEY not in assumed:
            parts.append(f"gain {fields[GAIN_KEY]:g}")
        for key in self.group_keys:
            value = fields.get(key, header.get(key))
            if not is_absent(value):
                parts.append(f"{_SPOKEN.get(key, key)} {str(value).strip()}")
        return ", ".join(parts)

    def final_shape(
        self, header: Header, fields: Mapping[str, Any], shape: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Shape (ny, nx) that the image has once it is trimmed."""
        for key in TRIM_KEYS if self.trim else ():
            try:
                section = parse_section(fields.get(key, header.get(key)), (shape[0], shape[1]))
            except SectionError:
                return shape  # the step that trims says what is wrong with it
            if section is not None:
                return section.shape
        return shape


def _unknown_word(name: str, keyword: str, text: object, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(squeeze(text), known, n=2, cutoff=0.6)
    hint = f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
    return (
        f"{name}: {keyword} = {str(text)!r} is no kind of frame that is known{hint}; add the word "
        "to the instrument file under [image_types], to one of bias, dark, flat, science, other"
    )
