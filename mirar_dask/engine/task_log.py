"""What is logged while a task is done, kept as lines with the task's outcome.

`listening` is for a process, or a run in it; `kept_log` for one task. Messages of the package and
of the modules of the run's processors are kept from INFO on, all others, and warnings, from
WARNING on; what says more than fits is cut in its middle.
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

from mirar_dask.errors import printable
from mirar_dask.processors.base_processor import BaseProcessor
from mirar_dask.redaction import redacted

LINES = 200
"""Lines of one task at most, half of them its first and half its last."""
CHARACTERS = 20_000
"""Characters of them all at most."""
PACKAGE = "mirar_dask"
WARNINGS = "py.warnings"
"""Logger to which `logging.captureWarnings` sends warnings."""


class _Format(logging.Formatter):
    """Time, level, logger, message; UTC, since workers may be anywhere."""

    converter = staticmethod(time.gmtime)
    default_msec_format = "%s,%03dZ"


_format = _Format("%(asctime)s %(levelname)s %(name)s: %(message)s").format


def _text(record: logging.LogRecord) -> str:
    return redacted(printable(_format(record)))


class TaskLog:
    """The lines of one task; safe across threads."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._last: deque[str] = deque()
        self._room, self._held, self._cut = CHARACTERS // 2, 0, 0
        self._lock = threading.Lock()

    def add(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        lines = [line for line in _text(record).splitlines() if line.strip()]
        with self._lock:
            for line in lines:
                self._add(line if len(line) <= CHARACTERS // 4 else line[: CHARACTERS // 4] + "...")

    def _add(self, line: str) -> None:
        if not self._last and len(self._first) < LINES // 2 and len(line) <= self._room:
            self._first.append(line)
            self._room -= len(line)
            return
        self._last.append(line)
        self._held += len(line)
        while len(self._last) > LINES // 2 or self._held > CHARACTERS // 2:
            self._held -= len(self._last.popleft())
            self._cut += 1

    def lines(self) -> tuple[str, ...]:
        """Return what was kept, with a note of what was not."""
        note = [f"... {self._cut} lines left out ..."] if self._cut else []
        return (*self._first, *note, *self._last)


_current: ContextVar[TaskLog | None] = ContextVar("mirar_dask_task_log", default=None)
_open: list[TaskLog] = []
"""Of the tasks that this process does now."""


@contextmanager
def kept_log() -> Iterator[TaskLog]:
    """Keep what this thread logs inside the block."""
    log = TaskLog()
    token = _current.set(log)
    _open.append(log)
    try:
        yield log
    finally:
        _open.remove(log)
        _current.reset(token)


class _Ear(logging.Handler):
    """Hands messages, and warnings, to the log of the task that they concern.

    Parameters
    ----------
    alone : bool
        This process does nothing but tasks: threads that a task started are listened to as well,
        and what a task's log holds is not printed.
    """

    def __init__(self, alone: bool) -> None:
        super().__init__()
        self.alone = alone
        self.names: set[str] = {PACKAGE}
        """Top-level names of the loggers whose INFO is kept."""
        self._show = warnings.showwarning

    def log(self) -> TaskLog | None:
        """Return the log of the task under way in this thread."""
        found = _current.get()
        return _open[0] if found is None and self.alone and len(_open) == 1 else found

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message with its task."""
        log = self.log()
        known = record.name.partition(".")[0] in self.names
        if log is not None and (record.levelno >= logging.WARNING or known):
            log.add(record)
        elif log is None and record.levelno >= logging.WARNING and self._only_one:
            assert logging.lastResort is not None
            logging.lastResort.handle(record)

    @property
    def _only_one(self) -> bool:
        """Whether nobody else listens: logging would have printed the message."""
        return logging.lastResort is not None and logging.getLogger().handlers == [self]

    def show_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Keep a warning with its task; what takes the place of `warnings.showwarning`."""
        log = self.log()
        if log is not None:
            text = f"{filename}:{lineno}: {category.__name__}: {message}"
            log.add(logging.LogRecord(WARNINGS, logging.WARNING, filename, 0, text, None, None))
        if log is None or not self.alone:
            self._show(message, category, filename, lineno, file, line)

    def __enter__(self) -> _Ear:
        logging.getLogger().addHandler(self)
        self._show, warnings.showwarning = warnings.showwarning, self.show_warning
        self.addFilter(self._told_otherwise)
        return self

    def _told_otherwise(self, record: logging.LogRecord) -> bool:
        # Warnings are kept where they are shown; who captures them logs them besides.
        return record.name != WARNINGS or warnings.showwarning != self.show_warning

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)
        if warnings.showwarning == self.show_warning:
            warnings.showwarning = self._show


_ears: list[tuple[_Ear, dict[logging.Logger, int]]] = []
"""The one of this process, once for each run, with the levels that loggers had before."""
_lock = threading.Lock()


def begin_listening(steps: Iterable[BaseProcessor], *, alone: bool = False) -> None:
    """Listen to what tasks with these steps log, until `end_listening`.

    Parameters
    ----------
    steps : iterable of BaseProcessor
        Their modules' loggers say INFO meanwhile.
    alone : bool
        This process does nothing but tasks, one at a time.
    """
    names = {name for step in steps for name in _modules(step)}
    with _lock:
        ear = _ears[0][0] if _ears else _Ear(alone).__enter__()
        ear.names |= {name.partition(".")[0] for name in names}
        before = {}
        for name in {PACKAGE, *names}:
            logger = logging.getLogger(name)
            if logger.getEffectiveLevel() > logging.INFO:
                before[logger] = logger.level
                logger.setLevel(logging.INFO)
        _ears.append((ear, before))


def end_listening() -> None:
    """End what `begin_listening` began last."""
    with _lock:
        if not _ears:
            return
        ear, before = _ears.pop()
        for logger, level in before.items():
            logger.setLevel(level)
        if not _ears:
            ear.__exit__()


@contextmanager
def listening(steps: Iterable[BaseProcessor]) -> Iterator[None]:
    """Listen inside the block."""
    begin_listening(steps)
    try:
        yield
    finally:
        end_listening()


def _modules(step: BaseProcessor) -> Iterator[str]:
    """Yield the packages, or modules, of the user's classes that a step is made of."""
    for kind in type(step).__mro__:
        name = kind.__module__.partition(".")[0]
        if issubclass(kind, BaseProcessor) and name != PACKAGE:
            yield name
