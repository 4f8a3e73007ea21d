"""A command line made of the values of its options, for a job that shall do the same elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click


def command_words(command: click.Command, values: Mapping[str, Any]) -> list[str]:
    """Return the words after the program's name that give a command these values.

    Paths become absolute: a job may start in another folder.

    Parameters
    ----------
    command : click.Command
        The command.
    values : mapping
        Values by the names of its parameters; what is None, empty or as by default is left out.
    """
    words = [str(command.name)]
    for parameter in command.params:
        value = values.get(str(parameter.name))
        if value is None or value in ((), parameter.default):
            continue
        if isinstance(parameter, click.Argument):
            words.append(_pipeline(value))
        elif isinstance(parameter, click.Option):
            words += _option(parameter, value)
    return words


def _option(option: click.Option, value: Any) -> list[str]:
    flag = max(option.opts, key=len)
    if option.is_flag:
        return [flag] if value else option.secondary_opts
    many = value if option.multiple else (value,)
    return [word for one in many for word in (flag, _text(option, one))]


def _text(option: click.Option, value: Any) -> str:
    if isinstance(value, Path):
        return str(value.expanduser().absolute())
    names_file = option.name in ("cluster", "cache", "certificates")
    if names_file and Path(value).expanduser().exists():
        return str(Path(value).expanduser().absolute())
    return str(value)


def _pipeline(value: str) -> str:
    """Return the name of a pipeline; one in a file, by the file's whole path."""
    file, colon, name = value.rpartition(":")
    if colon and file.endswith(".py"):
        return f"{Path(file).expanduser().absolute()}:{name}"
    return value
