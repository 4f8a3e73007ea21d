"""What cameras call things: keywords and words of the common header dialects, as pure functions.

`HeaderNormaliser` writes mirar's core fields with them. The tables cover the dialects of IRAF and
NOIRLab, MaxIm DL, SBIG, INDI and N.I.N.A., LCO, Gemini, ESO, Lowell and mirar itself; an
instrument file extends them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

CLASSES = ("bias", "dark", "flat", "science", "other")
"""What a frame can be; ``other`` is set aside."""
CALIBRATIONS = ("bias", "dark", "flat")
"""The classes that are made into masters."""

ALIASES: dict[str, tuple[str, ...]] = {
    "OBSCLASS": (
        "OBSCLASS", "OBSTYPE", "IMAGETYP", "FRAMETYP", "FRAME", "IMGTYPE", "IMTYPE", "EXPTYPE",
        "PICTTYPE", "VIMTYPE", "ESO DPR TYPE",
    ),
    "TARGET": ("TARGET", "OBJECT", "TARGNAME", "OBJNAME", "ESO OBS TARG NAME"),
    "EXPTIME": ("EXPTIME", "EXPOSURE", "EXP_TIME", "ITIME", "EXPOSED", "TEXPTIME", "EXP"),
    "FILTER": (
        "FILTER", "FILTERS", "FILTNAM", "FILTNAME", "FILTERID", "INSFILTE", "FILT",
        "ESO INS FILT1 NAME",
    ),
    "GAIN": ("EGAIN", "GAIN", "CCDGAIN", "ESO DET OUT1 CONAD"),
    "RDNOISE": ("RDNOISE", "READNOIS", "RON", "ENOISE", "CCDRON", "ESO DET OUT1 RON"),
    "SATURATE": ("SATURATE", "SATLEVEL", "SATURATI", "MAXLIN", "DATAMAX"),
    "DATE-OBS": ("DATE-OBS", "DATE_OBS", "DATE-BEG", "DATEOBS", "UTSHUT", "DATE-AVG"),
    "BINNING": ("BINNING", "CCDSUM", "CCDBIN"),
    "AIRMASS": ("AIRMASS", "SECZ", "AMSTART"),
    "RA": ("RA", "OBJCTRA", "OBJRA", "TELRA", "CAT-RA"),
    "DEC": ("DEC", "OBJCTDEC", "OBJDEC", "TELDEC", "CAT-DEC"),
    "BIASSEC": ("BIASSEC",),
    "TRIMSEC": ("TRIMSEC",),
    "DATASEC": ("DATASEC",),
}  # fmt: skip
"""Field of ours -> keywords of cameras, the first that holds a value wins.

EGAIN comes before GAIN: where a CMOS camera writes both, GAIN is a setting without unit.
"""

_WORDS: dict[str, tuple[str, ...]] = {
    "bias": ("bias", "zero", "biases", "offset"),
    "dark": ("dark", "darks", "flatdark", "darkflat"),
    "flat": (
        "flat", "flats", "flatfield", "skyflat", "domeflat", "twiflat", "skyflats", "domeflats",
        "twilight", "twilightflat", "twilightskyflat", "duskflat", "dawnflat", "dflat", "sflat",
        "tflat", "flatdome", "flatsky", "flattwilight", "eveningflat", "morningflat", "panelflat",
        "dusk", "dawn", "lightpanel",
    ),
    "science": (
        "science", "sci", "light", "lights", "object", "obj", "target", "expose", "exposure", "std",
        "standard", "photstd", "standardstar", "onsky", "star", "astro", "survey",
    ),
    "other": (
        "focus", "test", "acq", "acqcal", "acquisition", "pointing", "point", "arc", "lamp",
        "lampflat", "wave", "wavelamp", "guide", "guider", "autofocus", "foc", "comp", "comparison",
        "experimental", "engineering", "corrupted", "junk", "double", "spectrum", "sky",
        "tricolor", "tricolorimage", "color", "snapshot", "fringe", "pinhole", "mask",
        "masterbias", "masterzero", "masterdark", "masterflat", "masterlight", "autoguide", "other",
    ),
}  # fmt: skip
_CLASS_OF_WORD: dict[str, str] = {
    re.sub(r"[^a-z0-9]", "", word): cls for cls, words in _WORDS.items() for word in words
}

_NAME_WORDS = frozenset(
    {
        "bias",
        "zero",
        "dark",
        "darks",
        "flat",
        "flats",
        "flatfield",
        "skyflat",
        "domeflat",
        "twiflat",
    }
)
"""Words that are trusted in a file's name; others ('dusk', 'offset') occur in targets too."""
_SCIENCE_NAME_WORDS = frozenset({"light", "lights", "science", "sci"})
"""The same for frames of the sky; a word for a calibration beside them counts more."""

NEUTRAL_WORDS = frozenset(
    {"daycal", "nightcal", "partnercal", "progcal", "cal", "calib", "calibration", "calibrations"}
)
"""Words of a type keyword that tell no class: the next keyword decides."""

OPEN_FILTERS = frozenset(
    {"", "clear", "open", "air", "empty", "none", "out", "blank", "no", "nofilter", "null"}
)
"""Names of a position without a filter in a wheel."""

ABSENT = frozenset({"", "n/a", "na", "unknown", "undefined", "none", "null", "nan"})
"""Texts that stand for "not known" in a header."""


def squeeze(text: object) -> str:
    """Return a word as it is compared: lower case, letters and digits only.

    Examples
    --------
    >>> squeeze("Flat-Field ")
    'flatfield'
    """
    return re.sub(r"[^a-z0-9]", "", str(text).lower())


def class_of_word(text: object, extra: Mapping[str, str] | None = None) -> str | None:
    """Tell the class of a frame from one word of its header; None if the word is not known.

    Parameters
    ----------
    text : object
        A header value, such as ``'Bias Frame'``.
    extra : mapping, optional
        Squeezed words of an instrument file and their classes; they win.

    Examples
    --------
    >>> class_of_word("Light Frame"), class_of_word("FLAT,SKY"), class_of_word("whatever")
    ('science', 'flat', None)
    """
    known = {**_CLASS_OF_WORD, **(extra or {})}
    for candidate in (str(text), str(text).partition(",")[0]):  # ESO: 'STD,FLUX'
        word = squeeze(candidate)
        for form in (word, re.sub(r"(frame|image|exposure|field|exp|s)$", "", word)):
            if form in known:
                return known[form]
    return None


def known_words(extra: Mapping[str, str] | None = None) -> list[str]:
    """All words that `class_of_word` knows, for near matches in messages."""
    return sorted({*_CLASS_OF_WORD, *(extra or {})})


def class_of_name(name: str, extra: Mapping[str, str] | None = None) -> str | None:
    """Tell the class of a frame from words in its file's or folder's name; None if no word does.

    Parameters
    ----------
    name : str
        Name of a file or a folder.
    extra : mapping, optional
        Squeezed words of an instrument file and their classes; they win.

    Examples
    --------
    >>> class_of_name("20240101_bias_003.fits"), class_of_name("M13_blue_0001.fits")
    ('bias', None)
    >>> class_of_name("LIGHTS"), class_of_name("plano_3.fit", {"plano": "flat"})
    ('science', 'flat')
    """
    text = Path(name).name.lower().partition(".fit")[0]
    words = [squeeze(word) for word in re.split(r"[\W\d_]+", text)]
    known = extra or {}
    for trusted in (known.keys(), _NAME_WORDS, _SCIENCE_NAME_WORDS):
        for word in words:
            if word and word in trusted:
                return known.get(word) or _CLASS_OF_WORD[word]
    return None


_SCALED = re.compile(r"(.+?)\s*([*/])\s*(\d+\.?\d*)")


def scaled_keyword(text: str) -> tuple[str, float] | None:
    """Divide ``KEYWORD/1000`` or ``KEYWORD*60`` into keyword and factor; None for others.

    Examples
    --------
    >>> scaled_keyword("EXPMS/1000"), scaled_keyword("EXPTIME")
    (('EXPMS', 0.001), None)
    """
    found = _SCALED.fullmatch(text.strip())
    if found is None or not float(found[3]):
        return None
    number = float(found[3])
    return found[1], number if found[2] == "*" else 1 / number


def is_absent(value: object) -> bool:
    """Whether a header value says nothing: undefined, blank, 'N/A', 'UNKNOWN', not a number.

    Examples
    --------
    >>> is_absent(" N/A "), is_absent(0), is_absent(float("nan"))
    (True, False, True)
    """
    if value is None or isinstance(value, bool):
        return value is None
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, int):
        return False
    # astropy's Undefined has no public text of its own; its class name tells it.
    return type(value).__name__ == "Undefined" or str(value).strip().lower() in ABSENT


def join_filters(names: Iterable[object]) -> str | None:
    """One name for the filters of several wheels; None if no wheel says anything.

    Examples
    --------
    >>> join_filters(["air", "rp"]), join_filters(["open1-6", "clear"]), join_filters([])
    ('rp', 'clear', None)
    """
    said = [str(name).strip() for name in names if not is_absent(name)]
    if not said:
        return None
    real = [name for name in said if not is_open(name)]
    return "+".join(dict.fromkeys(real)) if real else "clear"


def is_open(name: str) -> bool:
    """Whether a wheel position holds no filter."""
    word = squeeze(name)
    return word in OPEN_FILTERS or re.fullmatch(r"(open|clear|empty|air)\d*", word) is not None


def parse_binning(value: object) -> tuple[int, int] | None:
    """Read a binning such as ``'2 2'``, ``'2x2'``, ``'1,2'`` or ``2``; None if it is none.

    Examples
    --------
    >>> parse_binning("2 2"), parse_binning("1x2"), parse_binning(4), parse_binning("slow")
    ((2, 2), (1, 2), (4, 4), None)
    """
    found = re.fullmatch(r"\D*(\d+)(?:\s*[x*,/ ]\s*(\d+))?\D*", str(value).strip().lower())
    if found is None:
        return None
    x, y = int(found[1]), int(found[2] or found[1])
    return (x, y) if x > 0 and y > 0 else None


_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?)\s*[a-zA-Z/\-]*")


def parse_number(value: object) -> float | None:
    """Read a number that may have been written as text; None if it is none.

    Examples
    --------
    >>> parse_number("30.0 "), parse_number("30 s"), parse_number("long")
    (30.0, 30.0, None)
    """
    if isinstance(value, bool):
        return None
    found = _NUMBER.fullmatch(str(value).strip())
    if found is None:
        return None
    number = float(found[1].replace("D", "E").replace("d", "e"))
    return number if math.isfinite(number) else None


_CLOCK = re.compile(r"(\d{1,2}):(\d{1,2})(?::(\d{1,2}(?:\.\d*)?))?")
_ISO_DAY = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_DOTTED_DAY = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
_OLD_DAY = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2})$")
_ZONE = re.compile(r"\d([+-])(\d{2}):?(\d{2})\s*$")


def parse_date(value: object, clock: object = None) -> datetime | None:
    """Read the start of an exposure (UTC) from ``DATE-OBS`` and, where that is a day, a time.

    Parameters
    ----------
    value : object
        ``'2024-01-01T03:04:05.6'``, ``'2024-01-01'``, ``'31.12.2024 23:00:00'``, or the FITS form
        of before 2000, ``'31/12/98'``; ``+01:00`` behind a time is taken off.
    clock : object, optional
        ``'03:04:05.6'``, or seconds of the day.

    Examples
    --------
    >>> parse_date("2024-01-02", "23:59:60.5").isoformat()
    '2024-01-03T00:00:00.500000'
    >>> parse_date("2024-01-02T01:00:00+02:00").isoformat()
    '2024-01-01T23:00:00'
    """
    text = str(value).strip()
    if iso := _ISO_DAY.match(text):
        year, month, day = (int(part) for part in iso.groups())
        rest = text[iso.end() :]
    elif dotted := _DOTTED_DAY.match(text):
        day, month, year = (int(part) for part in dotted.groups())
        rest = text[dotted.end() :]
    elif old := _OLD_DAY.match(text):
        day, month, year = int(old[1]), int(old[2]), 1900 + int(old[3])
        rest = ""
    else:
        return None
    try:
        start = datetime(year, month, day)
    except ValueError:
        return None
    seconds = _seconds_of(rest)
    if seconds is not None and (zone := _ZONE.search(rest)):
        ahead = 3600.0 * int(zone[2]) + 60.0 * int(zone[3])
        seconds -= ahead if zone[1] == "+" else -ahead
    if seconds is None and clock is not None:
        seconds = _seconds_of(clock)
    return start + timedelta(seconds=seconds or 0.0)


def has_clock(value: object) -> bool:
    """Whether a date text holds a time of day."""
    return _CLOCK.search(str(value)) is not None


def _seconds_of(value: object) -> float | None:
    if found := _CLOCK.search(str(value)):
        hours, minutes, seconds = int(found[1]), int(found[2]), float(found[3] or 0)
        return 3600.0 * hours + 60.0 * minutes + seconds
    return None


def from_mjd(days: float) -> datetime:
    """Turn a modified Julian day (UTC) into a date.

    Examples
    --------
    >>> from_mjd(60310.5).isoformat()
    '2024-01-01T12:00:00'
    """
    return datetime(1858, 11, 17) + timedelta(days=days)


def to_mjd(moment: datetime) -> float:
    """Turn a date (UTC) into a modified Julian day."""
    return (moment - datetime(1858, 11, 17)) / timedelta(days=1)


def target_of_name(name: str) -> str | None:
    """Take what stands before the running number in a file's name for the target's name.

    Examples
    --------
    >>> target_of_name("M13_blue_0001.fits"), target_of_name("0001.fits")
    ('M13_blue', None)
    """
    stem = re.sub(r"\.(fits?|fts)(\.(fz|gz|bz2))?$", "", Path(name).name, flags=re.IGNORECASE)
    base = re.sub(r"[-_. ]*\d*$", "", stem)
    return base if re.search(r"[A-Za-z]", base) else None
