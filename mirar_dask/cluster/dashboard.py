"""Dask's dashboard, made when somebody first opens it.

Making it takes the better part of a second, a fifth of a short night, and most nights nobody looks.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from distributed import Scheduler
from tornado.web import Application, RequestHandler

NOT_INSTALLED = (
    "The dashboard needs bokeh, which cannot be imported here ({reason}). Install it where the "
    "scheduler runs: pip install bokeh"
)


class _Opening(RequestHandler):
    """Answers the first request: has the dashboard made, then sends the browser there again."""

    def initialize(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    async def get(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            # In a thread: the scheduler goes on with its work meanwhile.
            pages: Any = await loop.run_in_executor(
                None, import_module, "distributed.dashboard.scheduler"
            )
        except ImportError as error:
            self.set_status(501)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.write(NOT_INSTALLED.format(reason=error))
            return
        served = self.scheduler.http_application
        if self.application in served.applications:  # of two that came at once, the first
            served.applications.remove(self.application)
            pages.connect(served, self.scheduler.http_server, self.scheduler)
        self.redirect(self.request.uri or "/")


def offer_dashboard(scheduler: Scheduler) -> None:
    """Let a scheduler that was started without a dashboard have one as soon as it is asked for.

    Parameters
    ----------
    scheduler : distributed.Scheduler
        In this process; its server for pages is running.
    """
    opening = Application([(r"/.*", _Opening, {"scheduler": scheduler})])
    scheduler.http_application.add_application(opening)
