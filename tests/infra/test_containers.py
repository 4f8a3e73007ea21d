"""Nights on containers, described by docker-compose.yml; the engine is started for these tests.

It has its own network namespace, so that its bridges, addresses and firewall go when that goes.
"""

from __future__ import annotations

import json
import os
import re
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

from mirar_dask.testing import simulate_night

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
CONTEXT = ("Dockerfile", ".dockerignore", "docker-compose.yml", "pyproject.toml", "README.md")
CONTEXT += ("LICENSE", "mirar_dask")
CACHE = ROOT / ".ci" / ".cache"
"""Where .ci/containers.sh puts Compose and a base image."""
NAMESPACE = "md-engine"
CGROUP = "/mirar-dask-tests"
USER = 4321
"""Neither root nor the image's own user: the products must be his all the same."""
BASE = "localhost/base"
MEGABYTE = 1 << 20
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


NIGHT = "docker compose run --rm driver mirar-dask run imager --raw /data/raw/20260314"


@pytest.fixture(scope="module")
def serial(site: Site) -> Path:
    """Return what the serial engine makes of the demo's night in the same image."""
    simulate_night(site.folder / "raw" / "20260314", size=1024, seed=1)
    out = site.out("serial")
    line = NIGHT.replace("--rm", "--rm --no-deps") + " --cluster serial"
    assert "12 succeeded" in site.type(line, OUT=str(out))
    return out


def test_the_image_is_small_and_its_user_is_not_root(site: Site) -> None:
    """No compiler and no cache of pip is in it, one image is made for all services."""
    described = json.loads(site.engine.docker("image", "inspect", "mirar-dask", BASE).stdout)
    image, base = described
    size, of_base = (each["Size"] / MEGABYTE for each in (image, base))
    print(f"image {size:.0f} MiB, {of_base:.0f} MiB of it the base")
    assert size - of_base < 750
    assert image["Config"]["User"] == "mirar"
    look = "id -u; ls -A /tmp /venv; ! command -v gcc; ! command -v cc"
    said = site.engine.docker("run", "--rm", "mirar-dask", "sh", "-ec", look).stdout
    assert said.splitlines()[0] == "1000"
    assert ".cache" not in said
    assert len(site.engine.docker("image", "ls", "--all", "--quiet").stdout.split()) == 2


def test_the_first_lines_of_the_file_do_what_they_say(site: Site) -> None:
    """Typed one after the other, in a folder of one's own frames."""
    lines = (site.folder / "docker-compose.yml").read_text().splitlines()
    typed = [line.removeprefix("#   ") for line in lines if line.startswith("#   ")]
    commands = [line.partition("  # ")[0].strip() for line in typed]
    assert len(commands) == 6
    simulate_night(site.folder / "raw" / "NIGHT", size=(64, 64), n_science=2, seed=3)
    said = {}
    for command in commands:
        if command.startswith("printf"):
            continue  # the user of these tests is another one than the shell's
        said[command] = site.type(command)
    assert "mirar-dask demo" in commands[3]
    assert "1.00 times the expected noise" in said[commands[3]]
    assert "dashboard http://127.0.0.1:8787/status" in said[commands[3]]
    assert "4 succeeded" in said[commands[4]]
    assert site.containers() == []
    made = list((site.folder / "out").rglob("*"))
    assert len([path for path in made if path.suffix == ".fits"]) > 60
    assert {path.stat().st_uid for path in made} == {USER}
    assert not [path for path in made if path.suffix == ".npy"]


@pytest.mark.parametrize("death", ["killed by hand", "ended by the kernel"])
def test_a_worker_container_that_dies_costs_what_it_was_doing(
    death: str, up: Site, serial: Path, same_products: Callable[[Path, Path], None]
) -> None:
    """The night is the serial engine's; a worker is started again, unless somebody stopped it."""
    out = up.out(death.replace(" ", "-"))
    up.type("docker compose up --detach --wait", OUT=str(out))
    reduced = out / "imager" / "20260314" / "reduced"
    driver = up.start(NIGHT, OUT=str(out))
    up.engine.wait_for(lambda: driver.poll() is not None or list(reduced.glob("*.fits")))
    assert driver.poll() is None, driver.communicate()[0]
    done = len(list(reduced.glob("*.fits")))
    if death == "killed by hand":
        up.type("docker kill mirar-dask-worker-1")
    else:
        (number,) = (
            int(line.split()[1])
            for line in up.containers("{{.Name}} {{.State.Pid}}")
            if line.startswith("/mirar-dask-worker-1 ")
        )
        os.kill(number, 9)
    said, _ = driver.communicate(timeout=200)
    assert done < 12, "the night was over before the worker died"
    assert driver.returncode == 0, said
    assert "12 succeeded" in said
    (log,) = out.glob("imager/20260314/runs/*/log.txt")
    assert "trying again" in log.read_text()
    same_products(out / "imager", serial / "imager")
    assert not [path for path in out.rglob("*") if path.suffix == ".npy" or ".tmp-" in path.name]
    health = "{{.Name}} {{.RestartCount}} {{with .State.Health}}{{.Status}}{{end}}"
    if death == "killed by hand":
        assert "/mirar-dask-worker-1 0 unhealthy" in up.containers(health)  # and not started
    else:
        up.engine.wait_for(lambda: "/mirar-dask-worker-1 1 healthy" in up.containers(health))


ASK = """
import json
import dask.config
from distributed import Client

with Client("tcp://scheduler:8786") as client:
    ask = lambda: dask.config.get("distributed.scheduler.allowed-failures")
    threads = lambda: __import__("os").environ["OMP_NUM_THREADS"]
    workers = client.scheduler_info()["workers"].values()
    said = {
        "failures": client.run_on_scheduler(ask),
        "omp": sorted(client.run(threads).values()),
        "workers": [[w["nthreads"], w["memory_limit"], w["resources"]] for w in workers],
    }
print("SAID", json.dumps(said))
"""


def test_workers_are_as_many_and_as_large_as_the_variables_say(up: Site) -> None:
    """With our settings; what they reserve is their limit, below that of their container."""
    up.type("docker compose up --detach --wait", WORKERS="3", WORKER_GB="1")
    (up.folder / "out" / "ask.py").write_text(ASK)
    line = "docker compose run --rm --no-deps driver python ask.py"
    said = json.loads(re.search(r"SAID (.*)", up.type(line)).group(1))
    assert said == {
        "failures": 0,
        "omp": ["1"] * 3,
        "workers": [[1, 10**9, {"MEMORY": 1e9}]] * 3,
    }
    limits = up.containers("{{.Name}} {{.HostConfig.Memory}}")
    assert f"/mirar-dask-worker-3 {1 << 30}" in limits


def test_the_dashboard_is_on_the_loopback_interface_alone(up: Site) -> None:
    """At the port that was asked for; the scheduler's own port is not published."""
    up.type("docker compose up --detach --wait", DASHBOARD_PORT="18787")
    ports = up.engine.docker("port", "mirar-dask-scheduler-1").stdout.split("\n")
    assert ports == ["8787/tcp -> 127.0.0.1:18787", ""]
    code = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:18787/status').read())"
    assert "bokeh.min.js" in up.engine.inside(sys.executable, "-c", code)


def test_a_worker_is_healthy_only_while_its_scheduler_knows_it(up: Site) -> None:
    """It is not while the scheduler is away, and is again when that is back."""
    health = "{{.Name}} {{.State.Health.Status}}"
    assert up.containers(health).count("/mirar-dask-worker-1 healthy") == 1
    up.type("docker compose stop scheduler")
    up.engine.wait_for(lambda: "/mirar-dask-worker-1 healthy" not in up.containers(health))
    up.type("docker compose start scheduler")
    wanted = {f"/mirar-dask-{name} healthy" for name in ("scheduler-1", "worker-1", "worker-2")}
    up.engine.wait_for(lambda: set(up.containers(health)) == wanted)


def test_a_folder_that_is_not_there_is_an_error_that_names_it(site: Site) -> None:
    """It is not made, and by root."""
    line = "docker compose run --rm --no-deps driver mirar-dask --help"
    missing = site.start(line, OUT="./nowhere")
    said, _ = missing.communicate(timeout=60)
    assert missing.returncode != 0
    assert re.search(r"nowhere.*(does not exist|no such file)|does not exist.*nowhere", said)
    assert not (site.folder / "nowhere").exists()
    site.type("docker compose down --volumes")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, ["user: 1000:1000", f"source: {ROOT}/out", "2GB", 'published: "8787"']),
        ({"RAW": "/nights", "OUT": "/products"}, ["source: /nights", "source: /products"]),
        ({"WORKERS": "7", "WORKER_GB": "1.5"}, ["replicas: 7", "1.5GB", "MEMORY=1.5e9"]),
        ({"WORKER_GB": "1.5"}, ['memory: "1610612736"']),
        ({"UID": "501", "GID": "502", "DASHBOARD_PORT": "9"}, ["user: 501:502", '"9"']),
        ({"BASE_IMAGE": "mine:1"}, ["BASE_IMAGE: mine:1"]),
    ],
)
def test_the_file_is_understood_with_each_of_its_variables(
    variables: dict[str, str], words: list[str], compose_plugin: Path
) -> None:
    """As Compose says, without an engine."""
    line = ["--env-file", "/dev/null", "--file", ROOT / "docker-compose.yml"]
    environment = {"PATH": os.environ["PATH"], "DOCKER_HOST": "unix:///nowhere", **variables}
    said = call(compose_plugin, *line, "--profile", "*", "config", env=environment).stdout
    assert [word for word in words if word not in said] == []
