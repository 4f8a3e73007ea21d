"""A scheduler that is running already: reached by its address or its scheduler file."""

from __future__ import annotations

import asyncio
import json
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dask
from distributed import Client
from distributed.comm import connect
from distributed.security import Security

from mirar_dask.cluster.certificates import check_certificates, security_at
from mirar_dask.cluster.environment import FAR_SETTINGS
from mirar_dask.cluster.sighting import own_versions
from mirar_dask.cluster.spec import ClusterSpec
from mirar_dask.errors import ClusterError, UsageError

CONNECT_SECONDS = 10
"""How long to wait for a scheduler that is said to be there."""


def reach(spec: ClusterSpec, stack: ExitStack) -> Client:
    """Return a client of a running scheduler that has workers.

    Raises
    ------
    ClusterError
        If there is none at the given place, it refuses us, lacks this package, or has no workers.
    UsageError
        If the scheduler file or the certificates cannot be read.
    """
    address = _address_in(Path(spec.target)) if spec.kind == "file" else spec.target
    arguments: dict[str, Any] = {}
    if spec.certificates:
        arguments["security"] = security_at(check_certificates(spec.certificates))
    # Otherwise a scheduler whose host is cut off is missed after 46 seconds.
    stack.enter_context(dask.config.set(FAR_SETTINGS))
    try:
        knock(address, arguments.get("security"))
        client = stack.enter_context(Client(address, timeout=CONNECT_SECONDS, **arguments))
    except MemoryError as error:  # the beginning of its answer was taken for a size
        raise ClusterError(
            f"what answers at '{spec.target}' is no Dask scheduler; name the scheduler's own port "
            "(8786 as a rule), not that of its dashboard"
        ) from error
    except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
        raise ClusterError(_why_not(address, spec, error)) from error
    _check_package(client, spec)
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError as error:
        raise ClusterError(
            f"the scheduler at '{spec.target}' has no workers; start some with "
            f"'dask worker {client.scheduler.address}'"
        ) from error
    return client


def knock(address: str, security: Security | None) -> None:
    """Connect to a scheduler and hang up again, in a thread of its own.

    A client that fails to connect leaves threads behind that get into the way of the next one.

    Raises
    ------
    OSError, TimeoutError, ValueError, TypeError, RuntimeError
        If that cannot be done.
    """

    async def connect_once() -> None:
        arguments = (security or Security()).get_connection_args("client")
        comm = await connect(address, timeout=CONNECT_SECONDS, **arguments)
        await comm.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, connect_once()).result()


def _check_package(client: Client, spec: ClusterSpec) -> None:
    """Make sure that the scheduler has this package: it unpacks every task that it hands on."""
    try:
        client.run_on_scheduler(own_versions)
    except ImportError as error:
        raise ClusterError(
            f"the scheduler at '{spec.target}' cannot import mirar_dask ({error}); install it "
            "in the scheduler's environment, as in that of its workers"
        ) from error
    except OSError as error:  # it has gone since
        raise ClusterError(_why_not(spec.target, spec, error)) from error


def _address_in(path: Path) -> str:
    try:
        return str(json.loads(path.read_text())["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"--cluster {path}: it is no scheduler file ({type(error).__name__}); make one with "
            "'dask scheduler --scheduler-file'"
        ) from error


def _why_not(address: str, spec: ClusterSpec, error: BaseException) -> str:
    """Say in one sentence why a scheduler could not be reached, with the remedy."""
    reasons = list(_causes(error))
    if any(isinstance(reason, ssl.SSLError) for reason in reasons) or (
        address.startswith("tls://") and not spec.certificates
    ):
        if not spec.certificates:
            return (
                f"the scheduler at '{address}' wants a certificate; name the folder of its "
                "certificates with --certificates DIR"
            )
        return (
            f"the scheduler at '{address}' refuses the certificates in {spec.certificates}; take "
            "those that it was started with"
        )
    if spec.certificates and address.startswith("tcp://"):
        return f"'{address}' is not encrypted, but --certificates was given; use tls:// or leave \
it out"
    return (
        f"no scheduler answers at '{spec.target}' within {CONNECT_SECONDS} s; start one with "
        "'dask scheduler', or use --cluster local (one that speaks TLS is reached as tls://)"
    )


def _causes(error: BaseException | None) -> Any:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
