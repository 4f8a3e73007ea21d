"""One error that happened while blocks were processed, as text.

The traceback is rendered when the report is made, in the process where the error happened:
exceptions lose it on their way to another process, and keep whole arrays alive at home.
"""

from __future__ import annotations

import copy
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mirar_dask.errors.exceptions import BaseProcessorError, NoncriticalProcessingError
from mirar_dask.errors.printable import printable
from mirar_dask.redaction import redacted

_MAX_MESSAGE = 4000  # characters; some libraries put a whole header or array into a message


class ErrorReport:
    """One error, the step in which it happened, and the files that it affected.

    A plain value: it pickles whatever the exception was, and no method of it raises.

    Parameters
    ----------
    error : BaseException
        The error, raised or not.
    processor_name : str
        The step in which it happened.
    contents : iterable of str or Path
        Base names of the raw files of the blocks that it affected.

    Attributes
    ----------
    error : BaseException or None
        A copy of the error without its traceback; None in another process, and where the error
        cannot be copied.
    error_name : str
        Name of the error's class.
    message : str
        What the error says.
    t_error : datetime
        When the report was made, UTC.
    known_error_bool : bool
        Whether the error was raised on purpose, by this package or a processor.
    non_critical_bool : bool
        Whether the blocks go on in spite of it.
    """

    def __init__(
        self,
        error: BaseException,
        processor_name: str,
        contents: Iterable[str | Path],
    ) -> None:
        self.processor_name = str(processor_name)
        self.contents: list[str] = [
            printable(x.name if isinstance(x, Path) else str(x)) for x in contents
        ]
        self.t_error = datetime.now(UTC)
        self.known_error_bool = isinstance(error, BaseProcessorError)
        self.non_critical_bool = isinstance(error, NoncriticalProcessingError)
        self.error_name = type(error).__name__
        self.message = _message(error)
        self.last_frame, self.traceback_text = _render(error, self.error_name, self.message)
        self.error: BaseException | None = _bare_copy(error)

    def message_known_error(self) -> str:
        """Say whether the error was raised on purpose."""
        if self.known_error_bool:
            return "This error was a known error raised by mirar_dask."
        return "This error was not a known error raised by mirar_dask."

    def generate_log_message(self) -> str:
        """Return one line for the log."""
        return (
            f"Error for processor {self.processor_name} at time {self.t_error:%Y-%m-%d %H:%M:%S} "
            f"UT: {self.error_name} affected batch of length {len(self.contents)}: "
            f"{self.message} ({self.message_known_error()})\n"
        )

    def generate_full_traceback(self) -> str:
        """Return everything: step, time, traceback, message and files."""
        return (
            f"Error for processor {self.processor_name} at {self.t_error:%Y-%m-%d %H:%M:%S} UT:\n"
            f"{self.traceback_text}"
            f"This error affected the following files: {self.contents}\n"
            f"{self.message_known_error()}\n\n"
        )

    def get_error_name(self) -> str:
        """Return the name of the error's class."""
        return self.error_name

    def get_error_message(self) -> str:
        """Return the innermost frame of the traceback: file, line, function and code.

        An error that was never raised has none; its name and message stand in.
        """
        return self.last_frame

    def get_error_line(self) -> str:
        """Return the first line of `get_error_message`."""
        return self.last_frame.split("\n", maxsplit=1)[0]

    def __getstate__(self) -> dict[str, Any]:
        # An exception of a user's module may not load where the report arrives.
        return {**self.__dict__, "error": None}

    def __repr__(self) -> str:
        return (
            f"<ErrorReport {self.error_name} in {self.processor_name!r}, "
            f"{len(self.contents)} files: {self.message}>"
        )


def _message(error: BaseException) -> str:
    try:
        # str() of a KeyError is the repr of its key.
        plain = type(error) is KeyError and len(error.args) == 1
        text = f"no key {error.args[0]!r}" if plain else str(error)
    except Exception as failure:
        return f"<the message could not be rendered: {type(failure).__name__}>"
    text = redacted(printable(text))
    return text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + " [...]"


def _render(error: BaseException, name: str, message: str) -> tuple[str, str]:
    """Return the innermost frame, and the whole traceback with the error's causes."""
    headline = f"{name}: {message}\n"
    try:
        frames = traceback.extract_tb(error.__traceback__)
        last = "".join(traceback.format_list(frames[-1:])) if frames else headline
    except Exception:
        last = headline
    try:
        whole = "".join(traceback.format_exception(error))
    except Exception:
        whole = last if last == headline else last + headline
    return redacted(printable(last)), redacted(printable(whole))


def _bare_copy(error: BaseException) -> BaseException | None:
    """Copy an error without its traceback, whose frames would keep the images alive."""
    try:
        twin = copy.copy(error)
    except Exception:
        return None
    if twin is error or not isinstance(twin, type(error)):
        return None
    # Where tblib is installed (distributed brings it) copies come with all of these.
    twin.__traceback__ = twin.__cause__ = twin.__context__ = None
    return twin
