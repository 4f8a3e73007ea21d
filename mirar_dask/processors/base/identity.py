"""What makes a processor the one that it is: a short hash of class, version and parameters.

Products carry a key that is made of these hashes, the raw frame and the masters, so that two
products with one key were made in the same way of the same frames.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mirar_dask.processors.base.core import BaseProcessor

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def fingerprint(processor: BaseProcessor) -> str:
    """Return a hash of what a processor does, the same in every process."""
    cls = type(processor)
    parts = [f"{cls.__module__}.{cls.__qualname__}", processor.version]
    parts += [f"{name}={describe(value)}" for name, value in sorted(processor.parameters().items())]
    return digest(*parts)


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


def file_key(path: Path) -> str:
    """Return a hash of a raw file: its name, size and time of change."""
    try:
        stat = path.stat()
    except OSError:  # made in memory: the name has to do
        return digest(path.name)
    return digest(path.name, str(stat.st_size), str(stat.st_mtime_ns))


def digest(*parts: str) -> str:
    """Return 16 hexadecimal digits for some texts."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


def describe(value: Any) -> str:
    """Return text for a parameter that is the same in every process.

    Functions count by their code, so that a changed selection makes another product.
    """
    if isinstance(value, FunctionType):
        return f"{value.__module__}.{value.__qualname__}:{_code(value.__code__)}"
    if isinstance(value, MethodType):
        return f"{describe(value.__func__)} of {type(value.__self__).__qualname__}"
    if isinstance(value, partial):
        return f"partial({describe(value.func)},{describe(value.args)},{describe(value.keywords)})"
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, np.ndarray):
        return f"array {value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{describe(k)}:{describe(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Set):
        return "{" + ",".join(sorted(describe(item) for item in value)) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return "[" + ",".join(describe(item) for item in value) + "]"
    return _ADDRESS.sub("", repr(value))


def _code(code: CodeType) -> str:
    constants = [_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return digest(code.co_code.hex(), *map(str, code.co_names), *constants)
