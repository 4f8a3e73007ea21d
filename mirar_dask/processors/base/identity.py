"""What makes a processor the one that it is: a short hash of class, code and parameters.

Products carry a key that is made of these hashes, the raw frame and the masters, so that two
products with one key were made in the same way of the same frames; resuming a night trusts it.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import numpy as np

from mirar_dask.errors import UsageError
from mirar_dask.paths import RAW_IMG_SUB_DIR, current_roots

if TYPE_CHECKING:
    from mirar_dask.processors.base.core import BaseProcessor

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_SECRET = re.compile("pass|secret|token|credential", re.IGNORECASE)
_OURS = __name__.partition(".")[0]
_PLAIN = (str, bytes, int, float, complex, bool, type(None))


def fingerprint(processor: BaseProcessor) -> str:
    """Return a hash of what a processor does, the same in every process.

    Our own classes count by their ``version``; those of others by their code too, with the
    functions and constants of their modules that it uses.
    """
    cls = type(processor)
    parts = [f"{cls.__module__}.{cls.__qualname__}", processor.version]
    parts += [code_of_class(base) for base in cls.__mro__ if _is_foreign(base)]
    parts += [f"{name}={describe(value)}" for name, value in _that_matter(processor)]
    return digest(*parts)


def refuse_hidden_methods(processor: BaseProcessor) -> None:
    """Refuse a processor that keeps a value under the name of one of its methods.

    ``self.step = 8`` would hide `BaseProcessor.step` from the run, which fails far from the cause.
    A function in the place of a hook is how mirar's calibrators take their selectors.

    Raises
    ------
    UsageError
        If it does; the message names the attribute.
    """
    for name, value in vars(processor).items():
        if callable(getattr(type(processor), name, None)) and not callable(value):
            raise UsageError(
                f"{type(processor).__name__} keeps {value!r} as 'self.{name}', which is the name "
                f"of a method of processors: give that attribute another name"
            )


def why_unsure(processor: BaseProcessor) -> str | None:
    """Say what of a processor cannot be hashed, so that nobody can tell whether it changed."""
    for name, value in _that_matter(processor):
        if UNSURE in describe(value):
            return (
                f"nobody can tell whether its parameter '{name}' ({type(value).__name__}) changed"
            )
    return None


def _that_matter(processor: BaseProcessor) -> Iterator[tuple[str, Any]]:
    """Give the parameters that results may depend on."""
    for name, value in sorted(processor.parameters().items()):
        if name not in processor.neutral_parameters:
            yield name, value


def parameters_of(processor: BaseProcessor) -> dict[str, Any]:
    """Constructor parameters and their values, where they are kept under their own names."""
    found: dict[str, Any] = {}
    for cls in type(processor).__mro__:
        init = cls.__dict__.get("__init__")
        if init is None:
            continue
        for name, parameter in inspect.signature(init).parameters.items():
            kept = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            if kept and name != "self" and name in processor.__dict__:
                found.setdefault(name, processor.__dict__[name])
    return found


def readable_parameters(processor: BaseProcessor) -> dict[str, Any]:
    """Return the parameters of a processor as values that JSON knows, for people to read.

    What is called after a secret is not told.
    """
    found = sorted(processor.parameters().items())
    return {name: "***" if _SECRET.search(name) else _readable(value) for name, value in found}


def _readable(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _readable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_readable(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return getattr(value, "__qualname__", None) or type(value).__name__


def file_key(path: Path) -> str:
    """Return a hash of a raw file: its path in the night, size and time of change."""
    try:
        stat = path.stat()
    except OSError:  # made in memory: the name has to do
        return digest(path.name)
    given = current_roots().night_raw
    folder = given or next((up for up in path.parents if up.name == RAW_IMG_SUB_DIR), None)
    inside = folder is not None and path.is_relative_to(folder)
    name = str(path.relative_to(folder)) if inside and folder is not None else path.name
    return digest(name, str(stat.st_size), str(stat.st_mtime_ns))


def digest(*parts: str) -> str:
    """Return 16 hexadecimal digits for some texts."""
    return hashlib.blake2b(
        "\0".join(parts).encode(errors="surrogatepass"), digest_size=8
    ).hexdigest()


UNSURE = "<unsure>"
"""Stands in a description for what has no text of its own."""


def describe(value: Any, seen: tuple[int, ...] = ()) -> str:
    """Return text for a parameter that is the same in every process.

    Functions count by their code, defaults and closures, with the functions and constants of
    their module that they use, so that a changed selection makes another product; paths of files
    count by size and time of change; objects by class and attributes. What cannot be told stands
    as `UNSURE`.
    """
    if isinstance(value, _PLAIN):
        return f"{value!r}{_file_mark(value)}" if isinstance(value, str) else repr(value)
    if isinstance(value, Path):
        return f"{value}{_file_mark(str(value))}"
    if id(value) in seen:
        return "<itself>"
    seen = (*seen, id(value))

    def each(item: Any) -> str:
        return describe(item, seen)

    if isinstance(value, FunctionType):
        return f"{value.__module__}.{value.__qualname__}:{_function(value, seen)}"
    if isinstance(value, MethodType):
        return f"{each(value.__func__)} of {each(value.__self__)}"
    if isinstance(value, partial):
        return f"partial({each(value.func)},{each(value.args)},{each(value.keywords)})"
    if isinstance(value, type):
        code = code_of_class(value, seen) if _is_foreign(value) else ""
        return f"{value.__module__}.{value.__qualname__}{code}"
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return f"array {value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{each(k)}:{each(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Set):
        return "{" + ",".join(sorted(each(item) for item in value)) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return "[" + ",".join(each(item) for item in value) + "]"
    if hasattr(value, "fingerprint") and isinstance(value.fingerprint, str):
        return f"{type(value).__qualname__} {value.fingerprint}"
    text = repr(value)
    if _ADDRESS.search(text) is None:
        return text
    if type(value).__module__ == "builtins" or not hasattr(value, "__dict__"):
        return UNSURE
    return f"{each(type(value))} {each(vars(value))}"


def code_of_class(cls: type, seen: tuple[int, ...] = ()) -> str:
    """Return a hash of the methods and attributes that a class itself defines."""
    parts = []
    for name, value in sorted(cls.__dict__.items()):
        if name in _NOT_CODE:
            continue
        parts += [f"{name}:{_function(function, seen)}" for function in _functions_in(value)]
        if isinstance(value, (*_PLAIN, tuple, list, dict, frozenset)):
            parts.append(f"{name}={describe(value, seen)}")
    return digest(*parts)


_NOT_CODE = {"__module__", "__doc__", "__dict__", "__weakref__", "__annotations__",
             "__static_attributes__", "__firstlineno__", "__abstractmethods__", "subclasses",
             "_abc_impl", "__annotate__", "__annotate_func__", "__annotations_cache__"}  # fmt: skip


def _functions_in(value: Any) -> list[FunctionType]:
    inner = getattr(value, "__func__", None) or getattr(value, "func", value)  # cached_property
    parts = [value.fget, value.fset] if isinstance(value, property) else [inner]
    return [part for part in parts if isinstance(part, FunctionType)]


def _function(function: FunctionType, seen: tuple[int, ...]) -> str:
    """Return a hash of a function, with what it was given and what of its module it uses."""
    parts = [_code(function.__code__, function.__doc__)]
    parts.append(describe([function.__defaults__, function.__kwdefaults__], seen))
    for cell in function.__closure__ or ():
        try:
            parts.append(describe(cell.cell_contents, seen))
        except ValueError:  # not filled yet
            parts.append("")
    if _is_foreign(function):
        for name in sorted(_names(function.__code__)):
            used = function.__globals__.get(name)
            mine = getattr(used, "__module__", None) == function.__module__
            known = isinstance(used, FunctionType) or (mine and isinstance(used, type))
            if id(used) not in seen and ((known and _is_foreign(used)) or _is_constant(used)):
                parts.append(f"{name}={describe(used, (*seen, id(function)))}")
    # A closure that cannot be told must not vanish in the hash.
    return digest(*parts) + (UNSURE if any(UNSURE in part for part in parts) else "")


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple | list | frozenset | set):
        return all(_is_constant(item) for item in value)
    if isinstance(value, dict):
        return all(_is_constant(item) for pair in value.items() for item in pair)
    return value is not None and isinstance(value, (*_PLAIN, Path, np.ndarray))


def _is_foreign(thing: Any) -> bool:
    """Whether a class or function is somebody else's work, with no version that we keep."""
    module = getattr(thing, "__module__", None) or ""
    return module.partition(".")[0] not in (_OURS, *_LIBRARIES)


_LIBRARIES = ("builtins", "abc", "typing", "numpy", "astropy", "pandas", "scipy", "collections",
              "pathlib", "functools", "dataclasses", "enum", "logging")  # fmt: skip
"""What changes with its own version, which a run's summary names."""


def _file_mark(text: str) -> str:
    """Return size and time of change of a file that a parameter names by its full path."""
    if not text.startswith("/") or len(text) > 4096 or "\0" in text:
        return ""
    path = Path(text)
    try:
        stat = path.stat()
    except OSError:
        return ""
    return f"({stat.st_size}, {stat.st_mtime_ns})" if path.is_file() else ""


def _code(code: CodeType, doc: str | None = "") -> str:
    # What a function says of itself is the first of its constants, where it says something.
    texts = code.co_consts[1:] if code.co_consts[:1] == (doc,) else code.co_consts
    constants = [_code(c) if isinstance(c, CodeType) else _constant(c) for c in texts]
    return digest(code.co_code.hex(), *map(str, code.co_names), *constants)


def _constant(value: Any) -> str:
    # The order of a frozenset of texts changes from process to process.
    return describe(value) if isinstance(value, frozenset | tuple) else repr(value)


def _names(code: CodeType) -> set[str]:
    inner = [_names(c) for c in code.co_consts if isinstance(c, CodeType)]
    return set(code.co_names).union(*inner)
