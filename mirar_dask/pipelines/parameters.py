"""Values for parameters of processors, checked against the types of their constructors.

What a user writes as ``--set step.parameter=value`` or in an instrument file becomes a value of
the type that the constructor declares, or one sentence that says what was expected.
"""

from __future__ import annotations

import difflib
import inspect
import math
import types
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from mirar_dask.errors import UsageError

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})


def near(word: str, known: Iterable[str]) -> str:
    """Return a hint at names that look like an unknown one, or nothing.

    Examples
    --------
    >>> near("flta", ["flat", "dark"])
    ", did you mean 'flat'?"
    """
    close = difflib.get_close_matches(word, list(known), n=2, cutoff=0.6)
    return f", did you mean {' or '.join(map(repr, close))}?" if close else ""


def declared_type(cls: type, parameter: str) -> Any:
    """Return the declared type of a parameter of a class's constructor.

    The class that takes it by name is asked: a constructor may pass others on to its parent.

    Raises
    ------
    KeyError
        If no constructor in its line takes that parameter.
    """
    return _declaration(cls, parameter)[0]


def default_of(cls: type, parameter: str) -> Any:
    """Return the default of a parameter of a class's constructor."""
    return _declaration(cls, parameter)[1].default


def _declaration(cls: type, parameter: str) -> tuple[Any, inspect.Parameter]:
    for parent in cls.__mro__:
        init = parent.__dict__.get("__init__")
        if init is None:
            continue
        found = inspect.signature(init).parameters.get(parameter)
        if found is not None:
            return _resolve(found.annotation, init), found
    raise KeyError(f"{cls.__name__} has no parameter {parameter!r}")


def _resolve(annotation: Any, init: Any) -> Any:
    """Turn one annotation into a type; the others may name what only type checkers import."""
    if not isinstance(annotation, str):
        return Any if annotation is inspect.Parameter.empty else annotation
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    return typing.get_type_hints(holder, globalns=init.__globals__)["it"]


def coerce(value: object, kind: Any) -> Any:
    """Turn a value, or its text, into one of a declared type.

    Parameters
    ----------
    value : object
        What the user gave: text, or a value that TOML has read.
    kind : type
        A declared type: bool, int, float, str, Path, Literal, lists of these, unions with None.

    Raises
    ------
    UsageError
        If it is none; the message says what was found and what is expected.

    Examples
    --------
    >>> coerce("2.5", float), coerce("on", bool), coerce("r, g", list[str])
    (2.5, True, ['r', 'g'])
    """
    for member in _members(kind):
        fitting, result = _fit(value, member)
        if fitting:
            return result
    raise UsageError(f"{value!r} is not {describe(kind)}")


def describe(kind: Any) -> str:
    """Say in words what values a declared type has.

    Examples
    --------
    >>> describe(Literal["fail", "skip"]), describe(float | None)
    ("'fail' or 'skip'", 'a number or none')
    """
    parts: list[str] = []
    for member in sorted(_members(kind), key=lambda member: member is type(None)):
        if get_origin(member) is Literal:
            parts += [repr(choice) for choice in get_args(member)]
        elif _item_type(member) is not None:
            parts.append("a list")
        else:
            names = {bool: "true or false", int: "a whole number", float: "a number"}
            names.update({str: "a text", Path: "a path", type(None): "none"})
            parts.append(names.get(member, "a value"))
    return f"{', '.join(parts[:-1])} or {parts[-1]}" if len(parts) > 1 else parts[0]


def _members(kind: Any) -> list[Any]:
    """Alternatives of a type; the more particular first, so that text is tried last."""
    union = get_origin(kind) in (Union, types.UnionType)
    members = [m for k in get_args(kind) for m in _members(k)] if union else [kind]
    order = {type(None): 0, bool: 1, int: 2, float: 3, str: 6, Path: 5}
    return sorted(members, key=lambda member: order.get(member, 4) if _hashable(member) else 4)


def _hashable(member: Any) -> bool:
    return getattr(member, "__hash__", None) is not None


def _item_type(kind: Any) -> Any:
    """Type of the items of a list type; None if it is no list."""
    origin = get_origin(kind)
    if origin in (list, tuple, Sequence) or (isinstance(origin, type) and origin is Iterable):
        return (get_args(kind) or (str,))[0]
    return str if kind in (list, tuple) else None


def _fit(value: object, kind: Any) -> tuple[bool, Any]:
    """Whether a value fits one alternative, and what it is then."""
    text = value.strip() if isinstance(value, str) else None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is Any:
        return True, value
    if get_origin(kind) is Literal:
        return next(((True, choice) for choice in get_args(kind) if choice == (text or value)), _NO)
    if kind is type(None):
        return value is None or (text or "").lower() in ("none", "null"), None
    if kind is bool:
        if isinstance(value, bool) or (number and value in (0, 1)):
            return True, bool(value)
        return (text or "").lower() in TRUE | FALSE, (text or "").lower() in TRUE
    if kind in (int, float):
        return _fit_number(value if number else text, kind)
    if (item := _item_type(kind)) is not None:
        return _fit_list(value, item)
    if kind is Path:
        return isinstance(value, str | Path), Path(str(value)).expanduser()
    if kind is str:
        return text is not None or number, str(value).strip()
    return _NO


_NO = (False, None)


def _fit_number(value: object, kind: type[int] | type[float]) -> tuple[bool, Any]:
    if value is None:
        return _NO
    try:
        number = float(str(value))
    except ValueError:
        return _NO
    if not math.isfinite(number) or (kind is int and number != int(number)):
        return _NO
    return True, kind(number)


def _fit_list(value: object, item: Any) -> tuple[bool, Any]:
    if isinstance(value, str):
        value = [part.strip() for part in value.strip("[] ").split(",") if part.strip()]
    if not isinstance(value, Sequence):
        return _NO
    fitted = [next((f for m in _members(item) if (f := _fit(v, m))[0]), _NO) for v in value]
    return all(ok for ok, _ in fitted), [result for _, result in fitted]
