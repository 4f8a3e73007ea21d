"""Docker's engine, started for these tests, and a site where somebody types commands.

It has its own network namespace, so that its bridges, addresses and firewall go when that goes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
CONTEXT = ("Dockerfile", ".dockerignore", "docker-compose.yml", "pyproject.toml", "README.md")
CONTEXT += ("LICENSE", "mirar_dask")
CACHE = ROOT / ".ci" / ".cache"
"""Where .ci/containers.sh puts Compose and a base image."""
NAMESPACE = "md-engine"
CGROUP = "/mirar-dask-tests"
USER = 4321
"""Neither root nor the image's own user: the products must be his all the same."""
BASE = "localhost/base"
RUN_FOLDERS = ("/run/containerd/s", "/run/containerd", "/run/docker/plugins", "/run/docker")
"""Made by every engine, wherever it has its own."""


def call(*words: object, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, **options)
    if check:
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done


@dataclass
class Engine:
    """Docker's engine, with all that it has in a folder and a network namespace of its own."""

    folder: Path
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a client of it is told."""
        return {
            "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
            "HOME": str(self.folder),
            "DOCKER_HOST": f"unix://{self.folder}/docker.socket",
            "DOCKER_CONFIG": str(self.folder / "config"),
        }

    def start(self) -> None:
        """Start containerd and dockerd, and wait until they answer."""
        call("ip", "netns", "add", NAMESPACE)
        call("ip", "-n", NAMESPACE, "link", "set", "lo", "up")
        (self.folder / "containerd.toml").write_text(
            f'version = 2\nroot = "{self.folder}/containerd"\nstate = "{self.folder}/state"\n'
            f'[grpc]\naddress = "{self.folder}/containerd.socket"\n'
        )
        (self.folder / "daemon.json").write_text("{}")
        self._start("containerd", "--config", self.folder / "containerd.toml")
        self.wait_for((self.folder / "containerd.socket").exists)
        self._start(
            "dockerd",
            *("--config-file", self.folder / "daemon.json"),
            *("--containerd", self.folder / "containerd.socket"),
            *("--data-root", self.folder / "data"),
            *("--exec-root", self.folder / "exec"),
            *("--pidfile", self.folder / "docker.pid"),
            *("--host", f"unix://{self.folder}/docker.socket"),
            *("--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", CGROUP),
            *("--bip", "10.201.0.1/24"),
        )
        self.wait_for(lambda: self.docker("info", check=False).returncode == 0)

    def _start(self, *words: object) -> None:
        with (self.folder / f"{words[0]}.log").open("wb") as log:
            inside = ["nsenter", f"--net=/run/netns/{NAMESPACE}", *map(str, words)]
            self.daemons.append(
                subprocess.Popen(inside, env=self.environment, stdout=log, stderr=log)
            )

    def wait_for(self, what: Callable[[], Any]) -> None:
        """Wait until something is true."""
        end = monotonic() + 60
        while not what():
            logs = "\n".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))
            assert all(daemon.poll() is None for daemon in self.daemons), logs
            assert monotonic() < end, logs
            sleep(0.1)

    def docker(self, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run docker's client."""
        return call("docker", *words, **{"env": self.environment, **options})

    def inside(self, *words: object) -> str:
        """Run a program where the engine's ports are this machine's."""
        return call("nsenter", f"--net=/run/netns/{NAMESPACE}", *words).stdout

    def stop(self) -> None:
        """End it, and take away what it leaves on the machine."""
        left = self.docker("ps", "--all", "--quiet", check=False).stdout.split()
        if left:  # of a test that failed
            self.docker("rm", "--force", *left, check=False)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            daemon.wait(30)
        call("ip", "netns", "del", NAMESPACE, check=False)
        for top in list(Path("/sys/fs/cgroup").glob(f"**{CGROUP}")):
            for path in sorted(top.glob("**/"), reverse=True):
                path.rmdir()
        for name in RUN_FOLDERS:
            with suppress(OSError):  # there is none, or it is another engine's
                Path(name).rmdir()


def traces(folder: Path) -> list[str]:
    """Return what an engine could leave on this machine: links, rules, mounts, processes."""
    found = call("ip", "-br", "link").stdout.splitlines()
    environment = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    for table in ("filter", "nat"):
        found += call("iptables", "-t", table, "-S", env=environment).stdout.splitlines()
    found.append(Path("/proc/sys/net/ipv4/ip_forward").read_text())
    found += [name for name in RUN_FOLDERS if Path(name).exists()]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**{CGROUP}")]
    found += [line for line in Path("/proc/mounts").read_text().split("\n") if str(folder) in line]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            command = path.read_text()
            found += [command] if str(folder) in command else []
    return sorted(found)


@pytest.fixture(scope="module")
def compose_plugin() -> Path:
    """Return Docker Compose 2, which .ci/containers.sh gets where it is not installed."""
    named = [CACHE / "docker", *map(Path, ("/usr/libexec/docker", "/usr/lib/docker"))]
    for folder in named:
        if (folder / "cli-plugins" / "docker-compose").exists():
            return folder / "cli-plugins" / "docker-compose"
    pytest.skip("Docker Compose 2 is not installed; .ci/containers.sh gets it")


@pytest.fixture(scope="module")
def engine(compose_plugin: Path) -> Iterator[Engine]:
    """Start an engine that has a base image, and see that nothing is left of it afterwards."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    programs = ("docker", "dockerd", "containerd", "ip", "nsenter", "iptables")
    missing = [name for name in programs if shutil.which(name, path=path) is None]
    if missing or not (CACHE / "base.tar").exists():
        named = ", ".join(missing) or "a base image"
        pytest.skip(f"{named} not there; .ci/containers.sh gets it")
    if os.geteuid() != 0:
        pytest.skip("root alone can start an engine of containers")
    # A short path: a socket's has at most 107 characters.
    folder = Path(call("mktemp", "-d", "/tmp/containers-XXXXXX").stdout.strip())
    before = traces(folder)
    folder.chmod(0o755)
    plugins = folder / "config" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-compose").symlink_to(compose_plugin)
    engine = Engine(folder)
    try:
        engine.start()
        engine.docker("import", CACHE / "base.tar", BASE)
        yield engine
    finally:
        try:
            engine.stop()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    assert traces(folder) == before
    assert not folder.exists()


@dataclass(frozen=True)
class Site:
    """A folder with the project's files, where somebody types commands."""

    engine: Engine
    folder: Path
    user: int = USER
    base: str = BASE

    def type(self, line: str, **more: str) -> str:
        """Type a line in a shell, and return what is printed."""
        done = self.start(line, **more)
        said, _ = done.communicate(timeout=300)
        assert done.returncode == 0, (line, said)
        return said

    def start(self, line: str, **more: str) -> subprocess.Popen[str]:
        """Type a line in a shell."""
        return subprocess.Popen(
            ["sh", "-c", line],
            cwd=self.folder,
            env={**self.engine.environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def out(self, name: str) -> Path:
        """Make a folder for products that belongs to the user."""
        path = self.folder / name
        path.mkdir()
        os.chown(path, USER, USER)
        return path

    def containers(self, template: str = "{{.Name}}") -> list[str]:
        """Describe the containers of the project, those that ended included."""
        words = ["ps", "--all", "--quiet", "--no-trunc"]
        numbers = self.engine.docker(*words).stdout.split()
        if not numbers:
            return []
        return self.engine.docker("inspect", "--format", template, *numbers).stdout.splitlines()


def python_of(base: Path) -> str:
    """Return the version of the Python in a base image, such as 3.11."""
    with tarfile.open(base) as archive:
        return archive.getmember("./usr/bin/python3").linkname.removeprefix("python")


@pytest.fixture(scope="module")
def site(engine: Engine) -> Site:
    """Give a copy of the project whose image was built from wheels, without any network."""
    site = Site(engine, engine.folder / "site")
    site.folder.mkdir()
    for name in CONTEXT:
        source, target = ROOT / name, site.folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    python = python_of(CACHE / "base.tar")
    words = ["download", "-qq", "--dest", "wheels", "--only-binary", ":all:"]
    words += ["--python-version", python, ".", "hatchling>=1.26"]
    pip = call(sys.executable, "-m", "pip", *words, cwd=site.folder, check=False)
    if pip.returncode:
        pytest.skip(f"pip could not get the wheels: {pip.stderr.strip().splitlines()[-1]}")
    site.out("out")
    site.out("raw")
    (site.folder / ".env").write_text(f"UID={USER}\nGID={USER}\n")
    site.type("docker compose build", BASE_IMAGE=BASE, PIP_NO_INDEX="1")
    return site


@pytest.fixture
def up(site: Site) -> Iterator[Site]:
    """Start the cluster; afterwards nothing is left of it but the image."""
    site.type("docker compose up --detach --wait")
    yield site
    site.type("docker compose down --volumes")
    assert site.containers() == []
    assert site.engine.docker("volume", "ls", "--quiet").stdout == ""
    networks = site.engine.docker("network", "ls", "--format", "{{.Name}}").stdout.split()
    assert sorted(networks) == ["bridge", "host", "none"]
