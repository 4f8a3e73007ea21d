"""Figures of runs on a scheduler's `/metrics`, read as Prometheus reads them."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.cluster.metrics import LEDGER, Collector, Ledger
from mirar_dask.engine.driver import DaskEngine
from mirar_dask.run import reduce_night
from mirar_dask.testing import simulate_night

Figures = dict[tuple[str, ...], float]

SLOW = '''
import time
from mirar_dask.pipelines.base_pipeline import Pipeline
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.image_loader import ImageLoader


class Slow(BaseImageProcessor):
    """Takes its time."""

    base_key = "slow"

    def apply_to_image(self, image):
        time.sleep(3)
        return image


class SlowPipeline(Pipeline):
    """Takes longer than the test."""

    name = "never_ending"
    all_pipeline_configurations = {"default": [ImageLoader(), Slow()]}
'''


@pytest.fixture(scope="module")
def engine() -> Iterator[DaskEngine]:
    with connect(ClusterSpec.parse("threads", workers=2)) as engine:
        yield engine  # type: ignore[misc]


@pytest.fixture(autouse=True)
def no_other_runs() -> None:
    """Let each test begin without runs: the ledger outlives the clusters of a process."""
    for part in (LEDGER.runs, LEDGER.sums, LEDGER.ends):
        part.clear()


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night") / "bad"
    simulate_night(
        folder, size=64, n_bias=3, n_dark=3, n_flat=3, n_science=2, filters=("r",), bad_files=True
    )
    return folder


def scrape(engine: DaskEngine) -> dict[str, Any]:
    """Return the families of a scheduler's page, by name."""
    page = engine.client.dashboard_link.removesuffix("/status") + "/metrics"
    with urlopen(page) as answer:
        text = answer.read().decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def figures(families: dict[str, Any], name: str, **labels: str) -> float:
    """Return the sum of the figures of a family that have these labels."""
    family = families["mirar_dask_" + name]
    return sum(sample.value for sample in family.samples if labels.items() <= sample.labels.items())


def test_a_night_is_on_the_page_of_a_scheduler_that_was_there(
    engine: DaskEngine, night: Path, tmp_path: Path
):
    """Frames, tasks, images, seconds, bytes and failures are those of the run's summary."""
    address = engine.client.scheduler.address
    summary = reduce_night(raw=night, out=tmp_path, configuration="reduce", cluster=address)
    found = scrape(engine)
    assert "dask_scheduler_workers" in found  # Dask's own stand beside ours
    for status, n in summary.counts.items():
        assert figures(found, "frames", pipeline="imager", status=status) == n
    assert figures(found, "failures") == len(summary.failures)
    assert figures(found, "failures", kind="InvalidFitsError", step="load") == 4
    assert figures(found, "runs", result="failures") == 1
    assert figures(found, "active_runs") == 0
    passed = {"step": "flat", "processor": "FlatCalibrator", "status": "passed"}
    assert figures(found, "step_images", **passed) == 2
    assert figures(found, "tasks", status="finished") > 1
    assert figures(found, "step_seconds", processor="BiasCalibrator") > 0
    for kind, n in summary.bytes_read.items():
        assert figures(found, "read_bytes", kind=kind) == n
    for kind, n in summary.bytes_written.items():
        assert figures(found, "written_bytes", kind=kind) == n


def test_the_figures_stay_when_the_dashboard_is_made(engine: DaskEngine):
    """Which happens when somebody first opens it."""
    with urlopen(engine.client.dashboard_link) as answer:
        assert b"bokeh" in answer.read().lower()
    assert "dask_scheduler_workers" in scrape(engine)


def test_runs_that_follow_one_another_add_up(engine: DaskEngine, night: Path, tmp_path: Path):
    """Counters go on when a run is over, and do not grow with the number of runs."""
    address = engine.client.scheduler.address
    pages = []
    for name in ("a", "b"):
        reduce_night(raw=night, out=tmp_path / name, configuration="reduce", cluster=address)
        pages.append(scrape(engine))
    assert [figures(page, "runs", result="failures") for page in pages] == [1, 2]
    ours = [sum(len(f.samples) for n, f in p.items() if n.startswith("mirar")) for p in pages]
    assert ours[0] == ours[1]


def test_a_driver_that_was_killed_is_a_run_that_died(
    engine: DaskEngine, night: Path, tmp_path: Path
):
    """While it lives its run goes on; then it is over, and nothing of it stays under way."""
    (tmp_path / "slow.py").write_text(SLOW)
    words = ["run", f"{tmp_path / 'slow.py'}:SlowPipeline", "--raw", str(night)]
    words += ["--out", str(tmp_path / "out"), "--cluster", engine.client.scheduler.address]
    process = subprocess.Popen([sys.executable, "-m", "mirar_dask", *words], text=True)
    try:
        wait_for(engine, "active_tasks", 1)
        assert figures(scrape(engine), "active_runs", pipeline="never_ending") == 1
    finally:
        process.kill()
        process.wait()
    wait_for(engine, "runs", 1, result="died")
    found = scrape(engine)
    assert figures(found, "active_runs", pipeline="never_ending") == 0
    assert "mirar_dask_active_tasks" not in found


def wait_for(engine: DaskEngine, name: str, least: float, **labels: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = scrape(engine)
        if f"mirar_dask_{name}" in found and figures(found, name, **labels) >= least:
            return
        time.sleep(0.1)
    raise AssertionError(f"{name} {labels} stayed below {least}: {sorted(found)}")


def test_a_run_of_its_own_cluster_is_on_the_page_while_it_goes_on(night: Path, tmp_path: Path):
    """The page is there although the dashboard is not made yet, at the port that was asked for."""
    seen: list[str] = []

    def look(event: Any) -> None:
        if type(event).__name__ == "TaskFinished" and not seen:
            time.sleep(1.5)
            link = addresses[0].removesuffix("/status") + "/metrics"
            with urlopen(link) as answer:
                seen.append(answer.read().decode())

    addresses: list[str] = []

    def note(event: Any) -> None:
        if type(event).__name__ == "RunStarted":
            addresses.append(event.dashboard)

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    reduce_night(
        raw=night, out=tmp_path, configuration="reduce", cluster="threads", workers=1,
        listeners=[note, look], cluster_settings={"dashboard_port": port},
    )  # fmt: skip
    assert addresses == [f"http://127.0.0.1:{port}/status"]
    assert 'mirar_dask_active_runs{pipeline="imager"} 1.0' in seen[0]
    assert "bokeh.server" not in seen[0]


@pytest.mark.slow
def test_a_scheduler_of_another_version_does_not_disturb_the_run(
    scheduler_without: Any, night: Path, tmp_path: Path
):
    """One that does not know these figures yet: a line in the log, and the products are there."""
    with scheduler_without("mirar_dask.cluster.metrics", workers=1) as address:
        summary = reduce_night(raw=night, out=tmp_path, configuration="reduce", cluster=address)
    assert summary.counts["succeeded"] == 2
    assert "no figures for Prometheus" in (summary.run_folder / "log.txt").read_text()


def test_labels_of_any_text_can_be_read_back():
    """Quotes, line ends and backslashes of a step's name are escaped."""
    ledger, odd = Ledger(), 'a "quoted"\\ step\nof two lines'
    family = ("step_tasks_total", "Tasks.", ("step",), "counter")
    told = {"run": "r", "client": "c", "pipeline": odd, "families": [family]}
    ledger.take(**told, values=[("step_tasks_total", [odd], 3.0)])
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(Collector(ledger))
    text = generate_latest(registry).decode()
    found = {family.name: family for family in text_string_to_metric_families(text)}
    (sample,) = found["mirar_dask_step_tasks"].samples
    assert sample.labels == {"pipeline": odd, "step": odd}


def test_gauges_of_runs_that_go_on_add_up_or_are_the_least():
    """Caches add up; of the free disks the fullest counts; both end with the run."""
    ledger = Ledger()
    families = [
        ("cache_bytes", "Bytes.", (), "gauge"), ("disk_free_bytes", "Bytes.", (), "least"),
    ]  # fmt: skip
    for name, n in (("r1", 5.0), ("r2", 3.0)):
        values = [("cache_bytes", [], n), ("disk_free_bytes", [], n)]
        ledger.take(run=name, client=name, pipeline="p", values=values, families=families)
    assert ledger.figures()["cache_bytes"]["p",] == 8
    assert ledger.figures()["disk_free_bytes"]["p",] == 3
    ledger.take(run="r2", client="r2", pipeline="p", values=[], result="well")
    ledger.lose("r2")
    assert ledger.figures()["cache_bytes"]["p",] == 5
    assert ledger.figures()["active_runs"]["p",] == 1
