"""Nights on containers, described by docker-compose.yml, on an engine of these tests' own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.testing import simulate_night

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[3]
MEGABYTE = 1 << 20
NIGHT = "docker compose run --rm driver mirar-dask run imager --raw /data/raw/20260314"


@pytest.fixture(scope="module")
def serial(site: Any) -> Path:
    """Return what the serial engine makes of the demo's night in the same image.

    Its frames are twice as large as the demo's, so that there is time for something to happen.
    """
    simulate_night(site.folder / "raw" / "20260314", size=2048, seed=1)
    out = site.out("serial")
    line = NIGHT.replace("--rm", "--rm --no-deps") + " --cluster serial"
    assert "12 succeeded" in site.type(line, OUT=str(out))
    return out


def test_the_image_is_small_and_its_user_is_not_root(site: Any) -> None:
    """No compiler and no cache of pip is in it, one image is made for all services."""
    described = json.loads(site.engine.docker("image", "inspect", "mirar-dask", site.base).stdout)
    image, base = described
    size, of_base = (each["Size"] / MEGABYTE for each in (image, base))
    print(f"image {size:.0f} MiB, {of_base:.0f} MiB of it the base")
    assert size - of_base < 750
    assert image["Config"]["User"] == "mirar"
    look = "id -u; ls -A /tmp /venv; if command -v gcc cc; then exit 9; fi"
    said = site.engine.docker("run", "--rm", "mirar-dask", "sh", "-ec", look).stdout
    assert said.splitlines()[0] == "1000"
    assert ".cache" not in said
    assert len(site.engine.docker("image", "ls", "--all", "--quiet").stdout.split()) == 2


def test_the_first_lines_of_the_file_do_what_they_say(site: Any) -> None:
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
    assert {path.stat().st_uid for path in made} == {site.user}
    assert not [path for path in made if path.suffix == ".npy"]


@pytest.mark.parametrize("death", ["killed by hand", "ended by the kernel"])
def test_a_worker_container_that_dies_costs_what_it_was_doing(
    death: str, up: Any, serial: Path, same_products: Callable[[Path, Path], None]
) -> None:
    """The night is the serial engine's; a worker is started again, unless somebody stopped it."""
    out = up.out(death.replace(" ", "-"))
    up.type("docker compose up --detach --wait", OUT=str(out))
    reduced = out / "imager" / "20260314" / "reduced"
    (number,) = (
        int(line.split()[1])
        for line in up.containers("{{.Name}} {{.State.Pid}}")
        if line.startswith("/mirar-dask-worker-1 ")
    )
    driver = up.start(NIGHT, OUT=str(out))
    up.engine.wait_for(lambda: driver.poll() is not None or list(reduced.glob("*.fits")))
    assert driver.poll() is None, driver.communicate()[0]
    if death == "killed by hand":
        up.type("docker kill mirar-dask-worker-1")
    else:
        os.kill(number, signal.SIGKILL)
    said, _ = driver.communicate(timeout=200)
    assert driver.returncode == 0, said
    assert "12 succeeded" in said
    (log,) = out.glob("imager/20260314/runs/*/log.txt")
    assert "trying again" in log.read_text(), "it had nothing to do when it died"
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


def test_workers_are_as_many_and_as_large_as_the_variables_say(up: Any) -> None:
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


def test_the_dashboard_is_on_the_loopback_interface_alone(up: Any) -> None:
    """At the port that was asked for; the scheduler's own port is not published."""
    up.type("docker compose up --detach --wait", DASHBOARD_PORT="18787")
    ports = up.engine.docker("port", "mirar-dask-scheduler-1").stdout.split("\n")
    assert ports == ["8787/tcp -> 127.0.0.1:18787", ""]
    code = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:18787/status').read())"
    assert "bokeh.min.js" in up.engine.inside(sys.executable, "-c", code)


def test_a_worker_is_healthy_only_while_its_scheduler_knows_it(up: Any) -> None:
    """It is not while the scheduler is away, and is again when that is back."""
    health = "{{.Name}} {{.State.Health.Status}}"
    assert up.containers(health).count("/mirar-dask-worker-1 healthy") == 1
    up.type("docker compose stop scheduler")
    up.engine.wait_for(lambda: "/mirar-dask-worker-1 healthy" not in up.containers(health))
    up.type("docker compose start scheduler")
    wanted = {f"/mirar-dask-{name} healthy" for name in ("scheduler-1", "worker-1", "worker-2")}
    up.engine.wait_for(lambda: set(up.containers(health)) == wanted)


def test_a_folder_that_is_not_there_is_an_error_that_names_it(site: Any) -> None:
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
    file = ["--env-file", "/dev/null", "--file", str(ROOT / "docker-compose.yml")]
    environment = {"PATH": os.environ["PATH"], "DOCKER_HOST": "unix:///nowhere", **variables}
    line = [str(compose_plugin), *file, "--profile", "*", "config"]
    said = subprocess.run(line, env=environment, check=True, capture_output=True, text=True)
    assert [word for word in words if word not in said.stdout] == []
