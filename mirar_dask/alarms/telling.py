"""Tells the news of a run to whoever wants to know; what goes wrong in that is a sentence, no more.

The products and the exit code of a run are never changed by its alarms.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mirar_dask.alarms.hook import INSIDE_VARIABLE, call
from mirar_dask.alarms.notice import (
    Notice,
    keep_ending,
    notice_of_error,
    notice_of_summary,
)
from mirar_dask.alarms.settings import AlarmSettings
from mirar_dask.errors import ClusterError, UsageError
from mirar_dask.monitoring.log_file import log_to
from mirar_dask.monitoring.report import RunSummary
from mirar_dask.monitoring.run_folder import LOG, folder_of

if TYPE_CHECKING:
    from mirar_dask.config import NightSettings
    from mirar_dask.request import Request

logger = logging.getLogger(__name__)


def tell(settings: AlarmSettings, notice: Notice) -> list[str]:
    """Call the command and send the e-mail that settings ask for; both are tried, always.

    Parameters
    ----------
    settings : AlarmSettings
        From `resolve_alarms`.
    notice : Notice
        The news.

    Returns
    -------
    list of str
        What could not be done, a sentence each; they are in the run's log too.
    """
    troubles: list[str] = []
    log = notice.folder / LOG if notice.folder and notice.folder.is_dir() else None
    with log_to(log) if log else nullcontext():
        for give in _ways(settings):
            try:
                trouble = give(settings, notice)
            except KeyboardInterrupt:
                trouble = "interrupted while the end of the run was told of"
            except Exception as error:
                # The night's work is done: no mistake of ours in telling so may look like its.
                logger.debug("telling of the end of a run", exc_info=True)
                trouble = f"the end of the run could not be told of: {error!r}"
            if trouble:
                troubles.append(trouble)
                if log is not None:
                    logger.warning("%s", trouble)
    return troubles


def _ways(settings: AlarmSettings) -> Iterator[Callable[[AlarmSettings, Notice], str | None]]:
    if settings.on_end and INSIDE_VARIABLE not in os.environ:
        yield call
    if settings.mail is not None:
        from mirar_dask.alarms.mail import mail

        yield mail


@dataclass
class End:
    """What is known of a run when its end has come."""

    pipeline: str
    night: str
    folder: Path | None = None
    """Where the run's folder is, if it got so far as to make one."""
    summary: RunSummary | None = None
    why: str = ""
    """What follows, if anything does."""

    def concerns(self, request: Request, run_id: str) -> None:
        """Note which run it is that ends."""
        self.pipeline, self.night = request.pipeline.name, request.folders.night
        self.folder = folder_of(request.folders.output, run_id)


@contextmanager
def telling_end(
    night: NightSettings, *, complain: Callable[[str], None] = logger.warning
) -> Iterator[End]:
    """Tell of the end of the run inside the block, however that ends.

    Parameters
    ----------
    night : NightSettings
        What is asked for, and who is told.
    complain : callable
        Given a sentence about each alarm that could not be given.

    Yields
    ------
    End
        To be given the run's summary; without one, and without an error, nobody is told.

    Raises
    ------
    UsageError
        If an alarm that is asked for could not be given; nothing was begun then.
    """
    settings = night.resolve_alarms()
    asked = night.pipeline if isinstance(night.pipeline, str) else night.pipeline.name
    end = End(asked, night.night or (night.raw.name if night.raw else ""))
    failed: BaseException | None = None
    try:
        yield end
    except BaseException as error:
        failed = error
        raise
    finally:
        if not _driver_is_another(night):
            if failed is not None and end.folder is not None and end.folder.is_dir():
                keep_ending(failed, end.folder)
            notice = _notice(end, failed) if settings.any else None
            for trouble in tell(settings, notice) if notice is not None else ():
                complain(trouble)


def _driver_is_another(night: NightSettings) -> bool:
    """Whether another task of the same job is the driver of the run, and tells of it."""
    try:
        if night.resolve_cluster().spec.kind != "slurm-runner":
            return False
        from mirar_dask.cluster.runner import Place

        return Place.here().rank != 0
    except (ClusterError, UsageError):
        return False  # that is what is told


def _notice(end: End, error: BaseException | None) -> Notice | None:
    # What goes wrong behind the summary (its reader has gone, say) does not undo it.
    if end.summary is not None:
        return notice_of_summary(end.summary, why=end.why)
    if error is None:
        return None
    return notice_of_error(error, pipeline=end.pipeline, night=end.night, folder=end.folder)
