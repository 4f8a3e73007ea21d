"""The same as the command line, from a notebook or a script."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.atomic import TEMPORARY_PREFIX, replacing
from mirar_dask.engine.events import RunEnded, RunStarted
from mirar_dask.errors import NothingToDoError, UsageError
from mirar_dask.monitoring.state import fold_all
from mirar_dask.pipelines.base_pipeline import Pipeline
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.image_loader import ImageLoader
from mirar_dask.processors.utils.image_saver import ImageSaver
from mirar_dask.run import plan_night, reduce_night


class Plus(BaseImageProcessor):
    """Adds a number to every pixel."""

    base_key = "plus_for_tests"

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def apply_to_image(self, image: Any) -> Any:
        image.set_data(image.get_data() + self.number)
        return image


class TwoPartPipeline(Pipeline):
    """Loads and adds; then adds and saves what the first part left."""

    name = "two_part_for_tests"
    all_pipeline_configurations = {
        "first": [ImageLoader(), Plus(1)],
        "second": [Plus(10), ImageSaver("sum")],
    }


def test_a_night_is_reduced_from_python(night: Path, tmp_path: Path):
    """The summary has what a notebook wants to go on with."""
    summary = reduce_night("imager", raw=night, out=tmp_path, cluster="serial")
    assert summary.exit_code == 0
    assert summary.counts["succeeded"] == 2
    assert sum(path.parent.name == "reduced" for path in summary.products) == 2
    assert "2 succeeded, 9 set aside" in str(summary)
    assert repr(summary).startswith("<RunSummary of imager n1: 2 succeeded")


def test_listeners_hear_the_whole_run(night: Path, tmp_path: Path):
    """From the start to the end; folded they give the counts of the summary."""
    heard: list[Any] = []
    summary = reduce_night(raw=night, out=tmp_path, cluster="serial", listeners=[heard.append])
    assert isinstance(heard[0], RunStarted)
    assert isinstance(heard[-1], RunEnded)
    assert fold_all(heard).counts == summary.counts


def test_a_pipeline_class_is_taken_as_it_is(night: Path, tmp_path: Path):
    """As defined in a cell; several configurations follow one another on the same images."""
    from astropy.io import fits

    summary = reduce_night(
        TwoPartPipeline,
        raw=night,
        out=tmp_path,
        cluster="threads",
        workers=1,
        configuration=["first", "second"],
    )
    assert summary.configurations == ("first", "second")
    made = fits.getdata(tmp_path / "two_part_for_tests/n1/sum/bias_0001.fits")
    assert (made == fits.getdata(night / "bias_0001.fits") + 11.0).all()
    assert not list(summary.run_folder.glob("cache"))


def test_plan_night_tells_what_would_be_done(night: Path, tmp_path: Path):
    """With the same options, and nothing is written."""
    plan = plan_night("imager", raw=night, out=tmp_path / "out")
    assert plan.frames == 11
    assert not (tmp_path / "out").exists()


def test_a_misspelt_option_is_named(night: Path):
    """As a function of its own signature would."""
    with pytest.raises(UsageError, match="no option 'wokers'"):
        reduce_night("imager", raw=night, wokers=2)  # type: ignore[call-arg]


def test_a_folder_without_frames_is_nothing_to_do(tmp_path: Path):
    """The error is of a class that a script can catch."""
    (tmp_path / "night").mkdir()
    with pytest.raises(NothingToDoError):
        reduce_night("imager", raw=tmp_path / "night", out=tmp_path)


def test_the_next_run_of_a_night_lists_only_what_it_wrote_itself(night: Path, tmp_path: Path):
    """Masters that were there already are not its products; rewritten frames are."""
    options = {"raw": night, "out": tmp_path, "cluster": "serial", "configuration": "reduce"}
    first = reduce_night("imager", **options)  # type: ignore[arg-type]
    again = reduce_night("imager", **options)  # type: ignore[arg-type]
    assert {path.parent.name for path in first.products} == {"calibration", "reduced"}
    assert {path.parent.name for path in again.products} == {"reduced"}
    assert first.run_folder != again.run_folder


def test_a_display_that_breaks_does_not_end_the_run(night: Path, tmp_path: Path):
    """It falls silent after its first error, which the run's log tells of."""
    calls = []

    def broken(event: Any) -> None:
        calls.append(event)
        raise RuntimeError("the terminal is gone")

    summary = reduce_night(raw=night, out=tmp_path, cluster="serial", listeners=[broken])
    assert summary.exit_code == 0
    assert len(calls) == 1
    assert "the terminal is gone" in (summary.run_folder / "log.txt").read_text()


def test_a_full_disk_is_one_sentence(command, night: Path, tmp_path: Path, monkeypatch):
    """Where the journal cannot be written: exit code 1 and no traceback."""
    from mirar_dask.engine.journal import Journal

    def full(self: Journal, event: Any) -> None:
        raise OSError(28, "No space left on device", str(self.path))

    monkeypatch.setattr(Journal, "__call__", full)
    said = command("run", "imager", "--raw", night, "--out", tmp_path, "--cluster", "serial")
    assert said.code == 1
    assert said.err.startswith("mirar-dask: the run could not go on: No space left on device (")
    assert said.err.count("\n") == 1


class DiesWriting(BaseImageProcessor):
    """Kills its worker, once, in the middle of a file."""

    base_key = "dies_writing_for_tests"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def apply_to_image(self, image: Any) -> Any:
        if image["BASENAME"] == "FIELD1_r_0001.fits" and not (self.folder / "died").exists():
            (self.folder / "died").touch()
            with replacing(self.folder / "half.fits") as temporary:
                temporary.write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)
        return image


def test_nothing_half_written_is_left_of_a_worker_that_was_killed(night: Path, tmp_path: Path):
    """Not beside the products; what else was there before the run stays."""
    reduced = tmp_path / "dying_for_tests" / "n1" / "reduced"
    reduced.mkdir(parents=True)
    older = reduced / f"{TEMPORARY_PREFIX}of-another-program"
    older.touch()
    os.utime(older, (1, 1))

    class DyingPipeline(Pipeline):
        name = "dying_for_tests"
        all_pipeline_configurations = {"default": [ImageLoader(), DiesWriting(reduced)]}

    summary = reduce_night(DyingPipeline, raw=night, out=tmp_path, cluster="local", workers=1)
    assert (reduced / "died").exists()
    assert summary.exit_code == 0
    assert list(reduced.glob(".*")) == [older]
