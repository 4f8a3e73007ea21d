"""One writer for each product: who has claimed which path in a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from mirar_dask.data import DataBlock
from mirar_dask.errors import ProcessorError
from mirar_dask.processors.base.blocks import names_of


class OutputPathError(ProcessorError):
    """Raised when two images would be saved under one path; the message names both."""


class Claims:
    """Paths of products, and the raw frames for which each will be written.

    The same frames may claim a path again: a retry, or a later step, may replace its product.
    """

    def __init__(self) -> None:
        self._owners: dict[Path, tuple[str, tuple[str, ...]]] = {}

    def copy(self) -> Claims:
        """Return claims that grow by themselves from here on."""
        copied = Claims()
        copied._owners = dict(self._owners)
        return copied

    def claim(self, path: Path, block: DataBlock) -> None:
        """Claim a path for a block.

        Raises
        ------
        OutputPathError
            If it belongs to other frames.
        """
        name, names = block.get_name(), names_of(block)
        owner, owned_by = self._owners.setdefault(path, (name, names))
        if owned_by != names:
            raise OutputPathError(
                f"'{name}' (from {', '.join(names)}) would be saved over '{owner}' (from "
                f"{', '.join(owned_by)}) at '{path}'; give them different names or folders"
            )


_claims: ContextVar[Claims | None] = ContextVar("mirar_dask_claims", default=None)


@contextmanager
def use_claims(claims: Claims) -> Iterator[None]:
    """Let the steps of a run that is done in this thread share their claims."""
    token = _claims.set(claims)
    try:
        yield
    finally:
        _claims.reset(token)


def current_claims() -> Claims:
    """Return the claims of the run, or new ones where there is no run around."""
    return _claims.get() or Claims()
