"""Workers on hosts that are reached by SSH; the scheduler is in this process."""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Scheduler, SpecCluster
from distributed.deploy.ssh import Worker

from mirar_dask.cluster.certificates import NAMES, certificates_for, security_at
from mirar_dask.cluster.dashboard import offer_dashboard
from mirar_dask.cluster.environment import FAR_SETTINGS, PRELOAD, SETTINGS
from mirar_dask.cluster.layout import far_memory
from mirar_dask.cluster.listening import scheduler_options
from mirar_dask.cluster.options import check_options
from mirar_dask.cluster.spec import ClusterSpec
from mirar_dask.engine.plugin import MEMORY
from mirar_dask.errors import ClusterError

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
"""How long the hosts may take, all at once, to start their workers."""
REACH_SECONDS = 30.0
"""How long workers that were started may take to reach the scheduler."""
END_SECONDS = 10
"""How long to wait for workers to end."""


def processes(spec: ClusterSpec) -> list[int]:
    """Return how many worker processes each host gets: as evenly as can be.

    Examples
    --------
    >>> processes(ClusterSpec.parse("ssh:a,b,c", workers=4))
    [2, 1, 1]
    """
    number = len(spec.hosts)
    if spec.workers is None:
        return [spec.cores or 1] * number
    each, rest = divmod(spec.workers, number)
    return [each + (place < rest) for place in range(number)]


def start_ssh(spec: ClusterSpec, stack: ExitStack, *, dashboard: bool, folder: Path) -> Client:
    """Start workers on the hosts.

    Parameters
    ----------
    spec : ClusterSpec
        Of this kind; its options go to `asyncssh.connect`.
    stack : ExitStack
        Ends the workers when it is closed.
    dashboard : bool
        Offer the dashboard, on this machine's loopback interface.
    folder : Path
        The run's folder, which all hosts see.

    Raises
    ------
    ClusterError
        If a host cannot be reached, or its worker does not start.
    """
    try:
        import asyncssh
    except ImportError as error:
        raise ClusterError(
            "--cluster ssh needs asyncssh; install it: pip install 'mirar-dask[ssh]'"
        ) from error
    check_options(
        spec, [asyncssh.SSHClientConnectionOptions.prepare, asyncssh.connect], ours=["host"]
    )
    settings: dict[str, Any] = {**SETTINGS, **FAR_SETTINGS}
    security = None
    if spec.encrypted:
        tls = certificates_for(spec.certificates, folder, stack)
        security = security_at(tls)
        settings |= _tls_settings(tls)
    # Dask hands all of its configuration to workers that it starts by SSH.
    stack.enter_context(dask.config.set(settings))
    cluster = SpecCluster(
        {},
        {"cls": Scheduler, "options": scheduler_options(spec, security)},
        security=security,
        silence_logs=logging.ERROR,
        name="mirar",
    )
    stack.callback(_close, cluster)
    if dashboard:
        offer_dashboard(cluster.scheduler)
    client = stack.enter_context(Client(cluster))
    cluster.worker_spec.update(_workers(spec))
    _start_workers(cluster, spec)
    _wait_for_all(client, spec)
    return client


def _wait_for_all(client: Client, spec: ClusterSpec) -> None:
    """Wait until all workers have reached the scheduler, or say which hosts they are not on."""
    wanted = sum(processes(spec))
    try:
        client.wait_for_workers(wanted, timeout=REACH_SECONDS)
    except TimeoutError as error:
        names = {str(w["name"]) for w in client.scheduler_info(n_workers=-1)["workers"].values()}
        absent = [name for name in _workers(spec) if name not in names]
        hosts = ", ".join(dict.fromkeys(name.rpartition("-")[0] for name in absent))
        raise ClusterError(
            f"--cluster ssh: {len(absent)} of {wanted} workers were started but did not reach the "
            f"scheduler at {client.scheduler.address} within {REACH_SECONDS:.0f} s ({hosts}); "
            "name the network that the hosts share with --interface, and see that no firewall is "
            "between them"
        ) from error


def _workers(spec: ClusterSpec) -> dict[str, Any]:
    memory, _ = far_memory(spec.memory, spec.need)
    kwargs: dict[str, Any] = {
        "nthreads": 1,
        "memory_limit": memory,
        "resources": {MEMORY: memory},
        "preload": [PRELOAD],
        "dashboard": False,
        "dashboard_address": "127.0.0.1:0",
        "interface": spec.interface,
        "local_directory": spec.local_directory,
    }
    found: dict[str, Any] = {}
    for host, number in zip(spec.hosts, processes(spec), strict=True):
        for _ in range(number):
            found[f"{host}-{len(found)}"] = {
                "cls": _HostWorker,
                "options": {
                    "address": host,
                    "connect_options": {k: _plain(v) for k, v in spec.options},
                    "kwargs": {k: v for k, v in kwargs.items() if v is not None},
                    "remote_python": spec.python,
                },
            }
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


class _HostWorker(Worker):
    """A worker on a host, whose failure to start says which host, and why."""

    async def start(self) -> None:
        try:
            await asyncio.wait_for(super().start(), START_SECONDS)
        except Exception as error:
            said = ""
            if self.proc is not None:
                with suppress(Exception):
                    said = await asyncio.wait_for(self.proc.stderr.read(), 1)
            raise ClusterError(_why_not(self.address, error, str(said))) from error

    async def close(self) -> None:
        # sshd passes no signal on: a worker ends because its scheduler said so, or has gone.
        with suppress(Exception):
            if self.proc is not None:
                await asyncio.wait_for(self.proc.wait(), END_SECONDS / 2)
        with suppress(Exception):
            await super().close()


def _why_not(host: str, error: Exception, said: str) -> str:
    """Say in one sentence why a host gave no worker, with the remedy."""
    name = type(error).__name__
    reason = " ".join(str(error).split()) or name
    last = [line.strip() for line in said.splitlines() if line.strip()][-1:]
    if name == "PermissionDenied":
        remedy = "load a key (ssh-add), or name one: --cluster-option client_keys=FILE"
    elif name in ("HostKeyNotVerifiable", "KeyExchangeFailed"):
        remedy = "add the host to your known_hosts: ssh to it once"
    elif isinstance(error, OSError | TimeoutError):
        remedy = "check the host's name, that its sshd runs, and --cluster-option port=N"
    else:
        reason = last[0] if last else reason
        remedy = "check --python and --interface there"
    return f"--cluster ssh: no worker on {host} ({reason}); {remedy}"


def _start_workers(cluster: SpecCluster, spec: ClusterSpec) -> None:
    async def started() -> None:
        await cluster

    cluster.sync(started)


def _tls_settings(tls: Path) -> dict[str, Any]:
    ca, certificate, key = (str(tls / name) for name in NAMES)
    found: dict[str, Any] = {
        "distributed.comm.require-encryption": True,
        "distributed.comm.tls.ca-file": ca,
    }
    for role in ("client", "scheduler", "worker"):
        found[f"distributed.comm.tls.{role}.cert"] = certificate
        found[f"distributed.comm.tls.{role}.key"] = key
    return found


def _close(cluster: SpecCluster) -> None:
    """End the workers by their scheduler; SSH itself would leave them for a minute."""

    async def end() -> None:
        await cluster.scheduler.retire_workers(
            workers=list(cluster.scheduler.workers), close_workers=True, remove=True
        )

    with suppress(Exception):
        cluster.sync(end)
    try:
        cluster.close(timeout=END_SECONDS)
    except TimeoutError:
        cluster.shutdown_on_close = False
        logger.warning(
            "the hosts did not answer within %s s; their workers end by themselves", END_SECONDS
        )
