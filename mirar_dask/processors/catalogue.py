"""What there is to know of the package's processors, told from their classes and docstrings.

The command `processors` and the documentation show it; neither keeps a list of its own.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from dataclasses import dataclass

from mirar_dask.processors.base_processor import BaseProcessor

KEYS_SENTENCE = re.compile(
    r"\bReads (?P<reads>(?:[^.;]|\.(?!\s))+);\s+writes (?P<writes>(?:[^.]|\.(?!\s|$))+)\.(?=\s|$)"
)
"""The sentence of a docstring that says which header keys a processor reads and writes."""

_KEY = re.compile(r"\b[A-Z][A-Z0-9_-]*[A-Z0-9]n?\b")
_NO_KEYS = {"WCS", "NAN", "UTC", "ADU", "FITS", "DATAFRAME"}


@dataclass(frozen=True, slots=True)
class HeaderKeys:
    """The header keys of a processor, as its docstring has them."""

    reads: str
    """What it reads, in words: keys, and parameters that name keys."""
    writes: str
    """What it writes."""

    @property
    def read(self) -> frozenset[str]:
        """The keys among what it reads."""
        return _keys_in(self.reads)

    @property
    def written(self) -> frozenset[str]:
        """The keys among what it writes; those with a number end with ``n``."""
        return _keys_in(self.writes)


def processor_classes() -> list[type[BaseProcessor]]:
    """Return the processors that ship with the package and can be put into a configuration."""
    import mirar_dask.processors

    package = mirar_dask.processors
    found: dict[str, type[BaseProcessor]] = {}
    for info in pkgutil.walk_packages(package.__path__, prefix=f"{package.__name__}."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            own = inspect.isclass(value) and value.__module__ == module.__name__
            if own and issubclass(value, BaseProcessor) and _is_complete(value):
                found[name] = value
    return [found[name] for name in sorted(found)]


def _is_complete(cls: type[BaseProcessor]) -> bool:
    base = cls.__module__.startswith("mirar_dask.processors.base")
    return not (base or cls.__name__.startswith("_") or not cls.base_key or inspect.isabstract(cls))


def first_sentence(cls: type) -> str:
    """Return what a class says of itself first."""
    return " ".join((inspect.getdoc(cls) or "").partition("\n\n")[0].split())


def call_of(cls: type[BaseProcessor]) -> str:
    """Return how a processor is made, with the values that its parameters have by default."""
    lines = [f"    {shown(p)},\n" for p in parameters_of(cls).values()]
    return f"{cls.__name__}(\n{''.join(lines)})" if lines else f"{cls.__name__}()"


def shared_constructors(cls: type[BaseProcessor]) -> list[type]:
    """Return the class and those of its parents to which its constructor hands ``**kwargs``."""
    found = []
    for parent in cls.__mro__:
        if "__init__" in parent.__dict__:
            found.append(parent)
            if not _hands_on(parent):
                break
    return found


def _hands_on(cls: type) -> bool:
    parameters = inspect.signature(cls.__dict__["__init__"]).parameters.values()
    return any(p.kind is p.VAR_KEYWORD for p in parameters)


def parameters_of(cls: type[BaseProcessor]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a constructor by name, those handed on to parents included."""
    found: dict[str, inspect.Parameter] = {}
    for parent in shared_constructors(cls):
        _, *parameters = inspect.signature(parent.__dict__["__init__"]).parameters.values()
        for parameter in parameters:
            anything = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            if not (anything and _hands_on(parent)):
                found.setdefault(parameter.name, parameter)
    return found


def shown(parameter: inspect.Parameter) -> str:
    """Return a parameter with its default, as a reader writes it."""
    if parameter.default is parameter.empty:
        return str(parameter.replace(annotation=parameter.empty))
    default = parameter.default
    named = callable(default) and hasattr(default, "__name__")
    value = (
        default.__name__ if named else "sys.maxsize" if default == sys.maxsize else repr(default)
    )
    return f"{parameter.name}={value}"


def section_of(cls: type, title: str) -> str:
    """Return the text below a title, such as "Parameters", in a class's docstring."""
    lines = (inspect.getdoc(cls) or "").splitlines()
    if title not in lines:
        return ""
    start = lines.index(title) + 2
    ends = [i - 1 for i, line in enumerate(lines) if i > start and line and not line.strip("-")]
    return "\n".join(lines[start : ends[0] if ends else None]).rstrip()


def header_keys_of(cls: type[BaseProcessor]) -> HeaderKeys | None:
    """Return which header keys a processor reads and writes, beside its history.

    Its docstring has a sentence of the form "Reads A, B; writes C, D."; where it has none, the
    nearest parent's counts. None if no class says anything.
    """
    for parent in cls.__mro__:
        text = " ".join((parent.__dict__.get("__doc__") or "").split())
        if found := KEYS_SENTENCE.search(text):
            return HeaderKeys(found["reads"], found["writes"])
    return None


def _keys_in(text: str) -> frozenset[str]:
    words = _KEY.findall(re.sub(r"``.*?``", " ", text))
    return frozenset(word for word in words if word.upper() not in _NO_KEYS)
