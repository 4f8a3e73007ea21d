"""Header values as processors compare and join them; one clear error where a key is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from astropy.io.fits.card import Undefined

from mirar_dask.data import DataBlock
from mirar_dask.errors import ProcessorError


class ParsingError(KeyError, ProcessorError):
    """Raised when a header lacks a key, or holds a value, that a processor needs."""

    def __str__(self) -> str:
        # A KeyError shows its message in quotes, as if it were a key.
        return str(self.args[0]) if self.args else ""


def header_value(block: DataBlock, key: str) -> Any:
    """Value of one header (or metadata) key of a block.

    Raises
    ------
    ParsingError
        If the key is not there; the message names the block and the key.
    """
    try:
        return block[key]
    except KeyError as exc:
        raise ParsingError(
            f"'{block.get_name()}' has no header key '{key}'; correct the key, or add it while "
            "loading (HeaderEditor and HeaderAnnotator do so as well)"
        ) from exc


def header_text(block: DataBlock, key: str) -> str:
    """Value of one header key as text, the form in which values are compared and joined.

    A card without a value gives an empty text: astropy's placeholder shows its place in memory,
    which would differ from one process to the next.

    Raises
    ------
    ParsingError
        If the key is not there.
    """
    value = header_value(block, key)
    return "" if isinstance(value, Undefined) or value is None else str(value)


def as_list(values: str | Iterable[Any]) -> list[Any]:
    """Make a list of one value or of several; a text counts as one value."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        return [values]
    return list(values)


def as_texts(values: object) -> frozenset[str]:
    """Make the texts that a header value may equal from one accepted value or from several."""
    several = values if isinstance(values, list | tuple | set | frozenset) else [values]
    return frozenset(str(value) for value in several)


def callable_name(function: Callable[..., Any]) -> str:
    """Name of a function for descriptions; of a partial, that of the function inside it."""
    inner = getattr(function, "func", function)
    return str(getattr(inner, "__name__", type(inner).__name__))
