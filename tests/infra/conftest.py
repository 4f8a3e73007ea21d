"""Real queue systems, hosts and networks, started for a test on this machine and stopped again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

import mirar_dask
from mirar_dask.engine.events import TaskFinished
from mirar_dask.run import reduce_night
from mirar_dask.testing import simulate_night
from mirar_dask.testing.engine_contract import VARYING

PIPELINE = '''
"""A reduction that takes its time, so that something can happen meanwhile."""

import os
import time

from mirar_dask.pipelines.base_pipeline import Pipeline
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.image_saver import ImageSaver
from mirar_dask.testing.engine_contract import reduction


class Dawdles(BaseImageProcessor):
    """Takes a while for each image."""

    base_key = "dawdles"

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def apply_to_image(self, image, context=None):
        if "IN_HASTE" not in os.environ:
            time.sleep(self.seconds)
        return image


class SlowNight(Pipeline):
    """Reduces with pauses."""

    name = "slow_night"
    all_pipeline_configurations = {
        "default": [*reduction()[:-1], Dawdles(0.4), ImageSaver("reduced")],
        "slow": [*reduction()[:-1], Dawdles(3.0), ImageSaver("reduced")],
    }
'''


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the name of a pipeline whose steps take their time."""
    path = tmp_path_factory.mktemp("pipeline") / "slow_night.py"
    path.write_text(PIPELINE)
    return f"{path}:SlowNight"


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the raw folder of a night of 36 frames, 24 of them science."""
    folder = tmp_path_factory.mktemp("night") / "n1"
    simulate_night(folder, size=(48, 64), n_bias=4, n_dark=4, n_flat=2, n_science=12, seed=7)
    return folder


@pytest.fixture(scope="session")
def oracle(raw: Path, pipeline: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return what the serial engine makes of the night, by configuration."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IN_HASTE", "1")
        for name in ("default", "slow"):
            out = tmp_path_factory.mktemp(name)
            summary = reduce_night(pipeline, raw=raw, out=out, cluster="serial", configuration=name)
            assert summary.exit_code == 0
            found[name] = summary.output
    return found


def products(folder: Path) -> dict[str, tuple[str, bytes, list[Any]]]:
    """Return type, bytes and header of each product, without what may differ between runs."""
    found = {}
    for path in sorted(folder.rglob("*.fits")):
        with fits.open(path) as hdus:
            data = np.asarray(hdus[0].data)
            cards = [
                (card.keyword, str(card.value).replace(str(folder), ""), card.comment)
                for card in hdus[0].header.cards
                if card.keyword not in VARYING
            ]
            found[str(path.relative_to(folder))] = (str(data.dtype), data.tobytes(), cards)
    return found


def assert_same_products(found: Path, wanted: Path) -> None:
    """Compare two nights' products: names, pixels to the last bit, headers."""
    ours, theirs = products(found), products(wanted)
    assert ours.keys() == theirs.keys()
    for name, (kind, data, cards) in ours.items():
        assert [c for c in cards if c not in theirs[name][2]] == [], name
        assert cards == theirs[name][2], name
        assert (kind, data) == theirs[name][:2], name


@dataclass(frozen=True)
class Night:
    """A night that was reduced."""

    summary: Any
    workers: frozenset[str]
    """Addresses of the workers that did tasks of it."""


Reduce = Callable[..., Night]


@pytest.fixture
def same_products() -> Callable[[Path, Path], None]:
    """Return the function that compares two nights."""
    return assert_same_products


@pytest.fixture
def reduce(raw: Path, pipeline: str, oracle: dict[str, Path], tmp_path: Path) -> Reduce:
    """Return a function that reduces the night somewhere, and compares with the serial engine.

    ``after`` is called, in a thread of its own, when the first tasks have come back.
    """

    def run(after: Callable[[], None] | None = None, tasks: int = 3, **options: Any) -> Night:
        seen: list[TaskFinished] = []
        threads: list[threading.Thread] = []

        def listen(event: Any) -> None:
            if isinstance(event, TaskFinished):
                seen.append(event)
                if after is not None and len(seen) == tasks:
                    threads.append(threading.Thread(target=after))
                    threads[0].start()

        summary = reduce_night(
            pipeline, raw=raw, out=tmp_path / "out", listeners=[listen], **options
        )
        for thread in threads:
            thread.join()
        assert bool(threads) == (after is not None), "the night was over before anything happened"
        assert summary.exit_code == 0, summary.records
        assert_same_products(summary.output, oracle[options.get("configuration", "default")])
        assert not list(summary.output.rglob("*.npy"))
        assert not list(summary.output.rglob(".probe-*"))
        assert not list(summary.output.rglob("*.pem"))
        return Night(summary, frozenset(event.worker for event in seen))

    return run


@pytest.fixture
def what_is_set() -> Callable[[], tuple[set[str], bool]]:
    """Return a function for workers: threads of numeric libraries, and whether they are warm."""

    def look() -> tuple[set[str], bool]:
        import os
        import sys

        names = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA")
        found = {os.environ.get(f"{name}_NUM_THREADS", "not set") for name in names}
        return found, "mirar_dask.processors.combine" in sys.modules

    return look


def needs(*programs: str) -> None:
    """Skip a test that needs programs which are not installed, or root."""
    missing = [name for name in programs if shutil.which(name, path=PATH) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed; .ci/ has a script for each")
    if os.geteuid() != 0:
        pytest.skip("root alone can start these daemons as they are configured here")


@pytest.fixture
def needed() -> Callable[..., None]:
    """Return the function that skips a test whose programs are not installed."""
    return needs


PACKAGE = Path(mirar_dask.__file__).parents[1]
"""What the workers import, whatever is installed."""
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def free_ports(number: int) -> list[int]:
    """Return ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def wait_until(what: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.1)


def stop(pid_file: Path, number: int = signal.SIGTERM) -> None:
    """End a daemon that wrote its process id."""
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, number)
    except (OSError, ValueError):
        return
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


CONFIGURATION = """
ClusterName=loop
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=2
KillWait=5
SlurmdTimeout=30
ReturnToService=2
MpiDefault=none
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP LLN=YES
PartitionName=brief Nodes=ALL MaxTime=5 State=UP
"""


@dataclass
class Slurm:
    """SLURM with two nodes of two cores each, all of it on the loopback interface."""

    folder: Path
    nodes: tuple[str, ...] = ("n1", "n2")
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start munged, slurmctld and a slurmd for each node."""
        host = socket.gethostname().partition(".")[0]
        control, *ports = free_ports(1 + len(self.nodes))
        lines = [
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 "
            "RealMemory=3000 State=UNKNOWN"
            for name, port in zip(self.nodes, ports, strict=True)
        ]
        self.conf.write_text(
            CONFIGURATION.format(
                host=host, port=control, folder=self.folder, nodes="\n".join(lines)
            )
        )
        self.environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(self.conf)}
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        names = ("socket", "key", "pid", "seed", "log")
        files = [
            f"--{name if name == 'socket' else f'{name}-file'}={self.folder / f'munge.{name}'}"
            for name in names
        ]
        self.call("munged", "--force", *files)
        (self.folder / "state").mkdir()
        self.control()
        for name in self.nodes:
            (self.folder / f"spool-{name}").mkdir()
            self.call("slurmd", "-f", self.conf, "-N", name)
        wait_until(lambda: self.call("sinfo", "-hN", "-p", "main", "-o%T").count("idle") == 2)

    @property
    def conf(self) -> Path:
        """Its configuration."""
        return self.folder / "slurm.conf"

    def control(self) -> None:
        """Start slurmctld."""
        self.call("slurmctld", "-f", self.conf)

    def call(self, *words: object) -> str:
        """Run one of its programs and return what it prints."""
        done = subprocess.run(
            [str(word) for word in words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def jobs(self, state: str = "") -> list[str]:
        """Return the ids of jobs that have not ended, oldest first."""
        wanted = ["-t", state] if state else []
        return sorted(self.call("squeue", "-ho%i", *wanted).split(), key=int)

    def stop(self) -> None:
        """End all that `start` started."""
        for name in self.nodes:
            stop(self.folder / f"slurmd.{name}.pid")
        stop(self.folder / "slurmctld.pid")
        stop(self.folder / "munge.pid")


@pytest.fixture(scope="session")
def slurm_daemons() -> Iterator[Slurm]:
    """Start SLURM once for all tests."""
    needs("munged", "slurmctld", "slurmd", "sbatch")
    # A short path: munge's socket has at most 107 characters.
    folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/slurm-XXXXXX"], text=True).strip())
    folder.chmod(0o755)
    slurm = Slurm(folder)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def slurm(slurm_daemons: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """Give SLURM with all its nodes idle; afterwards no job is left of the test's own."""
    monkeypatch.setenv("SLURM_CONF", str(slurm_daemons.conf))
    monkeypatch.setenv("PATH", PATH)
    yield slurm_daemons
    try:
        wait_until(lambda: not slurm_daemons.jobs(), 10)
    finally:
        for job in slurm_daemons.jobs():
            slurm_daemons.call("scancel", job)
        wait_until(lambda: not slurm_daemons.jobs())


SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
PasswordAuthentication no
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
MaxStartups 50
SetEnv PYTHONPATH={package}
"""


@dataclass(frozen=True)
class Sshd:
    """An sshd on the loopback interface, which lets one key in."""

    folder: Path
    port: int

    @property
    def options(self) -> dict[str, Any]:
        """What a cluster must be told to get in."""
        return {
            "port": self.port,
            "username": "root",
            "client_keys": [str(self.folder / "key")],
            "known_hosts": str(self.folder / "known_hosts"),
        }


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Start sshd once for all tests."""
    needs("sshd", "ssh-keygen")
    pytest.importorskip("asyncssh", reason="asyncssh is not installed")
    folder = tmp_path_factory.mktemp("sshd")
    Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "key"):
        make = ["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(make, check=True)
    shutil.copy(folder / "key.pub", folder / "authorized_keys")
    (port,) = free_ports(1)
    host_key = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port},[localhost]:{port} {host_key}\n")
    (folder / "config").write_text(SSHD.format(port=port, folder=folder, package=PACKAGE))
    program = shutil.which("sshd", path=PATH)
    assert program is not None
    subprocess.run([program, "-f", str(folder / "config"), "-E", str(folder / "log")], check=True)
    try:
        wait_until((folder / "sshd.pid").exists)
        yield Sshd(folder, port)
    finally:
        stop(folder / "sshd.pid")
