"""A server with the page, and run folders for it to show."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.monitoring.page.handlers import PageApplication
from mirar_dask.testing.journals import JournalOfNight


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Site:
    """A server that serves the page."""

    address: str
    page: PageApplication

    def get(self, path: str, **headers: str) -> Answer:
        try:
            with urlopen(Request(f"{self.address}{path}", headers=headers)) as answer:
                return Answer(answer.status, answer.read(), dict(answer.headers))
        except HTTPError as error:
            return Answer(error.code, error.read(), dict(error.headers))

    def ask(self, run: str, question: str) -> Answer:
        return self.get(f"/mirar/api/runs/{quote(run, safe='')}/{question}")


@contextmanager
def serving(page: PageApplication) -> Iterator[Site]:
    """Serve a page from a thread of its own."""
    from tornado.httpserver import HTTPServer
    from tornado.netutil import bind_sockets

    sockets = bind_sockets(0, "127.0.0.1")
    begun, over = threading.Event(), threading.Event()

    async def serve() -> None:
        server = HTTPServer(page)
        server.add_sockets(sockets)
        begun.set()
        while not over.is_set():
            await asyncio.sleep(0.02)
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    begun.wait()
    try:
        yield Site(f"http://127.0.0.1:{sockets[0].getsockname()[1]}", page)
    finally:
        over.set()
        thread.join()


@pytest.fixture
def serve() -> Callable[[PageApplication], Any]:
    """Return a context manager that serves a page."""
    return serving


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Output folder with one small run that has ended, and its products."""
    out = tmp_path / "out"
    night = out / "imager" / "20260101"
    folder = JournalOfNight(frames=40, batches=4, workers=4, bad=0.1).write(night)
    products = ["calibration/bias_1x1.fits", "reduced/F0000_r_00000.fits", "stacks/F0000.fits"]
    for name in products:
        path = night / name
        path.parent.mkdir(exist_ok=True)
        data = np.random.default_rng(1).normal(100, 5, (60, 80)).astype(np.float32)
        fits.writeto(path, data)
    summary = json.loads((folder / "summary.json").read_text())
    summary["products"] = [str(night / name) for name in products]
    (folder / "summary.json").write_text(json.dumps(summary))
    return out


@pytest.fixture
def site(out: Path) -> Iterator[Site]:
    """Serve the page of that folder."""
    page = PageApplication()
    page.runs.register(out)
    with serving(page) as site:
        yield site
