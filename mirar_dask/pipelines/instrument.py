"""An instrument file: one small TOML that says what a camera does its own way.

`Instrument` is a value; `read_instrument` makes one of a file and refuses, in one sentence with
file, table and key, whatever it does not know. Steps and their parameters are those of
`mirar_dask.pipelines.steps`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirar_dask.errors import UsageError
from mirar_dask.pipelines.parameters import near
from mirar_dask.pipelines.steps import STEPS, check_step_value
from mirar_dask.processors.header_words import ALIASES, CLASSES, scaled_keyword

Value = str | int | float | bool

ELSEWHERE = ("cluster", "alarms")
"""Tables that are none of the instrument's: where its nights are reduced, who is told of them."""
TABLES = ("header", "defaults", "detector", "sections", "image_types", "groups", "steps")
"""Tables of an instrument file, beside the key ``name``."""
DETECTOR = {"gain": "GAIN", "read_noise": "RDNOISE", "saturation": "SATURATE"}
"""Keys of ``[detector]`` and the header keys that they set."""
SECTIONS = {"overscan": "BIASSEC", "trim": "TRIMSEC", "data": "DATASEC"}
"""Keys of ``[sections]`` and the header keys that they set."""
GROUPS = ("calibration", "stack")
"""Keys of ``[groups]``."""
NUMERIC_FIELDS = ("EXPTIME", "GAIN", "RDNOISE", "SATURATE", "AIRMASS")

JOINED_FIELDS = ("FILTER", "DATE-OBS")
"""Fields that may be made of several keywords: wheels in one beam, a day and a time."""

_SECTION = re.compile(r"\[\s*\d+\s*:\s*\d+\s*,\s*\d+\s*:\s*\d+\s*\]")
_KEYWORD = re.compile(r"[A-Z0-9_-]{1,8}|(?:HIERARCH )?[A-Z0-9_-]+(?: [A-Z0-9_-]+)+")


class InstrumentError(UsageError):
    """Raised when an instrument file says something that cannot be understood."""


@dataclass(frozen=True)
class Instrument:
    """What a camera does its own way; without arguments, a camera of plain standard headers."""

    name: str = ""
    """Shown in plans and reports."""
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Field -> keywords of this camera, tried before those of the common dialects."""
    defaults: Mapping[str, Value] = field(default_factory=dict)
    """Field -> value for frames whose header gives none."""
    values: Mapping[str, Value] = field(default_factory=dict)
    """Field -> value that replaces what the header says (detector and sections)."""
    image_types: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Class -> further words of the image-type keyword."""
    calibration_keys: tuple[str, ...] = ()
    """Keywords that frames must share to be calibrated with each other, beside the usual ones."""
    stack_keys: tuple[str, ...] = ("TARGET", "FILTER")
    """Keywords that images must share to be stacked."""
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Step -> parameter -> value; ``enabled`` among them."""


def read_instrument(path: Path | str) -> Instrument:
    """Read an instrument file.

    Parameters
    ----------
    path : Path
        A TOML file.

    Raises
    ------
    InstrumentError
        If it is not there, is no TOML, or says something that is not known.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InstrumentError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InstrumentError(f"{path} is not a TOML file: {error}") from error
    return parse_instrument(content, source=path.name)


def parse_instrument(content: Mapping[str, Any], source: str = "instrument") -> Instrument:
    """Make an Instrument of the content of an instrument file.

    Parameters
    ----------
    content : mapping
        The parsed TOML.
    source : str
        What messages call the file.

    Raises
    ------
    InstrumentError
        If something in it is not known or has the wrong type.
    """
    reader = _Reader(source)
    reader.known_keys("the file", content, ("name", *TABLES, *ELSEWHERE))
    name = content.get("name", "")
    if not isinstance(name, str):
        raise reader.wrong("the file", "name", name, "a text")
    tables = {table: reader.table(content, table) for table in TABLES}
    values = reader.numbers("detector", tables["detector"], DETECTOR)
    values.update(reader.sections(tables["sections"]))
    groups = reader.groups(tables["groups"])
    return Instrument(
        name=name,
        aliases=reader.aliases(tables["header"]),
        defaults=reader.defaults(tables["defaults"]),
        values=values,
        image_types=reader.image_types(tables["image_types"]),
        calibration_keys=groups.get("calibration", ()),
        stack_keys=groups.get("stack", Instrument.stack_keys),
        steps=reader.steps(tables["steps"]),
    )


class _Reader:
    """Checks the tables of one file; every message names the file, the table and the key."""

    def __init__(self, source: str) -> None:
        self.source = source

    def wrong(self, table: str, key: str, found: object, expected: str) -> InstrumentError:
        where = table if table.startswith("the ") else f"table [{table}]"
        return InstrumentError(
            f"{self.source}, {where}: {key} = {_toml(found)}, expected {expected}"
        )

    def known_keys(self, table: str, content: Mapping[str, Any], known: Iterable[str]) -> None:
        known = list(known)
        where = table if table.startswith("the ") else f"table [{table}]"
        for key in content:
            if key not in known:
                raise InstrumentError(
                    f"{self.source}, {where}: there is no key {key!r}{near(key, known)}; "
                    f"known are {', '.join(known)}"
                )

    def table(self, content: Mapping[str, Any], name: str) -> dict[str, Any]:
        table = content.get(name, {})
        if not isinstance(table, dict):
            raise self.wrong("the file", name, table, f"a table, [{name}]")
        return table

    def words(self, table: str, key: str, found: object, expected: str) -> tuple[str, ...]:
        """Read one text or a list of texts."""
        items = [found] if isinstance(found, str) else found
        if not isinstance(items, list) or not items:
            raise self.wrong(table, key, found, expected)
        if not all(isinstance(item, str) and item.strip() for item in items):
            raise self.wrong(table, key, found, expected)
        return tuple(item.strip() for item in items)

    def field(self, table: str, key: str) -> str:
        name = key.upper()
        if name not in ALIASES:
            raise InstrumentError(
                f"{self.source}, table [{table}]: there is no field {key!r}"
                f"{near(name, list(ALIASES))}; known are {', '.join(ALIASES)}"
            )
        return name

    def aliases(self, table: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        found = {}
        expected = 'a header keyword or a list of them, such as ["EXPOSURE", "ITIME"]'
        for key, value in table.items():
            name = self.field("header", key)
            words = tuple(word.upper() for word in self.words("header", key, value, expected))
            for word in words:
                scaled = scaled_keyword(word) if name in NUMERIC_FIELDS else None
                plain = scaled[0] if scaled else word
                if not all(_KEYWORD.fullmatch(part.strip()) for part in plain.split("+")):
                    raise self.wrong("header", key, value, expected)
                if "+" in word and name not in JOINED_FIELDS:
                    joined = " and ".join(JOINED_FIELDS)
                    raise self.wrong("header", key, value, f"keywords; only {joined} join by '+'")
            found[name] = words
        return found

    def defaults(self, table: Mapping[str, Any]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for key, value in table.items():
            name = self.field("defaults", key)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if name in NUMERIC_FIELDS and not number:
                raise self.wrong("defaults", key, value, "a number")
            if name == "OBSCLASS" and value not in CLASSES:
                raise self.wrong("defaults", key, value, f"one of {', '.join(CLASSES)}")
            if not number and not isinstance(value, str):
                raise self.wrong("defaults", key, value, "a text or a number")
            found[name] = value
        return found

    def numbers(
        self, name: str, table: Mapping[str, Any], keys: Mapping[str, str]
    ) -> dict[str, Value]:
        self.known_keys(name, table, keys)
        found: dict[str, Value] = {}
        for key, value in table.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise self.wrong(name, key, value, "a number above 0")
            found[keys[key]] = value
        return found

    def sections(self, table: Mapping[str, Any]) -> dict[str, Value]:
        self.known_keys("sections", table, SECTIONS)
        found: dict[str, Value] = {}
        for key, value in table.items():
            if not isinstance(value, str) or not _SECTION.fullmatch(value.strip()):
                expected = 'a section in FITS form, "[x1:x2,y1:y2]", counted from 1'
                raise self.wrong("sections", key, value, expected)
            found[SECTIONS[key]] = value.strip()
        return found

    def image_types(self, table: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        self.known_keys("image_types", table, CLASSES)
        expected = 'a word or a list of words of the image-type keyword, such as ["Zero Frame"]'
        return {
            key: self.words("image_types", key, value, expected) for key, value in table.items()
        }

    def groups(self, table: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        self.known_keys("groups", table, GROUPS)
        found: dict[str, tuple[str, ...]] = {}
        for key, value in table.items():
            if value == []:
                found[key] = ()
                continue
            words = self.words("groups", key, value, 'a list of header keywords, ["FILTER"]')
            found[key] = tuple(word.upper() for word in words)
        return found

    def steps(self, table: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        self.known_keys("steps", table, STEPS)
        found: dict[str, dict[str, Any]] = {}
        for step, content in table.items():
            if isinstance(content, bool):
                content = {"enabled": content}
            if not isinstance(content, dict):
                raise self.wrong("steps", step, content, f"true, false or a table [steps.{step}]")
            self.known_keys(f"steps.{step}", content, STEPS[step].parameter_names)
            for key, value in content.items():
                try:
                    content = {**content, key: check_step_value(step, key, value)}
                except UsageError as error:
                    raise InstrumentError(
                        f"{self.source}, table [steps.{step}]: {error}"
                    ) from error
            found[step] = content
        return found


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)
