"""A night that is watched ends with the products of the batch run of the same night."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits

from mirar_dask.errors import ClusterError
from mirar_dask.monitoring.heartbeat import NightBusyError
from mirar_dask.monitoring.watched import watch_facts
from mirar_dask.processors.base.outcome import Status
from mirar_dask.testing import simulate_night
from mirar_dask.testing.products import differences
from mirar_dask.watching import watch_night
from mirar_dask.watching.night import follow_night, request_watch

from .conftest import QUICK, batch, copy, of, playing, settings

SCIENCE, CALIBRATIONS = 8, 9
REDUCE = {"configuration": "reduce"}
CALIBRATED = {"configurations": ("reduce",)}
"""The same, as a run and a watch are told."""


def state(night: Path, run: Any) -> dict[str, Any]:
    """Return what a watch left on disk of how it stands."""
    found: dict[str, Any] = json.loads((run.run_folder / "watch.json").read_text())
    return found


def test_a_night_that_was_watched_has_the_products_of_the_batch_run(frames: Path, tmp_path: Path):
    """Frames are reduced as they come, sets of dithers stacked; the whole night in the end."""
    raw, out = tmp_path / "n1", tmp_path / "out"
    order = of(frames, "bias", "dark", "flat", "FIELD1_g", "FIELD1_r")
    said: list[str] = []
    with playing(lambda: copy(order, raw, pieces=2)):
        watched = watch_night(settings(raw, out), replace(QUICK, observe="events"), say=said.append)
    night = out / "imager" / "n1"
    assert differences(night, batch(raw, tmp_path / "batch")) == []
    assert watched.final.exit_code == 0
    # What had been done was not done again.
    reduced = [path.name for path in watched.watch.products if path.parent.name == "reduced"]
    assert len(reduced) == SCIENCE
    assert not [path for path in watched.final.products if path.parent.name == "reduced"]
    # Sets of three: two of each filter complete, or as far as the night went.
    found = state(night, watched.watch)
    assert found["stacks"] == 4
    assert found["latency"]["number"] == SCIENCE
    assert 0 < found["latency"]["median"] <= found["latency"]["worst"] < 60
    assert found["frames"] == {"calibration": CALIBRATIONS, "reduced": SCIENCE}
    assert said[0].startswith(f"watching {raw} by events")
    shown = dict(watch_facts(found))
    assert shown["night"] == "9 calibration, 8 reduced; sets of dithers: 4 stacked"
    assert shown["latency"].startswith("median ")
    assert "no frame came for" in shown["over"]
    # Stacks of parts of a group are no products of the night.
    assert {path.name for path in watched.removed} >= {"FIELD1_g_0004_stack.fits"}


def test_frames_are_calibrated_with_other_nights_until_their_own_frames_are_there(
    frames: Path, tmp_path: Path
):
    """Those products are made again in the end, with the night's own masters."""
    raw, out = tmp_path / "n1", tmp_path / "out"
    archive = tmp_path / "archive" / "n0"
    simulate_night(
        archive, size=64, n_bias=3, n_dark=3, n_flat=2, n_science=0, seed=8, date="2026-03-12"
    )
    evening, morning = of(frames, "FIELD1"), of(frames, "bias", "dark", "flat")
    saved = out / "imager/n1/reduced/FIELD1_r_0004.fits"
    first: list[bytes] = []

    def play() -> None:
        copy(evening, raw)
        for _ in range(400):
            if saved.exists():
                break
            time.sleep(0.05)
        first.append(saved.read_bytes())
        copy(morning, raw)

    with playing(play):
        asked = settings(raw, out, calibrations=(archive.parent,), **CALIBRATED)
        watched = watch_night(asked, replace(QUICK, observe="polling"))
    assert differences(out / "imager" / "n1", batch(raw, tmp_path / "batch", **REDUCE)) == []
    assert first[0] != saved.read_bytes()
    assert any(path.parent.name == "calibration" for path in watched.removed)


def test_an_interrupted_watch_goes_on_where_it_was(frames: Path, tmp_path: Path):
    """Nothing is done twice and nothing is lost; meanwhile the night is nobody else's."""
    raw, out = tmp_path / "n1", tmp_path / "out"
    copy(of(frames, "bias", "dark", "flat", "FIELD1_g"), raw)
    night = out / "imager" / "n1"
    busy: list[str] = []

    def interrupt(text: str) -> None:
        if "FIELD1_g" in text and "reduced" in text:
            asked = settings(raw, out, **CALIBRATED)
            with pytest.raises(NightBusyError) as refused:
                follow_night(request_watch(asked, QUICK), QUICK)
            busy.append(str(refused.value))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow_night(request_watch(settings(raw, out, **CALIBRATED), QUICK), QUICK, say=interrupt)
    assert "is at work on" in busy[0]
    assert not list(night.glob("runs/*/cache"))
    before = {path: path.stat().st_mtime_ns for path in (night / "reduced").iterdir()}
    assert len(before) == 4
    copy(of(frames, "FIELD1_r"), raw)
    watched = watch_night(settings(raw, out, **CALIBRATED), QUICK)
    assert differences(night, batch(raw, tmp_path / "batch", **REDUCE)) == []
    assert {path: path.stat().st_mtime_ns for path in before} == before
    found = state(night, watched.watch)
    assert found["frames"] == {"reduced": SCIENCE, "calibration": CALIBRATIONS}
    assert found["latency"]["number"] == SCIENCE


def test_what_is_no_frame_fails_by_name_and_the_night_goes_on(frames: Path, tmp_path: Path):
    """Truncated files, the same frame twice, a frame that goes, one without its flat."""
    raw, out = tmp_path / "n1", tmp_path / "out"
    copy(of(frames, "bias", "dark", "flat_g", "FIELD1_g_0001", "FIELD1_r_0001"), raw)
    content = (frames / "FIELD1_g_0002.fits").read_bytes()
    (raw / "cut.fits").write_bytes(content[:9000])
    (raw / "gone.fits").write_bytes(content[:9000])
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if "cut.fits" not in text and (raw / "gone.fits").exists():
            (raw / "gone.fits").unlink()

    request = request_watch(settings(raw, out, **CALIBRATED), QUICK)
    watch = follow_night(request, QUICK, say=say)
    statuses = {
        name: status
        for name, status in watch.frames.items()
        if name in ("cut.fits", "gone.fits", "FIELD1_g_0001.fits", "FIELD1_r_0001.fits")
    }
    assert statuses == {
        "cut.fits": Status.FAILED,
        "FIELD1_g_0001.fits": Status.SUCCEEDED,
        "FIELD1_r_0001.fits": Status.BLOCKED,
    }
    reasons = {n: record.reason for record in watch.failures for n in record.names}
    assert "is truncated: it has 9000 bytes" in reasons["cut.fits"]
    assert "flat" in reasons["FIELD1_r_0001.fits"]
    found = state(out / "imager/n1", watch)
    assert set(found["failed"]) == {"cut.fits"}
    assert set(found["waiting"]) == {"FIELD1_r_0001.fits"}
    # Its flats come, and it is reduced with them; the file that was cut is whole.
    copy(of(frames, "flat_r"), raw)
    (raw / "cut.fits").write_bytes(content)
    again = follow_night(request_watch(settings(raw, out, **CALIBRATED), QUICK), QUICK)
    assert again.frames["FIELD1_r_0001.fits"] in (Status.SUCCEEDED, Status.CAVEATS)
    assert again.frames["cut.fits"] is Status.SUCCEEDED
    assert again.failures == ()


def test_a_frame_that_is_replaced_is_reduced_again_and_one_that_goes_is_forgotten(
    frames: Path, tmp_path: Path
):
    """The night ends as if they had never been there."""
    raw, out = tmp_path / "n1", tmp_path / "out"
    copy(of(frames, "bias", "FIELD1_g_0001", "FIELD1_g_0002", "FIELD1_g_0004"), raw)
    replaced: list[str] = []

    def say(text: str) -> None:
        if "reduced" in text and not replaced:
            replaced.append(text)
            shutil.copyfile(frames / "FIELD1_g_0003.fits", raw / "FIELD1_g_0001.fits")
            (raw / "FIELD1_g_0002.fits").unlink()

    watched = watch_night(settings(raw, out, **CALIBRATED), QUICK, say=say)
    assert replaced
    assert [path.name for path in watched.removed] == ["FIELD1_g_0002.fits"]
    assert differences(out / "imager/n1", batch(raw, tmp_path / "batch", **REDUCE)) == []


@pytest.mark.slow
def test_a_night_whose_final_reduction_came_too_early_is_watched_on(frames: Path, tmp_path: Path):
    """What the first one has made of fewer frames does not stay."""
    raw, out = tmp_path / "n1", tmp_path / "out"
    copy(of(frames, "bias_0001", "bias_0002", "FIELD1_g"), raw)
    first = watch_night(settings(raw, out), QUICK)
    assert first.final.products
    copy(of(frames, "bias_0003", "FIELD1_r_0001"), raw)
    second = watch_night(settings(raw, out), QUICK)
    assert differences(out / "imager/n1", batch(raw, tmp_path / "batch")) == []
    assert [path.name[:5] for path in second.removed] == ["bias_"]


MINE = '''
from mirar_dask.pipelines.base_pipeline import Pipeline
from mirar_dask.processors.dark import DarkCalibrator
from mirar_dask.processors.utils import CalRequirement, ImageLoader, ImageSaver, ImageSelector


class Monitored(Pipeline):
    """Written as mirar's are: it says which calibrations it requires."""

    name = "monitored"
    default_cal_requirements = [CalRequirement("dark", "EXPTIME", ["60.0"])]
    all_pipeline_configurations = {
        "default": [
            ImageLoader(), DarkCalibrator(), ImageSelector(("OBSCLASS", "science")),
            ImageSaver("reduced"),
        ]
    }
'''


def test_a_pipeline_of_mirar_gets_what_it_requires_of_earlier_nights(frames: Path, tmp_path: Path):
    """Frames wait for a calibration that no night has, and have the archive's when it is there."""
    (tmp_path / "monitored.py").write_text(MINE)
    raw, out = tmp_path / "20260314", tmp_path / "out"
    copy(of(frames, "FIELD1_g"), raw)
    for path in raw.iterdir():
        fits.setval(path, "TARGET", value="FIELD1")
    asked = settings(raw, out, pipeline=f"{tmp_path / 'monitored.py'}:Monitored")
    first = follow_night(request_watch(asked, QUICK), QUICK)
    assert set(first.frames.values()) == {Status.BLOCKED}
    assert "there is no 'dark' with EXPTIME = 60.0" in first.failures[0].reason
    older = tmp_path / "20260312"
    copy(of(frames, "dark"), older)
    for path in older.iterdir():
        fits.setval(path, "TARGET", value="dark")
    said: list[str] = []
    second = follow_night(request_watch(asked, QUICK), QUICK, say=said.append)
    assert {name: status for name, status in second.frames.items() if "FIELD" in name} == {
        f"FIELD1_g_000{n}.fits": Status.SUCCEEDED for n in range(1, 5)
    }
    saved = out / "monitored" / "20260314" / "reduced" / "FIELD1_g_0001.fits"
    assert "20260312" in fits.getheader(fits_of(saved, "DARKNAME"))["RAWPATH"]


def fits_of(product: Path, key: str) -> Path:
    """Return the file that a header key of a product names."""
    return product.parents[1] / "calibration" / Path(fits.getheader(product)[key]).name


SCHEDULER = """
import time
from distributed import LocalCluster

options = {"processes": False, "protocol": "tcp", "dashboard_address": None}
with LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster:
    print(cluster.scheduler_address, flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_watch_whose_scheduler_is_gone_says_so_and_goes_on_elsewhere(
    frames: Path, tmp_path: Path
):
    """One sentence, not a traceback; on another cluster the same night comes to its end."""
    raw, out = tmp_path / "n1", tmp_path / "out"
    copy(of(frames, "bias", "dark", "flat", "FIELD1_g"), raw)
    with subprocess.Popen(
        [sys.executable, "-c", SCHEDULER], stdout=subprocess.PIPE, text=True
    ) as scheduler:
        assert scheduler.stdout is not None
        asked = settings(raw, out, **CALIBRATED)
        there = replace(asked, cluster=scheduler.stdout.readline().strip(), workers=None)

        def say(text: str) -> None:
            if "reduced" in text:
                scheduler.kill()
                copy(of(frames, "FIELD1_r"), raw)

        with pytest.raises(ClusterError, match="the scheduler is gone; start it again"):
            follow_night(request_watch(there, QUICK), QUICK, say=say)
    watch_night(asked, QUICK)
    assert differences(out / "imager/n1", batch(raw, tmp_path / "batch", **REDUCE)) == []
