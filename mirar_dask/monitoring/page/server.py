"""A server of our own for the page, where no Dask scheduler is: `mirar-dask page` starts it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path

from mirar_dask.errors import UsageError

LOOPBACK = {"localhost", "127.0.0.1", "::1", "[::1]"}
"""Names by which a browser on this machine reaches a server that listens for it alone."""


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a server that listens on an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(
    *, out: Path | None, run: Path | None, host: str, port: int, ready: Callable[[int], None]
) -> None:
    """Serve the page until this process is interrupted.

    Parameters
    ----------
    out : Path, optional
        Output folder whose runs are shown.
    run : Path, optional
        Folder of a run that is shown.
    host : str
        Address to listen on.
    port : int
        Port; 0 takes a free one.
    ready : callable
        Told the port, once it listens.

    Raises
    ------
    UsageError
        If that address or port cannot be had.
    """
    asyncio.run(_serve(out, run, host, port, ready))


async def _serve(
    out: Path | None, run: Path | None, host: str, port: int, ready: Callable[[int], None]
) -> None:
    from tornado.httpserver import HTTPServer

    from mirar_dask.monitoring.page.handlers import PageApplication

    page = PageApplication(hosts=LOOPBACK if is_loopback(host) else None)
    page.runs.register(out, run)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(
            f"--host {host} --port {port}: nothing can be served there ({why}); choose others, "
            "--port 0 takes a free one"
        ) from error
    server = HTTPServer(page)
    listening.setblocking(False)
    server.add_socket(listening)
    try:
        ready(listening.getsockname()[1])
        await asyncio.Event().wait()
    finally:
        server.stop()
        await server.close_all_connections()
