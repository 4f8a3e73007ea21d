"""Tells people and machines of the end of a run: a command of theirs, and e-mail.

`run`, `resume` and whoever else ends a run use `telling_end`; who has news of a night at another
moment, as `watch` does, makes a `Notice` and calls `tell`.
"""

from mirar_dask.alarms.notice import (
    Notice,
    notice_of_error,
    notice_of_progress,
    notice_of_summary,
)
from mirar_dask.alarms.settings import AlarmSettings, MailSettings, resolve_alarms
from mirar_dask.alarms.telling import tell, telling_end

__all__ = [
    "AlarmSettings",
    "MailSettings",
    "Notice",
    "notice_of_error",
    "notice_of_progress",
    "notice_of_summary",
    "resolve_alarms",
    "tell",
    "telling_end",
]
