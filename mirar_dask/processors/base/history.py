"""The processing history in a header: which steps, by whom, where, when, with what software."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from mirar_dask.data import DataBlock, Image, ImageHandle
from mirar_dask.data.header_edits import put_texts, with_texts
from mirar_dask.paths import (
    PACKAGE_NAME,
    PROC_HISTORY_KEY,
    PRODKEY_KEY,
    SOFTVER_KEY,
    __version__,
)
from mirar_dask.processors.base.identity import digest

HISTORY_KEYS = (
    PROC_HISTORY_KEY, PRODKEY_KEY, "REDUCER", "REDMACH", "REDTIME", "REDSOFT", SOFTVER_KEY,
)  # fmt: skip
"""Header keys that say what was done, in the order in which they are written."""

Passed = tuple[str, str, str]
"""A step in a history: its key, its fingerprint, the key of what it used beside the block."""


def history(steps: str, key: str, passed: Iterable[Passed]) -> dict[str, str]:
    """Return a history that has grown, by header key.

    Parameters
    ----------
    steps, key : str
        CALSTEPS and PRODKEY so far.
    passed : iterable of Passed
        The steps that are added.
    """
    for base_key, fingerprint, used in passed:
        steps = f"{steps}{base_key},"
        key = digest(key, fingerprint, used)
    user, host = _who_and_where()
    values = (steps, key, user, host, str(datetime.now()), PACKAGE_NAME, __version__)
    return dict(zip(HISTORY_KEYS, values, strict=True))


def add_to_history(block: DataBlock, base_key: str, fingerprint: str, used: str = "") -> None:
    """Add a step to the history of a block.

    Parameters
    ----------
    block : DataBlock
        Its header is changed.
    base_key : str
        Key of the step, which CALSTEPS grows by.
    fingerprint : str
        Hash of what the step does; with ``used`` it goes into PRODKEY.
    used : str
        Key of what the step used beside the block.
    """
    steps = str(block[PROC_HISTORY_KEY])
    try:
        key = str(block[PRODKEY_KEY])
    except KeyError:
        key = ""
    texts = history(steps, key, [(base_key, fingerprint, used)])
    if isinstance(block, Image):
        put_texts(block.header, texts)
    else:
        for name, text in texts.items():
            block[name] = text


def add_to_handle(handle: ImageHandle, passed: Iterable[Passed]) -> ImageHandle | None:
    """Return a handle whose history has grown; None if its header must be parsed for that."""
    steps = handle.get(PROC_HISTORY_KEY)
    if not isinstance(steps, str):
        return None
    texts = history(steps, str(handle.get(PRODKEY_KEY, "")), passed)
    header = with_texts(handle.header, texts)
    return None if header is None else handle.with_header(header)


@lru_cache(maxsize=1)
def _who_and_where() -> tuple[str, str]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        user = "unknown"
    return user, socket.gethostname()
