"""`mirar-dask processors [NAME]`: the steps that pipelines are made of, from their docstrings."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from typing import TYPE_CHECKING

import click

from mirar_dask.cli.app import verbosity_option
from mirar_dask.errors import UsageError

if TYPE_CHECKING:
    from mirar_dask.processors.base_processor import BaseProcessor


@click.command(short_help="List the processors, or describe one.")
@click.argument("name", required=False)
@verbosity_option
def processors(name: str | None, verbosity: int) -> None:
    """List all processors, or describe one.

    NAME is a class (FlatCalibrator) or the short name that it writes into headers (flat).
    """
    classes = processor_classes()
    if name is None:
        _list(classes)
        return
    found = [c for c in classes if name.lower() in (c.__name__.lower(), c.base_key.lower())]
    if not found:
        import difflib

        names = [n for c in classes for n in (c.__name__, c.base_key)]
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f" did you mean {' or '.join(dict.fromkeys(close))}?" if close else ""
        raise UsageError(
            f"no processor is named {name!r};{hint} 'mirar-dask processors' lists all of them"
        )
    click.echo("\n\n".join(_described(c) for c in found))


def processor_classes() -> list[type[BaseProcessor]]:
    """Return the processors that ship with the package and can be put into a configuration."""
    import mirar_dask.processors
    from mirar_dask.processors.base_processor import BaseProcessor

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


def _list(classes: list[type[BaseProcessor]]) -> None:
    from rich.table import Table

    from mirar_dask.monitoring.console import make_console

    table = Table("processor", "short name", "what it does", box=None, header_style="bold")
    for cls in classes:
        table.add_row(cls.__name__, cls.base_key, _first_sentence(cls))
    make_console().print(table)


def _first_sentence(cls: type[BaseProcessor]) -> str:
    return " ".join((inspect.getdoc(cls) or "").partition("\n\n")[0].split())


def _described(cls: type[BaseProcessor]) -> str:
    """Return what a user needs to put a processor into a configuration."""
    shown = [f"    {_shown(p)},\n" for p in _parameters(cls).values()]
    call = f"{cls.__name__}(\n{''.join(shown)})" if shown else f"{cls.__name__}()"
    parts = [
        f"from {cls.__module__} import {cls.__name__}",
        call,
        f"short name: {cls.base_key}",
        inspect.getdoc(cls) or "",
    ]
    for parent in _shared_constructors(cls)[1:]:
        section = _parameters_section(parent)
        if section:
            title = f"Parameters of {parent.__name__}"
            parts.append(f"{title}\n{'-' * len(title)}\n{section}")
    return "\n\n".join(parts)


def _shared_constructors(cls: type[BaseProcessor]) -> list[type]:
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


def _parameters(cls: type[BaseProcessor]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a constructor by name, those handed on to parents included."""
    found: dict[str, inspect.Parameter] = {}
    for parent in _shared_constructors(cls):
        _, *parameters = inspect.signature(parent.__dict__["__init__"]).parameters.values()
        for parameter in parameters:
            anything = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            if not (anything and _hands_on(parent)):
                found.setdefault(parameter.name, parameter)
    return found


def _shown(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return str(parameter.replace(annotation=parameter.empty))
    default = parameter.default
    named = callable(default) and hasattr(default, "__name__")
    value = (
        default.__name__ if named else "sys.maxsize" if default == sys.maxsize else repr(default)
    )
    return f"{parameter.name}={value}"


def _parameters_section(cls: type) -> str:
    """Return the text below "Parameters" in a class's docstring."""
    lines = (inspect.getdoc(cls) or "").splitlines()
    if "Parameters" not in lines:
        return ""
    start = lines.index("Parameters") + 2
    ends = [i - 1 for i, line in enumerate(lines) if i > start and line and not line.strip("-")]
    return "\n".join(lines[start : ends[0] if ends else None]).rstrip()
