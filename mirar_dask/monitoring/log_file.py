"""A file with everything that is logged about a run, what its tasks said on workers included."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mirar_dask.engine.events import Event, Listener, TaskFinished
from mirar_dask.errors import printable
from mirar_dask.redaction import redacted

LOGGERS = ("mirar_dask", "py.warnings")
"""The package, and the warnings of libraries."""


class _Formatter(logging.Formatter):
    """Leaves out what must not be written down."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or lines, of a message."""
        return redacted(printable(super().format(record)))


@contextmanager
def log_to(path: Path, level: int = logging.INFO) -> Iterator[Listener]:
    """Write log messages to a file, those of tasks as the tasks come back.

    Parameters
    ----------
    path : Path
        The file; what is in it already stays.
    level : int
        Least level of the messages of this process.

    Yields
    ------
    callable
        A listener for the events of a run: its tasks bring the lines that they kept.
    """
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setLevel(level)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    package = logging.getLogger(LOGGERS[0])
    before = package.level
    if package.getEffectiveLevel() > level:
        package.setLevel(level)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(handler)

    def listen(event: Event) -> None:
        if isinstance(event, TaskFinished) and event.log:
            head = f"task {event.number} ({event.label}) on {event.worker}:"
            handler.acquire()
            try:
                print("\n    ".join((head, *event.log)), file=handler.stream, flush=True)
            finally:
                handler.release()

    try:
        yield listen
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(handler)
        package.setLevel(before)
        handler.close()
