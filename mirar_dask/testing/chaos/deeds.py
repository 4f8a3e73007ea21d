"""What the words of the language of faults do to a stage, and what that needs of the machine.

Each deed may need preparations before the night begins, strikes at its moment, and can be undone.
All are real: signals, volumes, file systems, networks, clocks.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from mirar_dask.testing.chaos import faulty_files
from mirar_dask.testing.chaos.network import Network
from mirar_dask.testing.chaos.stage import Stage

FILLER = "filler"
"""Name of a file that takes all room of a volume."""


class Deed:
    """Something that is done to a stage; the base does nothing."""

    resumes_alone = False
    """The run may stop in good order, to be resumed when the fault is over."""
    kills_driver = False
    """The driver ends by it, without a chance to tidy up."""
    keeps_files = False
    """Nothing can be removed as long as it lasts."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    @classmethod
    def impossible(cls) -> str | None:
        """Say why this cannot be done here; None if it can."""
        return None

    def prepare(self, stage: Stage) -> None:
        """Get ready, before the driver is started."""

    def strike(self, stage: Stage) -> None:
        """Do it."""

    def undo(self, stage: Stage) -> None:
        """Have things be as they were."""


class _OfWorker(Deed):
    signal_number: int = 0
    struck: psutil.Process | None = None

    def strike(self, stage: Stage) -> None:
        if workers := stage.workers():
            self.struck = self.chance.choice(workers)
            with suppress(psutil.Error):
                self.struck.send_signal(self.signal_number)


class WorkerKill(_OfWorker):
    """Kills a worker process; its nanny starts another."""

    signal_number = signal.SIGKILL


class WorkerStop(_OfWorker):
    """Freezes a worker process, as a machine does that swaps."""

    signal_number = signal.SIGSTOP

    def undo(self, stage: Stage) -> None:
        if self.struck is not None:
            with suppress(psutil.Error):
                self.struck.send_signal(signal.SIGCONT)


class DriverKill(Deed):
    """Kills the driver."""

    kills_driver = resumes_alone = True

    def strike(self, stage: Stage) -> None:
        if stage.driver is not None:
            stage.driver.kill()


class DriverInterrupt(Deed):
    """Ends the driver as Ctrl-C or a shutdown does."""

    resumes_alone = True

    def strike(self, stage: Stage) -> None:
        if stage.driver is not None:
            stage.driver.send_signal(self.chance.choice([signal.SIGINT, signal.SIGTERM]))


class ClockJump(Deed):
    """Sets the clock of the driver and its workers forward or back, by hours; it runs on then."""

    @classmethod
    def impossible(cls) -> str | None:
        return None if _libfaketime() else "libfaketime is not installed"

    def prepare(self, stage: Stage) -> None:
        self.file = stage.folder / "clock"
        self.file.write_text("+0\n")
        stage.environment |= {
            "LD_PRELOAD": str(_libfaketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",  # else the file is read each time that somebody asks
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def strike(self, stage: Stage) -> None:
        offset = self.chance.choice([-86400, -3600, -300, 300, 3600, 86400])
        self.file.write_text(f"{offset:+d}\n")


def _libfaketime() -> Path | None:
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


class RawError(Deed):
    """Has the file system fail with EIO when some of the frames are read."""

    @classmethod
    def impossible(cls) -> str | None:
        return faulty_files.impossible()

    def prepare(self, stage: Stage) -> None:
        self.files = faulty_files.FaultyFiles(stage, stage.raw)
        stage.raw = self.files.mounted
        names = sorted(path.name for path in stage.raw.glob("*.fits"))
        self.names = self.chance.sample(names, k=self.chance.randint(1, 3))

    def strike(self, stage: Stage) -> None:
        self.files.rules([["read", name, "EIO"] for name in self.names])

    def undo(self, stage: Stage) -> None:
        self.files.rules([])


class _OfVolume(Deed):
    resumes_alone = True

    @classmethod
    def impossible(cls) -> str | None:
        return None if os.geteuid() == 0 and shutil.which("mount") else "volumes need root"


def _fill(folder: Path, left: int) -> None:
    """Leave so many bytes of room in a volume."""
    room = os.statvfs(folder)
    size = max(0, room.f_bavail * room.f_frsize - left)
    with (folder / FILLER).open("wb") as file, suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, max(1, size))


class CacheFull(_OfVolume):
    """Fills the volume of the cache."""

    def prepare(self, stage: Stage) -> None:
        stage.mount_small(stage.cache)
        stage.small_cache = True

    def strike(self, stage: Stage) -> None:
        _fill(stage.cache, self.chance.choice([0, 100_000, 1_000_000]))

    def undo(self, stage: Stage) -> None:
        (stage.cache / FILLER).unlink(missing_ok=True)


class CacheGone(_OfVolume):
    """Removes the cache of the run while it is used."""

    @classmethod
    def impossible(cls) -> str | None:
        return None

    def prepare(self, stage: Stage) -> None:
        stage.small_cache = True

    def strike(self, stage: Stage) -> None:
        for folder in stage.cache.iterdir():
            shutil.rmtree(folder, ignore_errors=True)


class OutputFull(_OfVolume):
    """Fills the volume of the products."""

    def prepare(self, stage: Stage) -> None:
        stage.mount_small(stage.out)

    def strike(self, stage: Stage) -> None:
        _fill(stage.out, self.chance.choice([0, 40_000, 400_000]))

    def undo(self, stage: Stage) -> None:
        (stage.out / FILLER).unlink(missing_ok=True)


class OutputClosed(_OfVolume):
    """Takes the permission to write from the folders of the products."""

    keeps_files = True

    @classmethod
    def impossible(cls) -> str | None:
        return None if shutil.which("chattr") and os.geteuid() == 0 else "chattr needs root"

    def prepare(self, stage: Stage) -> None:
        stage.night.mkdir(parents=True, exist_ok=True)
        test = stage.folder / "immutable"
        test.mkdir()
        done = subprocess.run(["chattr", "+i", test], capture_output=True)
        self.by_mount = done.returncode != 0
        subprocess.run(["chattr", "-i", test], capture_output=True, check=False)
        test.rmdir()
        if self.by_mount:
            stage.mount_small(stage.out)
            stage.night.mkdir(parents=True, exist_ok=True)
        self.closed: list[Path] = []

    def strike(self, stage: Stage) -> None:
        self.closed = [p for p in stage.night.iterdir() if p.is_dir() and p.name != "runs"]
        self.closed.append(stage.night)
        for folder in self.closed:
            subprocess.run(["chattr", "+i", folder], capture_output=True, check=False)

    def undo(self, stage: Stage) -> None:
        for folder in self.closed:
            subprocess.run(["chattr", "-i", folder], capture_output=True, check=False)
        self.closed = []


class _OfCluster(Deed):
    """Needs a scheduler and workers that do not belong to the driver."""

    resumes_alone = True

    def prepare(self, stage: Stage) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        start_cluster(stage, "127.0.0.1", port)


def start_cluster(stage: Stage, host: str, port: int, interface: str | None = None) -> None:
    """Start a scheduler and two nodes, as somebody does by hand."""
    from mirar_dask.cluster.environment import FAR_SETTINGS, variables

    stage.environment |= variables(FAR_SETTINGS)
    stage.environment["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = "0"
    stage.cluster = f"tcp://{host}:{port}"
    module = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard"]
    command = [*module, "--host", host, "--port", str(port)]
    stage.others["scheduler"] = stage.launch("scheduler", command)
    for role in ("node1", "node2"):
        command = [sys.executable, "-m", "distributed.cli.dask_worker", stage.cluster]
        command += ["--nthreads", "1", "--no-dashboard", "--memory-limit", "1GB"]
        command += ["--resources", "MEMORY=1000000000", "--death-timeout", "20"]
        command += ["--local-directory", str(stage.tmp)]
        command += ["--interface", interface] if interface else []
        stage.others[role] = stage.launch(role, command)


class SchedulerKill(_OfCluster):
    """Kills the scheduler."""

    def strike(self, stage: Stage) -> None:
        stage.others["scheduler"].kill()

    def undo(self, stage: Stage) -> None:
        stage.close_others()
        stage.cluster = "local"


class NodeKill(_OfCluster):
    """Kills a worker with its nanny, as when a host goes down."""

    resumes_alone = False

    def strike(self, stage: Stage) -> None:
        nanny = psutil.Process(stage.others[self.chance.choice(["node1", "node2"])].pid)
        with suppress(psutil.Error):
            for process in [nanny, *nanny.children(recursive=True)]:
                process.kill()


class HostCut(Deed):
    """Pulls the plug of a host."""

    @classmethod
    def impossible(cls) -> str | None:
        return Network.impossible()

    def prepare(self, stage: Stage) -> None:
        self.network = Network(stage)
        start_cluster(stage, self.network.address, 8786, "eth0")

    def strike(self, stage: Stage) -> None:
        self.cut = self.chance.choice(["node1", "node2"])
        self.network.plug(self.cut, "down")

    def undo(self, stage: Stage) -> None:
        if getattr(self, "cut", None) is not None:
            self.network.plug(self.cut, "up")


DEEDS: dict[str, Callable[[random.Random], Deed] | type[Deed]] = {
    "worker.kill": WorkerKill,
    "worker.stop": WorkerStop,
    "driver.kill": DriverKill,
    "driver.interrupt": DriverInterrupt,
    "clock.jump": ClockJump,
    "raw.error": RawError,
    "cache.full": CacheFull,
    "cache.gone": CacheGone,
    "output.full": OutputFull,
    "output.closed": OutputClosed,
    "scheduler.kill": SchedulerKill,
    "node.kill": NodeKill,
    "host.cut": HostCut,
}
"""What can be done, by the words of the language."""


def wait_until(what: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is so; False if it never is."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
