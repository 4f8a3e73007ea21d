"""`mirar-dask processors [NAME]`: the steps that pipelines are made of, from their docstrings."""

from __future__ import annotations

import inspect
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
    from mirar_dask.processors.catalogue import processor_classes

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


def _list(classes: list[type[BaseProcessor]]) -> None:
    from rich.table import Table

    from mirar_dask.monitoring.console import make_console
    from mirar_dask.processors.catalogue import first_sentence

    table = Table("processor", "short name", "what it does", box=None, header_style="bold")
    for cls in classes:
        table.add_row(cls.__name__, cls.base_key, first_sentence(cls))
    make_console().print(table)


def _described(cls: type[BaseProcessor]) -> str:
    """Return what a user needs to put a processor into a configuration."""
    from mirar_dask.processors.catalogue import call_of, section_of, shared_constructors

    parts = [
        f"from {cls.__module__} import {cls.__name__}",
        call_of(cls),
        f"short name: {cls.base_key}",
        inspect.getdoc(cls) or "",
    ]
    for parent in shared_constructors(cls)[1:]:
        section = section_of(parent, "Parameters")
        if section:
            title = f"Parameters of {parent.__name__}"
            parts.append(f"{title}\n{'-' * len(title)}\n{section}")
    return "\n\n".join(parts)
