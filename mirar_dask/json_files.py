"""Reading what runs wrote down as JSON, from folders in which anything may lie by now.

A file of another version, cut short by a crash or altered by hand, is no reason to fail: who
reads it checks its form (`has_form`) and goes on without.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints, is_typeddict

LARGEST = 1e11
"""No time or duration is larger, in seconds (3000 years)."""


def object_of(text: str | bytes) -> dict[str, Any] | None:
    """Return the object that a text is as JSON; None if it is none."""
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):  # nested without end
        return None
    return found if isinstance(found, dict) else None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def read_object(path: Path, form: Any = None) -> dict[str, Any] | None:
    """Return the object that a file holds; None if there is none, or it is another thing.

    Parameters
    ----------
    path : Path
        The file.
    form : type, optional
        A TypedDict that the object must have the form of.

    Raises
    ------
    OSError
        If the file is there and cannot be read.
    """
    try:
        found = object_of(path.read_bytes())
    except FileNotFoundError:
        return None
    return found if form is None or has_form(found, form) else None


def has_form(value: Any, form: Any) -> bool:
    """Tell whether a value that JSON knows can be what a type says.

    Parameters
    ----------
    value : object
        From JSON: lists stand for tuples, objects for dataclasses and TypedDicts (what these do
        not know is not looked at), texts for enumerations.
    form : type
        A type hint made of these, of numbers, texts and None, and of ``dict[str, ...]``.

    Examples
    --------
    >>> has_form({"a": [1, 2]}, dict[str, tuple[int, ...]])
    True
    """
    return _check(form)(value)


@cache
def _check(form: Any) -> Callable[[Any], bool]:
    """Make the function that looks at values of one type."""
    origin, parts = get_origin(form), get_args(form)
    if form is Any:
        return lambda value: True
    if form in (None, type(None)):
        return lambda value: value is None
    if form is float:
        return _is_number
    if form is int:
        return lambda value: type(value) is int and abs(value) < 2**63
    if origin in (Union, types.UnionType):
        checks = [_check(part) for part in parts]
        return lambda value: any(check(value) for check in checks)
    if origin in (list, tuple):
        return _check_items(parts)
    if origin in (dict, Mapping):
        item = _check(parts[1])
        return lambda value: type(value) is dict and all(map(item, value.values()))
    if is_typeddict(form) or is_dataclass(form):
        return _check_fields(form)
    if issubclass(form, Enum):
        known = {member.value for member in form}
        return lambda value: isinstance(value, str) and value in known
    return lambda value: type(value) is form


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < LARGEST


def _check_items(parts: tuple[Any, ...]) -> Callable[[Any], bool]:
    if len(parts) == 1 or parts[1:] == (...,):
        item = _check(parts[0])
        return lambda value: type(value) is list and all(map(item, value))
    items = [_check(part) for part in parts]

    def check(value: Any) -> bool:
        right = type(value) is list and len(value) == len(items)
        return right and all(look(one) for look, one in zip(items, value, strict=True))

    return check


def _check_fields(form: Any) -> Callable[[Any], bool]:
    hints = get_type_hints(form)
    needed = form.__required_keys__ if is_typeddict(form) else frozenset[str]()
    checks = {name: _check(hint) for name, hint in hints.items()}

    def check(value: Any) -> bool:
        if type(value) is not dict or not needed <= value.keys():
            return False
        return all(checks[name](value[name]) for name in checks.keys() & value.keys())

    return check
