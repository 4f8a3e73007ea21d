"""What the shell is told at the end of a command, and by which error.

The command line ends by it, and whoever is told of the end of a run is told the same number.
"""

from __future__ import annotations

import errno
import signal
from enum import IntEnum

from mirar_dask.errors import MirarDaskError, UsageError, WriteError

DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
"""What goes wrong with a disk while a run is under way, and is no fault of the program."""


class ExitCode(IntEnum):
    """What the shell is told."""

    WELL = 0
    """Everything that was asked for is done, perhaps with caveats."""
    FAILURES = 1
    """The run came to its end, and something in it failed."""
    USAGE = 2
    """The request itself is wrong."""
    NOTHING = 3
    """Nothing could be done."""
    INTERRUPTED = 128 + signal.SIGINT
    """Ctrl-C."""
    TERMINATED = 128 + signal.SIGTERM
    """SIGTERM: a batch system, a shutdown."""
    HUNG_UP = 128 + signal.SIGHUP
    """SIGHUP: the terminal was closed."""


class Terminated(KeyboardInterrupt):
    """Raised in the main thread when such a signal arrives; its argument is the signal."""


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the code of a command that an error ends.

    Examples
    --------
    >>> exit_code_of(UsageError("no such night"))
    <ExitCode.USAGE: 2>
    >>> exit_code_of(Terminated(signal.SIGTERM))
    <ExitCode.TERMINATED: 143>
    """
    match error:
        case Terminated():
            return ExitCode(128 + error.args[0])
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED
        case UsageError():
            return ExitCode.USAGE
        case MirarDaskError() if not isinstance(error, WriteError):
            # What fails inside a run is in its summary: this kept the run from being one.
            return ExitCode.NOTHING
    return ExitCode.FAILURES
