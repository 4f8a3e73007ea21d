"""Why worker processes died: what their nannies saw, brought to the driver.

`DeathWatch` runs in every nanny of a run's cluster and tells of each end of a worker process, with
the memory that it took last; the driver asks `Deaths`. What follows is not decided here.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from distributed import Client, NannyPlugin
from tornado.ioloop import PeriodicCallback

LOOK_SECONDS = 0.1
"""How often a nanny looks at the memory of its worker; a worker that grows fast dies between."""
WORD_SECONDS = 2.0
"""How long the driver waits for word of a nanny; one whose host is gone never sends any."""
NEARLY = 0.9
"""Part of its limit beyond which a worker that was killed is taken for one that grew too large."""


@dataclass(frozen=True, slots=True)
class Death:
    """How a worker ended, as far as it can be known."""

    worker: str
    """Its address."""
    host: str = ""
    name: str = ""
    exit_code: int | None = None
    """Negative for a signal; None where nobody saw the end."""
    memory: int = 0
    """Bytes that it took when it was last seen; 0 if nobody knows."""
    limit: int = 0
    """Bytes that it may take; 0 where there is no limit."""
    too_large: bool = False
    """Its nanny ended it because it took too much memory."""
    kernel: bool = False
    """The kernel had killed a process for lack of memory meanwhile."""
    said: str = ""
    """What is known where no worker died, in place of all else."""

    @property
    def out_of_memory(self) -> bool:
        """Whether it died because it took too much memory."""
        if self.too_large or self.kernel:
            return True
        killed = self.exit_code in (-signal.SIGKILL, -signal.SIGTERM)
        return killed and 0 < NEARLY * self.limit <= self.memory

    def __str__(self) -> str:
        if self.said:
            return self.said
        return ", ".join(filter(None, (f"{self._how}{self._size}", self._where)))

    @property
    def _how(self) -> str:
        if self.too_large:
            return "ended by Dask because its memory was full"
        if self.kernel:
            return "killed by the kernel because memory ran out"
        if self.exit_code is None:
            return "its connection ended and nobody saw how (host down, cut off or frozen?)"
        if self.exit_code < 0:
            return f"killed by signal {-self.exit_code} ({_name_of(-self.exit_code)})"
        return f"its process ended with exit code {self.exit_code}"

    @property
    def _size(self) -> str:
        if not self.memory:
            return ""
        of = f" of {self.limit / 1e9:.2f}" if self.limit else ""
        return f" at {self.memory / 1e9:.2f}{of} GB"

    @property
    def _where(self) -> str:
        return f"on host {self.host}" if self.host else ""


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


class DeathWatch(NannyPlugin):
    """Tells the scheduler how each worker process of a nanny ended.

    Parameters
    ----------
    topic : str
        Under which it is told.
    """

    restart = False

    def __init__(self, topic: str) -> None:
        self.name = f"mirar_dask-{topic}"
        self.topic = topic

    def setup(self, nanny: Any) -> None:
        """Watch the worker process that is there, and those that follow it."""
        self.nanny = nanny
        self.usual = nanny.memory_manager.memory_limit
        self.seen: tuple[str, int] = ("", 0)
        self.kills, self.ended_by_nanny = kernel_kills(), -1
        _hook(nanny).append(self)
        self.timer = PeriodicCallback(self._look, LOOK_SECONDS * 1000)
        self.timer.start()

    def teardown(self, nanny: Any) -> None:
        """Leave the nanny as it was."""
        self.timer.stop()
        nanny.memory_manager.memory_limit = self.usual
        _hook(nanny).remove(self)

    def _look(self) -> None:
        process = self.nanny.process
        if process is None or process.pid is None or not process.worker_address:
            return
        with suppress(psutil.Error):
            if nbytes := psutil.Process(process.pid).memory_info().rss:  # none once it is dead
                self.seen = process.worker_address, nbytes

    def tell(self, exit_code: int) -> None:
        """Say how the worker process ended; called before its nanny starts another."""
        nanny, manager = self.nanny, self.nanny.memory_manager
        kills, pid = kernel_kills(), getattr(manager, "_last_terminated_pid", -1)
        address, memory = self.seen
        word = {
            "worker": getattr(nanny.process, "worker_address", None) or address,
            "host": socket.gethostname(),
            "name": str(nanny.name),
            "exit_code": exit_code,
            "memory": memory,
            "limit": manager.memory_limit or 0,
            "too_large": pid not in (-1, self.ended_by_nanny),
            "kernel": kills > self.kills and exit_code == -signal.SIGKILL,
        }
        self.kills, self.ended_by_nanny = kills, pid
        manager.memory_limit = self.usual  # of the next one, if this one's was raised
        nanny.log_event(self.topic, word)


def _hook(nanny: Any) -> list[DeathWatch]:
    """Have a nanny tell those in a list of each end of its worker process, and return the list.

    Several runs may watch one nanny, and they end in any order.
    """
    known: list[DeathWatch] | None = getattr(nanny, "_mirar_dask_watches", None)
    if known is not None:
        return known
    watches: list[DeathWatch] = []
    before = nanny._on_worker_exit_sync

    def ended(exit_code: int) -> None:
        for watch in watches:
            watch.tell(exit_code)
        before(exit_code)

    nanny._mirar_dask_watches, nanny._on_worker_exit_sync = watches, ended
    if nanny.process is not None:
        nanny.process.on_exit = ended
    return watches


def kernel_kills(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many processes of our control group the kernel killed for lack of memory."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                file = root / path.lstrip("/") / "memory.events"
            elif "memory" in controllers.split(","):
                file = root / "memory" / path.lstrip("/") / "memory.oom_control"
            else:
                continue
            if file.is_file():
                counts = dict(row.split() for row in file.read_text().splitlines())
                return int(counts.get("oom_kill", 0))
    return 0


class Deaths:
    """What is known of the workers that died in a run; a context manager.

    Parameters
    ----------
    client : distributed.Client
        Connected to the cluster.
    run : str
        Name of the run, unique among all that the cluster sees.
    last_seen : callable
        Gives what the scheduler knew last of a worker: host, name, memory, limit.
    """

    def __init__(
        self, client: Client, run: str, last_seen: Callable[[str], Mapping[str, Any]]
    ) -> None:
        self.client, self.topic = client, f"deaths-{run}"
        self._last_seen = last_seen
        self._told: dict[str, Death] = {}

    def __enter__(self) -> Deaths:
        from mirar_dask.engine.plugin import register

        self.client.subscribe_topic(self.topic, self._receive)
        register(self.client, DeathWatch(self.topic))
        return self

    def __exit__(self, *_: object) -> None:
        if self.client.status == "running":
            self.client.unsubscribe_topic(self.topic)
            with suppress(Exception):  # the cluster may be what failed
                self.client.unregister_worker_plugin(f"mirar_dask-{self.topic}", nanny=True)

    def _receive(self, event: tuple[float, Any]) -> None:
        word = dict(event[1])
        self._told[word["worker"]] = Death(**word)

    def of(self, workers: Collection[str]) -> dict[str, Death]:
        """Say how workers ended, by their addresses; waits a moment for word of their nannies."""
        end = time.monotonic() + WORD_SECONDS
        wanted = {worker for worker in workers if worker}
        while not wanted <= self._told.keys() and time.monotonic() < end:
            if self.client.status != "running":
                break
            time.sleep(0.02)
        for worker in wanted - self._told.keys():
            known = self._last_seen(worker)
            self._told[worker] = Death(worker, **known)
        return {worker: self._told[worker] for worker in wanted}
