"""Hosts in network namespaces, joined by a bridge that nothing else uses."""

from __future__ import annotations

import os
import shutil
import subprocess

from mirar_dask.testing.chaos.stage import Stage


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True, text=True)


class Network:
    """The hosts of one stage: its driver's, with the scheduler, and one for each node.

    Parameters
    ----------
    stage : Stage
        Its processes are started on these hosts from now on.
    """

    address = "10.77.9.1"
    """Of the driver's host."""

    def __init__(self, stage: Stage) -> None:
        tag = stage.mark[:6]
        self.switch = f"mc-{tag}-s"
        self.hosts = {role: f"mc-{tag}-{n}" for n, role in enumerate(("driver", "node1", "node2"))}
        for name in (self.switch, *self.hosts.values()):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", self.switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", self.switch, "link", "set", "br0", "up")
        for number, (role, name) in enumerate(self.hosts.items(), start=1):
            peer = ["type", "veth", "peer", "name", "eth0", "netns", name]
            _ip("-n", self.switch, "link", "add", f"v{role}", *peer)
            _ip("-n", self.switch, "link", "set", f"v{role}", "master", "br0", "up")
            _ip("-n", name, "addr", "add", f"10.77.9.{number}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            stage.prefix[role] = ["ip", "netns", "exec", name]
        stage.prefix["scheduler"] = stage.prefix["driver"]

    def plug(self, role: str, state: str) -> None:
        """Pull the plug of a host, or put it in again."""
        _ip("-n", self.switch, "link", "set", f"v{role}", state)

    def remove(self) -> None:
        """Take the hosts away, once nothing runs on them."""
        for name in (*self.hosts.values(), self.switch):
            _ip("netns", "del", name, check=False)

    @staticmethod
    def impossible() -> str | None:
        """Say why there can be no such hosts here; None if there can."""
        if os.geteuid() != 0 or shutil.which("ip") is None:
            return "network namespaces need root and iproute2"
        name = f"mc-try-{os.getpid()}"
        if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
            return "network namespaces cannot be made here"
        _ip("netns", "del", name)
        return None
