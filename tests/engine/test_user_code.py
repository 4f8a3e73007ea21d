"""Processors written by users run in parallel as they are, wherever they were written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from distributed import Client, LocalCluster
from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.pipelines.base_pipeline import Pipeline
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.image_loader import ImageLoader
from mirar_dask.processors.utils.image_selector import ImageBatcher

FACTOR = 3.0

def scaled(data):
    return data * FACTOR

class Scale(BaseImageProcessor):
    base_key = "scale"
    def description(self):
        return "Scale the images."
    def _apply_to_images(self, batch):
        for image in batch:
            image.set_data(scaled(image.get_data()))
        return batch
    def update_dataset(self, dataset):
        return Dataset([ImageBatch([image]) for batch in dataset for image in batch])

class Mine(Pipeline):
    name = "mine"
    all_pipeline_configurations = {"default": [ImageLoader(), ImageBatcher("FILTER"), Scale()]}

if __name__ == "__main__":
    serial, _ = Mine(night="n").reduce_images()
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            for factor in (3.0, 5.0):
                FACTOR = factor
                class Scale(Scale):  # defined again, as a notebook's cell that is run again
                    pass
                Mine.all_pipeline_configurations = {
                    "default": [ImageLoader(), ImageBatcher("FILTER"), Scale()]
                }
                result, errors = Mine(night="n").reduce_images(client=client)
                assert not errors.get_all_reports(), errors.summarise_error_stack(verbose=False)
                assert len(result) == len(serial) > 2
                for one, other in zip(result, serial):
                    expected = other[0].get_data() * (factor / 3.0)
                    np.testing.assert_allclose(one[0].get_data(), expected, rtol=1e-6)
    print("the same")
"""


@pytest.fixture
def roots(raw: Path, tmp_path: Path) -> dict[str, str]:
    """Return an environment in which the night lies where a pipeline looks for it."""
    folder = tmp_path / "in" / "mine" / "n"
    folder.mkdir(parents=True)
    (folder / "raw").symlink_to(raw)
    return {
        **os.environ,
        "RAW_DATA_DIR": str(tmp_path / "in"),
        "OUTPUT_DATA_DIR": str(tmp_path / "out"),
    }


def test_a_processor_of_a_script_runs_on_workers_and_again_after_it_is_redefined(
    roots: dict[str, str], tmp_path: Path
) -> None:
    """Mirar's style, defined in the main script: it travels by value, and so does a new one."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script)], env=roots, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "the same" in done.stdout


INTERRUPTED = """
import sys
from pathlib import Path
from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.engine import RunSettings
from mirar_dask.testing.engine_contract import configured, settings_for
from mirar_dask.testing.faults import SleepsOnImage
from mirar_dask.processors.utils.image_loader import ImageLoader

if __name__ == "__main__":
    raw, out = Path(sys.argv[1]), Path(sys.argv[2])
    names = [p.name for p in raw.glob("*.fits")]
    steps = configured([ImageLoader(), SleepsOnImage(names, seconds=30.0)])
    settings = settings_for(
        raw, out, cache_dir=out / "cache", keep_results=False,
        listeners=(lambda event: print(type(event).__name__, flush=True),),
    )
    with connect(ClusterSpec.parse("local", workers=2), dashboard=False) as engine:
        engine.run(steps, Dataset([ImageBatch()]), settings)
"""


def test_an_interrupt_ends_a_run_in_seconds_and_leaves_nothing(raw: Path, tmp_path: Path) -> None:
    """Ctrl-C reaches driver and workers alike; no process and no cache file is left."""
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    out = tmp_path / "out"
    out.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(script), str(raw), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    while "TaskSubmitted" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(1.0)
    start = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, stderr = process.communicate(timeout=30)
    assert time.monotonic() - start < 20, stderr
    assert process.returncode != 0
    assert "KeyboardInterrupt" in stderr
    assert not (out / "cache").exists()
    # Python's resource tracker ends by itself a moment after the last process that used it.
    deadline = time.monotonic() + 10
    while _processes(session=process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _processes(session: int) -> list[int]:
    """Return the processes of a session, as the kernel lists them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found
