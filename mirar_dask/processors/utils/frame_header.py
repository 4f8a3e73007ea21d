"""What the header of one raw frame says, in mirar's terms, whatever the camera's keywords.

`HeaderNormaliser` writes what `FrameHeader` reads; nothing is changed here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from astropy.io.fits import Header

from mirar_dask.data.header_reading import read_value
from mirar_dask.errors import ProcessorError
from mirar_dask.io import MissingCoreFieldError
from mirar_dask.paths import EXPTIME_KEY, FILTER_KEY, GAIN_KEY, OBSCLASS_KEY, TARGET_KEY, TIME_KEY
from mirar_dask.processors.header_words import (
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
    scaled_keyword,
    squeeze,
    target_of_name,
    to_mjd,
)

BINNING_KEY = "BINNING"
MJD_KEY = "MJD-OBS"
GAIN_SETTING_KEY = "GAINSET"
"""Header key: the camera's own GAIN where that is a setting and EGAIN is the gain."""

FOLDER_KEY = "SUBDIR"
"""Header key: the folder in the night's in which the file is, where frames are sorted by folder."""

_CLOCKS = (
    "TIME-OBS", "UTC-OBS", "UT-OBS", "UTSTART", "UTCSTART", "UTC-TIME", "UT", "UTC", "TIME_OBS",
)  # fmt: skip
_BINNING_PAIRS = (
    ("XBINNING", "YBINNING"), ("CCDXBIN", "CCDYBIN"), ("XBIN", "YBIN"), ("BINX", "BINY"),
    ("HBIN", "VBIN"),
)  # fmt: skip
_NUMERIC = ("SATURATE", "RDNOISE", "AIRMASS")
_LAST_MJD = 200_000.0


class MissingKeywordError(MissingCoreFieldError):
    """Raised when a header lacks what a frame cannot be reduced without."""


class UnknownImageTypeError(ProcessorError, ValueError):
    """Raised when a header does not tell whether a frame is bias, dark, flat or science."""


@dataclass(frozen=True)
class HeaderRules:
    """What one camera does its own way."""

    aliases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Field -> keywords, tried before those of the common dialects."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Field -> value for frames whose header gives none."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Field -> value that replaces what the header says."""
    image_types: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Class -> further words of the image-type keyword."""

    def keywords(self, name: str) -> list[str]:
        """Return the keywords that are tried for a field, in order."""
        return list(dict.fromkeys([*self.aliases.get(name, ()), *ALIASES.get(name, (name,))]))


class Keywords(Mapping[str, Any]):
    """A header read quickly: most keywords that are tried are not there, and cards are parsed once.

    Looking up a keyword in an astropy Header takes 30 microseconds whether it is there or not.
    """

    def __init__(self, header: Mapping[str, Any]) -> None:
        self._header = header
        self._names = set(header)
        self._values: dict[str, Any] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._names

    def __getitem__(self, key: str) -> Any:
        if key not in self._names:
            raise KeyError(key)
        if key not in self._values:
            header = self._header
            quick = isinstance(header, Header)
            self._values[key] = read_value(header, key) if quick else header[key]
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class FrameHeader:
    """The header of one raw frame.

    Parameters
    ----------
    header : Header or mapping
        Its cards; not changed.
    name : str
        Name of its file, for messages and as the last source of a target's name.
    rules : HeaderRules
        What the camera does its own way.

    Raises
    ------
    UnknownImageTypeError
        If nothing tells what the frame is.
    """

    def __init__(self, header: Mapping[str, Any], name: str, rules: HeaderRules) -> None:
        self.keywords = header if isinstance(header, Keywords) else Keywords(header)
        self.name = name
        self.rules = rules
        self.assumed: list[str] = []
        """Fields that nothing gave and a default filled in, as they are asked for."""
        self.kind = self._kind()
        """bias, dark, flat, science or other."""

    def look_up(self, name: str) -> Any:
        """Return the value of a field, or None: the fixed one, the header's, the default."""
        if name in self.rules.values:
            return self.rules.values[name]
        for keyword in self.rules.keywords(name):
            if "+" in keyword:
                parts = [self.keywords.get(part.strip()) for part in keyword.split("+")]
                value: Any = _joined(parts) if name == TIME_KEY else join_filters(parts)
            elif scaled := scaled_keyword(keyword):
                number = parse_number(self.keywords.get(scaled[0]))
                # As decimal people write it: 0.3 and not 0.30000000000000004.
                value = None if number is None else float(f"{number * scaled[1]:.12g}")
            else:
                value = self.keywords.get(keyword)
            if not is_absent(value):
                return value
        return self.rules.defaults.get(name)

    def _kind(self) -> str:
        words = {
            squeeze(word): cls for cls, these in self.rules.image_types.items() for word in these
        }
        found, unknown = self._kind_by_keyword(words)
        for keyword in ("OBJECT", TARGET_KEY) if not (found or unknown) else ():
            text = self.keywords.get(keyword)
            by_object = None if is_absent(text) else class_of_word(text, words)
            found = found or (by_object if by_object in CALIBRATIONS else None)
        if found is None and unknown is not None:
            raise UnknownImageTypeError(self._unknown_word(*unknown, known_words(words)))
        found = found or self._kind_by_folder(words) or class_of_name(self.name, words)
        found = found or self.rules.defaults.get(OBSCLASS_KEY)
        if found is None:
            raise UnknownImageTypeError(
                f"{self.name}: no keyword tells whether this is a bias, dark, flat or science "
                f"frame (tried {', '.join(self.rules.keywords(OBSCLASS_KEY))}){self._hint(words)}; "
                f"name the camera's keyword in the instrument file under [header] {OBSCLASS_KEY}, "
                f"or words of its files' names under [image_types], or a default under [defaults] "
                f"{OBSCLASS_KEY}"
            )
        return str(found)

    def _kind_by_folder(self, words: Mapping[str, str]) -> str | None:
        """Class that the folder in the night tells in which the file is, the innermost first."""
        for part in reversed(str(self.keywords.get(FOLDER_KEY) or "").split("/")):
            found = class_of_word(part, words) or class_of_name(part, words)
            if found is not None:
                return found
        return None

    def _hint(self, words: Mapping[str, str]) -> str:
        """Name a keyword that seems to tell, for the sentence that says that none does."""
        for keyword in self.keywords:
            value = self.keywords[keyword]
            if isinstance(value, str) and class_of_word(value, words):
                return f"; perhaps {keyword} does, which is {value.strip()!r}"
        return ""

    def _kind_by_keyword(
        self, words: Mapping[str, str]
    ) -> tuple[str | None, tuple[str, object] | None]:
        """Class that the image-type keywords tell, and the first word that is not known."""
        neutral, unknown = False, None
        for keyword in self.rules.keywords(OBSCLASS_KEY):
            text = self.keywords.get(keyword)
            if is_absent(text) or not squeeze(text).strip("0123456789"):
                continue  # FRAME is a number in some dialects
            found = class_of_word(text, words)
            if found == "science" and neutral:
                # Twilight flats of Gemini: OBSCLASS 'dayCal', OBSTYPE 'OBJECT'.
                found = class_of_word(self.keywords.get("OBJECT", ""), words) or found
            if found is not None:
                return found, None
            if squeeze(text) in NEUTRAL_WORDS:
                neutral = True
            elif unknown is None:
                unknown = (keyword, text)
        return None, unknown

    def _unknown_word(self, keyword: str, text: object, known: Sequence[str]) -> str:
        close = difflib.get_close_matches(squeeze(text), known, n=2, cutoff=0.6)
        hint = f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
        return (
            f"{self.name}: {keyword} = {str(text)!r} is no kind of frame that is known{hint}; add "
            "the word to the instrument file under [image_types], to one of bias, dark, flat, "
            "science, other"
        )

    def target(self) -> str:
        """Target's name; calibration frames are their own target, as in mirar."""
        if self.kind in CALIBRATIONS:
            return self.kind
        value = self.look_up(TARGET_KEY)
        if value is not None:
            return str(value).strip()
        self.assumed.append(TARGET_KEY)
        return target_of_name(self.name) or "unknown"

    def exposure_time(self) -> float:
        """Exposure time in seconds; 0 for a bias that does not say.

        Raises
        ------
        MissingKeywordError
            If another frame that will be reduced does not say.
        """
        number = parse_number(self.look_up(EXPTIME_KEY))
        if number is not None and number >= 0:
            return number
        if self.kind in ("bias", "other"):
            return 0.0
        tried = self.rules.keywords(EXPTIME_KEY)
        said = [key for key in tried if not is_absent(self.keywords.get(key))]
        found = (
            f"{said[0]} = {self.keywords[said[0]]!r} is no exposure time"
            if said
            else f"no exposure time (tried {', '.join(tried)})"
        )
        raise MissingKeywordError(
            f"{self.name}: {found}; name the camera's keyword in the instrument file under "
            f"[header] {EXPTIME_KEY}, or a default under [defaults] {EXPTIME_KEY}"
        )

    def filter_name(self) -> str:
        """Filter's name; positions of several wheels are joined by '+'."""
        value = self.look_up(FILTER_KEY)
        if value is None:
            wheels = sorted(key for key in self.keywords if re.fullmatch(r"FILTER0?\d", key))
            value = join_filters(self.keywords[key] for key in wheels)
        if value is None:
            if self.kind not in ("bias", "dark"):
                self.assumed.append(FILTER_KEY)
            return "none"
        return str(value).strip()

    def gain(self) -> dict[str, Any]:
        """GAIN in electrons per ADU, and the camera's setting where its GAIN is another number."""
        value = parse_number(self.look_up(GAIN_KEY))
        if value is None or value <= 0:
            numbers = (parse_number(self.keywords.get(k)) for k in self.rules.keywords(GAIN_KEY))
            value = next((number for number in numbers if number is not None and number > 0), None)
        if value is None:
            self.assumed.append(GAIN_KEY)
            value = 1.0
        setting = self.keywords.get(GAIN_KEY)
        if is_absent(setting) or setting == value or GAIN_SETTING_KEY in self.keywords:
            return {GAIN_KEY: value}
        return {GAIN_KEY: value, GAIN_SETTING_KEY: setting}

    def start(self) -> dict[str, Any]:
        """DATE-OBS and MJD-OBS of the start of the exposure (UTC), where they must be written."""
        moment = self._moment()
        if moment is None:
            self.assumed.append(TIME_KEY)
            return {TIME_KEY: self.keywords.get(TIME_KEY, "")}
        fields: dict[str, Any] = {}
        if self._days(MJD_KEY, 0.0) is None:
            fields[MJD_KEY] = round(to_mjd(moment), 8)
        text = self.keywords.get(TIME_KEY)
        if is_absent(text) or parse_date(text) != moment or not has_clock(text):
            fields[TIME_KEY] = moment.isoformat(timespec="milliseconds")
        return fields

    def _moment(self) -> datetime | None:
        value = self.look_up(TIME_KEY)
        if value is not None:
            clocks = (self.keywords.get(key, "") for key in _CLOCKS)
            clock = next((text for text in clocks if has_clock(text)), None)
            if (moment := parse_date(value, clock)) is not None:
                return moment
        for keyword, zero in ((MJD_KEY, 0.0), ("MJD", 0.0), ("JD", 2400000.5)):
            if (days := self._days(keyword, zero)) is not None:
                return from_mjd(days)
        return None

    def _days(self, keyword: str, zero: float) -> float | None:
        number = parse_number(self.keywords.get(keyword))
        return None if number is None or not 0 < number - zero < _LAST_MJD else number - zero

    def binning(self) -> str:
        """Binning as 'NxM'; 1x1 where nothing is said."""
        found = parse_binning(self.look_up(BINNING_KEY))
        for x, y in _BINNING_PAIRS:
            if found is None and not is_absent(self.keywords.get(x)):
                found = parse_binning(f"{self.keywords[x]}x{self.keywords.get(y) or 1}")
        x_factor, y_factor = found or (1, 1)
        return f"{x_factor}x{y_factor}"

    def optional(self, name: str) -> Any:
        """Value of a field that a frame may lack, or None."""
        value = self.look_up(name)
        return parse_number(value) if name in _NUMERIC else value


def _joined(parts: Sequence[Any]) -> str | None:
    """Join a day and a time; None if one of them is absent."""
    return None if any(map(is_absent, parts)) else " ".join(str(part).strip() for part in parts)
