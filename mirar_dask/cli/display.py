"""What a command shows of a run while it lasts: the options for it, and where log messages go."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mirar_dask.errors import UsageError

if TYPE_CHECKING:
    from mirar_dask.engine.events import Listener

_OPTIONS = (
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but what went wrong."),
    click.option(
        "--log-file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Write log messages to a file too, those of the tasks included (with -v: more).",
    ),
)


@dataclass(frozen=True)
class Display:
    """What is shown of a run."""

    verbosity: int = 0
    """How often ``-v`` was said."""
    quiet: bool = False
    log_file: Path | None = None
    """Gets log messages too."""


def display_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--quiet`` and ``--log-file`` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@contextmanager
def logging_to(monitor: Any, verbosity: int, log_file: Path | None = None) -> Iterator[Listener]:
    """Show log messages above the panel (or among the lines), as far as they are wanted.

    Parameters
    ----------
    monitor : Monitor
        Shows them.
    verbosity : int
        How often ``-v`` was said.
    log_file : Path, optional
        Gets them too.

    Yields
    ------
    callable
        A listener for the events of the run.
    """

    class ToMonitor(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            monitor.note(self.format(record))

    handler = ToMonitor((logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)])
    if verbosity < 2:
        handler.addFilter(_of_interest if verbosity else _concerns_workers)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root, package = logging.getLogger(), logging.getLogger("mirar_dask")
    before = package.level
    root.addHandler(handler)
    if verbosity:
        package.setLevel(handler.level)
    # Warnings of libraries (odd headers mostly) would tear the panel; the log file has them.
    logging.captureWarnings(True)
    try:
        with ExitStack() as stack:
            yield _log_file(log_file, verbosity, stack)
    finally:
        logging.captureWarnings(False)
        package.setLevel(before)
        root.removeHandler(handler)


def _log_file(path: Path | None, verbosity: int, stack: ExitStack) -> Listener:
    from mirar_dask.monitoring.log_file import log_to

    if path is None:
        return lambda event: None
    try:
        return stack.enter_context(log_to(path, logging.DEBUG if verbosity > 1 else logging.INFO))
    except OSError as error:
        raise UsageError(
            f"--log-file {path} cannot be written ({error.strerror}); choose another"
        ) from error


def _of_interest(record: logging.LogRecord) -> bool:
    """Tell whether a message is not one of those by which Dask tells of every connection."""
    return record.levelno >= logging.WARNING or not record.name.startswith("distributed")


def _concerns_workers(record: logging.LogRecord) -> bool:
    """Tell whether who waits for a run should see a message: why no worker is there, say."""
    known = record.name.startswith(("mirar_dask.cluster.", "mirar_dask.engine.workers"))
    return known or record.levelno >= logging.CRITICAL
