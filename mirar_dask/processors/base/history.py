"""The processing history in a header: which steps, by whom, where, when, with what software."""

from __future__ import annotations

import getpass
import socket
from datetime import datetime
from functools import lru_cache

from mirar_dask.data import DataBlock
from mirar_dask.paths import (
    PACKAGE_NAME,
    PROC_HISTORY_KEY,
    PRODKEY_KEY,
    SOFTVER_KEY,
    __version__,
)
from mirar_dask.processors.base.identity import digest


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
    block[PROC_HISTORY_KEY] = f"{block[PROC_HISTORY_KEY]}{base_key},"
    try:
        key = str(block[PRODKEY_KEY])
    except KeyError:
        key = ""
    block[PRODKEY_KEY] = digest(key, fingerprint, used)
    user, host = _who_and_where()
    block["REDUCER"] = user
    block["REDMACH"] = host
    block["REDTIME"] = str(datetime.now())
    block["REDSOFT"] = PACKAGE_NAME
    block[SOFTVER_KEY] = __version__


@lru_cache(maxsize=1)
def _who_and_where() -> tuple[str, str]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        user = "unknown"
    return user, socket.gethostname()
