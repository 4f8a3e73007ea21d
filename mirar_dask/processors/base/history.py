"""The processing history in a header: which steps, by whom, where, when, with what software."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

from mirar_dask.data import DataBlock, Dataset, Image, ImageHandle, SourceTable
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
    texts = history(steps, key_of(block), [(base_key, fingerprint, used)])
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


def key_of(block: DataBlock) -> str:
    """Return the PRODKEY of a block; empty where it has none."""
    try:
        return str(block[PRODKEY_KEY])
    except KeyError:
        return ""


def joint_key(blocks: Iterable[DataBlock]) -> str:
    """Return one key for blocks that are looked at together, in their order."""
    return digest(*(key_of(block) for block in blocks))


class Untouched:
    """What blocks were before a step that may do anything to all of them.

    A block that it only moved keeps its PRODKEY; any other gets one that stands for all blocks
    that the step saw and for its own place.
    """

    def __init__(self, dataset: Dataset) -> None:
        blocks = [block for batch in dataset for block in batch]
        self._known = {_state(block) for block in blocks}
        self._all = joint_key(blocks)

    def mark_the_others(self, dataset: Dataset, fingerprint: str) -> None:
        """Give blocks that were changed, or are new, keys of their own."""
        for number, batch in enumerate(dataset):
            for place, block in enumerate(batch):
                if _state(block) not in self._known:
                    key = digest(key_of(block), self._all, fingerprint, f"{number}.{place}")
                    if isinstance(block, Image):
                        put_texts(block.header, {PRODKEY_KEY: key})
                    else:
                        block[PRODKEY_KEY] = key


def _state(block: DataBlock) -> tuple[Any, ...]:
    """Return header and pixels as they are: pixels never change, they are replaced."""
    if isinstance(block, Image):
        return block.travelling_header().token, block.pixels
    assert isinstance(block, SourceTable)
    return block.__dask_tokenize__()


@lru_cache(maxsize=1)
def _who_and_where() -> tuple[str, str]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        user = "unknown"
    return user, socket.gethostname()
