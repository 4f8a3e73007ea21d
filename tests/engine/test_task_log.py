"""What is logged while a task is done is kept with the task."""

from __future__ import annotations

import logging
import threading
import warnings
from pathlib import Path

import pytest

from mirar_dask.data import Dataset, Image
from mirar_dask.engine import Engine, SerialEngine
from mirar_dask.engine import task_log as logs
from mirar_dask.engine.events import Event, TaskFinished
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.image_loader import ImageLoader
from mirar_dask.testing.engine_contract import configured, settings_for

logger = logging.getLogger(__name__)


class Talks(BaseImageProcessor):
    """Logs as a user's processor does."""

    base_key = "talks"

    def apply_to_image(self, image: Image) -> Image:
        name = image.get_name()
        logging.getLogger(__name__).info("looked at %s", name)
        logging.getLogger(__name__).debug("not of interest")
        logging.getLogger("a_library").info("chatter")
        logging.getLogger("a_library").warning("odd %s", name)
        return image


def _log_of_each_frame(engine: Engine, raw: Path, out: Path) -> dict[str, list[str]]:
    seen: list[Event] = []
    settings = settings_for(raw, out, listeners=(seen.append,))
    engine.run(configured([ImageLoader(), Talks()]), Dataset(), settings)
    found: dict[str, list[str]] = {}
    for event in seen:
        if isinstance(event, TaskFinished):
            found |= {name: list(event.log) for name in event.names}
            assert len(event.log) == 2 * len(event.names)
    return found


@pytest.mark.parametrize("kind", ["threads", "local"])
def test_a_task_keeps_what_its_processors_and_libraries_say(
    kind: str, request: pytest.FixtureRequest, raw: Path, tmp_path: Path
) -> None:
    """INFO of the user's module, warnings of all, and nothing of other tasks."""
    found = _log_of_each_frame(request.getfixturevalue(kind), raw, tmp_path)
    assert set(found) == {path.name for path in raw.iterdir()}
    for name, lines in found.items():
        assert sum(f"looked at {name}" in line for line in lines) == 1
        assert sum(f"WARNING a_library: odd {name}" in line for line in lines) == 1


def test_a_step_of_a_serial_run_keeps_its_log(raw: Path, tmp_path: Path) -> None:
    """There a step is a task."""
    seen: list[Event] = []
    settings = settings_for(raw, tmp_path, listeners=(seen.append,))
    SerialEngine().run(configured([ImageLoader(), Talks()]), Dataset(), settings)
    (log,) = [event.log for event in seen if isinstance(event, TaskFinished)]
    assert len(log) == 2 * len(list(raw.iterdir()))


def test_logging_is_as_it_was_after_a_run(raw: Path, tmp_path: Path) -> None:
    """Handlers, levels, and what shows warnings."""
    before = (logging.getLogger().handlers[:], logger.level, warnings.showwarning)
    with logs.listening([Talks()]):
        assert logger.isEnabledFor(logging.INFO)
        with logs.listening([Talks()]):
            assert len(logging.getLogger().handlers) == len(before[0]) + 1
    assert (logging.getLogger().handlers, logger.level, warnings.showwarning) == before


def test_warnings_are_kept_once_and_shown_as_before(recwarn: pytest.WarningsRecorder) -> None:
    """Whether somebody has them logged or not."""
    for captured in (False, True):
        logging.captureWarnings(captured)
        try:
            with (
                warnings.catch_warnings(),
                logs.listening([]),
                logs.kept_log() as log,
            ):
                warnings.simplefilter("always")
                warnings.warn("a strange header", UserWarning, stacklevel=1)
        finally:
            logging.captureWarnings(False)
        (line,) = log.lines()
        assert "UserWarning: a strange header" in line
    assert len(recwarn) == 1


def test_a_talkative_task_keeps_its_beginning_and_its_end() -> None:
    """And says how much was left out."""
    with logs.listening([]), logs.kept_log() as log:
        for number in range(1000):
            logger.warning("line %d %s", number, "x" * (500 if number % 10 == 0 else 5))
    lines = log.lines()
    assert len(lines) <= logs.LINES + 1
    assert sum(map(len, lines)) < logs.CHARACTERS + 100
    assert "line 0 " in lines[0]
    assert "line 999 " in lines[-1]
    cut = next(line for line in lines if line.endswith("lines left out ..."))
    assert int(cut.split()[1]) + len(lines) - 1 == 1000


def test_a_traceback_is_kept_line_by_line() -> None:
    """A line of a log is a line."""
    with logs.listening([]), logs.kept_log() as log:
        try:
            raise ValueError("no good")
        except ValueError:
            logger.exception("it failed")
    assert log.lines()[0].endswith("it failed")
    assert log.lines()[-1] == "ValueError: no good"


def test_a_thread_that_does_another_task_is_not_listened_to() -> None:
    """Tasks in threads of one process do not mix."""

    def speak() -> None:
        with logs.kept_log() as other:
            logger.warning("from elsewhere")
        assert len(other.lines()) == 1

    with logs.listening([]), logs.kept_log() as log:
        thread = threading.Thread(target=speak)
        thread.start()
        thread.join()
        logger.warning("from here")
    assert [line.rpartition(": ")[2] for line in log.lines()] == ["from here"]
