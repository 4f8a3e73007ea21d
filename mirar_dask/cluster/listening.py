"""Where the scheduler of a cluster that spans hosts listens: never on all interfaces."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mirar_dask.cluster.spec import ClusterSpec
from mirar_dask.errors import UsageError

if TYPE_CHECKING:
    from distributed.security import Security

logger = logging.getLogger(__name__)


def scheduler_options(spec: ClusterSpec, security: Security | None) -> dict[str, Any]:
    """Return the options of a scheduler that workers of other hosts reach.

    It listens on the interface that was named, else on the one that leads to other hosts; its
    pages on this machine's loopback interface only.

    Raises
    ------
    UsageError
        If there is no such interface.
    """
    from distributed.utils import get_ip, get_ip_interface

    if security is None:
        logger.warning(
            "connections are not encrypted (--no-tls): whoever reaches this host's port can run "
            "code as you; leave --no-tls out unless all who can are trusted"
        )
    options: dict[str, Any] = {
        "dashboard_address": f"127.0.0.1:{spec.dashboard_port or 0}",
        "dashboard": False,
        "port": 0,
        "protocol": "tls://" if security else "tcp://",
        "security": security,
    }
    if spec.interface is None:
        return options | {"host": get_ip()}
    try:
        get_ip_interface(spec.interface)
    except ValueError as error:
        names = str(error).partition("interfaces are: ")[2].strip("[]")
        raise UsageError(
            f"--interface {spec.interface}: this host has no such interface, or it has no "
            f"address; there are {names or 'others'}"
        ) from error
    return options | {"interface": spec.interface}
