"""A wish, left in a run's folder, that the run should end: the driver looks at each heartbeat.

It reaches a run on any host that sees the folder. `cancel` leaves it; `run` hands `Ending` to the
heartbeat, which ends the run as Ctrl-C does.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger(__name__)

CANCEL = "cancel"
"""The file; it holds a sentence that says who wished so."""


def wish_end(folder: Path, who: str) -> None:
    """Leave the wish that a run should end."""
    (folder / CANCEL).write_text(f"{who}\n", encoding="utf-8")


def end_wished(folder: Path) -> str | None:
    """Return who wished that a run should end, if somebody did."""
    try:
        return (folder / CANCEL).read_text(encoding="utf-8").strip() or "cancelled"
    except FileNotFoundError:
        return None


class Ending:
    """Ends the run of this process, in good order, once there is a reason; call it at each beat.

    Parameters
    ----------
    more : callable, optional
        Gives further reasons, such as a job that is nearly over.
    """

    def __init__(self, more: Callable[[], str | None] | None = None) -> None:
        self.more = more
        self.reason: str | None = None
        """Why the run was ended, if it was."""

    def __call__(self, folder: Path) -> None:
        """Look for a reason, and end the run if there is one."""
        if self.reason is not None:
            return
        self.reason = end_wished(folder) or (self.more() if self.more else None)
        if self.reason is not None:
            logger.warning("%s; ending the run", self.reason)
            interrupt()


def interrupt() -> None:
    """Interrupt the main thread: as SIGTERM does where that is caught, else as Ctrl-C."""
    caught = signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN, None)
    number = signal.SIGTERM if caught else signal.SIGINT
    main = threading.main_thread().ident
    if main is not None:
        # To the thread, not to the process: a call that it waits in returns at once.
        signal.pthread_kill(main, number)
