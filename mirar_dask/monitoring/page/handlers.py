"""What answers a browser: the page, its files, and the figures of runs as JSON.

On a Dask scheduler these share its server, so whatever reads a file does so in a thread: the
scheduler goes on meanwhile. Every answer forbids the browser to load anything from elsewhere.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tornado.web import Application, RequestHandler

from mirar_dask.monitoring.page.assets import KINDS, asset
from mirar_dask.monitoring.page.runs import PageRuns

POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
"""What the browser may load: what comes from here."""
Live = Callable[[str, dict[int, int]], list[dict[str, Any]]]
"""Tells of the workers of a run as the scheduler knows them: its name, and the number of frames of
each task under way."""


class _Handler(RequestHandler):
    runs: PageRuns

    def initialize(self) -> None:
        self.runs = self.application.settings["runs"]

    def prepare(self) -> None:
        # Another site may have its name lead here, and would read what is served.
        hosts = self.application.settings.get("hosts")
        if hosts is not None and self.request.host_name not in hosts:
            self.refuse(403, f"This page is served to {', '.join(sorted(hosts))} only.")

    def set_default_headers(self) -> None:
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.clear_header("Server")

    def refuse(self, status: int, sentence: str) -> None:
        """Answer with one sentence."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"error": sentence}))

    def whole(self, name: str, default: int | None = None) -> int:
        """Return a whole number of the question.

        Raises
        ------
        ValueError
            If there is none of that name.
        """
        text = self.get_query_argument(name, None)
        if text is None and default is not None:
            return default
        if text is None or not text.isdecimal() or len(text) > 15:
            raise ValueError(f"'{name}' must be a whole number.")
        return int(text)


class PageHandler(_Handler):
    """The page itself."""

    def get(self) -> None:
        """Answer."""
        self.set_header("Content-Type", KINDS[".html"])
        self.set_header("Cache-Control", "no-cache")
        self.finish(asset("page.html"))


class ToPageHandler(_Handler):
    """Leads to the page, whatever stands before it in the address."""

    def get(self) -> None:
        """Answer."""
        self.set_status(302)
        self.set_header("Location", "mirar/")
        self.finish()


class AssetHandler(_Handler):
    """The scripts and the style."""

    def get(self, name: str) -> None:
        """Answer."""
        try:
            content = asset(name)
        except KeyError:
            self.refuse(404, "There is no such file.")
            return
        self.set_header("Content-Type", KINDS[f".{name.rpartition('.')[2]}"])
        self.set_header("Cache-Control", "no-cache")
        self.finish(content)


class RunsHandler(_Handler):
    """Which runs there are."""

    async def get(self) -> None:
        """Answer."""
        found = await asyncio.to_thread(self.runs.listed)
        told: dict[str, Any] = {"runs": found, "dask": "live" in self.application.settings}
        if not found:
            told["why"] = await asyncio.to_thread(self.runs.why_none)
        self.finish(told)


class RunHandler(_Handler):
    """What is asked about one run."""

    async def get(self, key: str, what: str) -> None:
        """Answer."""
        try:
            if what == "picture":
                await self._picture(key)
            elif what == "changes":
                await self._changes(key)
            else:
                self.finish(await asyncio.to_thread(getattr(self, f"_{what}"), key))
        except (KeyError, IndexError):
            self.refuse(404, "This run, or what was asked about it, is not here.")
        except ValueError as error:
            self.refuse(400, str(error))
        except OSError as error:
            self.refuse(503, f"The run's folder cannot be read: {error}")

    async def _changes(self, key: str) -> None:
        epoch, since = self.get_query_argument("epoch", ""), self.whole("since", 0)

        def ask() -> tuple[dict[str, Any], dict[int, int]]:
            follower = self.runs.follower(key)
            return follower.changes(epoch, since), follower.under_way()

        found, under_way = await asyncio.to_thread(ask)
        live: Live | None = self.application.settings.get("live")
        if live is not None and not found["head"]["over"]:
            found["live"] = live(found["head"]["run_id"], under_way)
        text = await asyncio.to_thread(json.dumps, found, separators=(",", ":"))
        self.set_header("Content-Type", "application/json")
        self.finish(text)

    async def _picture(self, key: str) -> None:
        from mirar_dask.errors import MirarDaskError

        path, size = self.get_query_argument("path"), self.whole("size", 256)
        try:
            drawn = await asyncio.to_thread(lambda: self.runs.products(key).picture(path, size))
        except (MirarDaskError, OSError, MemoryError) as error:
            self.refuse(422, f"{path} cannot be shown: {error}")
            return
        self.set_header("Content-Type", "image/png")
        # Its address changes with the file.
        self.set_header("Cache-Control", "private, max-age=3600")
        self.finish(drawn)

    def _pictures(self, key: str) -> dict[str, Any]:
        return self.runs.products(key).newest()

    def _cell(self, key: str) -> dict[str, Any]:
        return self.runs.follower(key).cell(self.whole("row"), self.whole("step"))

    def _task(self, key: str) -> dict[str, Any]:
        return self.runs.follower(key).task(self.whole("id"))

    def _failure(self, key: str) -> dict[str, Any]:
        return self.runs.follower(key).failure(self.whole("id"), self.whole("start", 0))

    def _frame(self, key: str) -> dict[str, Any]:
        return self.runs.follower(key).frame(self.get_query_argument("name"))


class PageApplication(Application):
    """The page with all that it asks for, below ``/mirar``.

    Parameters
    ----------
    live : callable, optional
        Tells of the workers as a scheduler knows them.
    hosts : set of str, optional
        Names of this host that a browser may use; any by default.
    """

    def __init__(self, *, live: Live | None = None, hosts: set[str] | None = None) -> None:
        self.runs = PageRuns()
        kinds = "changes|pictures|picture|cell|task|failure|frame"
        before = r"(?:/[^?]*)?/mirar"  # a proxy, or Dask's own setting, may put something before it
        settings: dict[str, Any] = {"runs": self.runs, "compress_response": True, "hosts": hosts}
        if live is not None:
            settings["live"] = live
        super().__init__(
            [
                (before, ToPageHandler),
                (f"{before}/", PageHandler),
                (f"{before}/static/([a-z.]+)", AssetHandler),
                (f"{before}/api/runs", RunsHandler),
                (f"{before}/api/runs/([^/]+)/({kinds})", RunHandler),
            ],
            **settings,
        )

    def log_request(self, handler: RequestHandler) -> None:
        """Log nothing: a page asks every second."""
