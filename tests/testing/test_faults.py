"""Faulty processors fail where they are told to, and nowhere else."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io.fits import Header

from mirar_dask.data import Dataset, Image, ImageBatch
from mirar_dask.paths import core_fields
from mirar_dask.processors.base_processor import Form
from mirar_dask.testing import faults


def make_batch(*names: str) -> ImageBatch:
    images = []
    for name in names:
        header = Header(dict.fromkeys(core_fields, ""))
        header["RAWPATH"] = header["BASENAME"] = name
        images.append(Image(np.zeros((4, 4), np.float32), header))
    return ImageBatch(images)


def names_in(dataset: Dataset) -> list[str]:
    return [image["BASENAME"] for batch in dataset for image in batch]


def test_a_batch_processor_that_fails_loses_its_batch():
    """In mirar's form one bad image takes its batch along, and other batches go on."""
    step = faults.FailsOn("b.fits", error=RuntimeError)
    assert step.form is Form.BATCH
    dataset, errors = step.base_apply(
        Dataset([make_batch("a.fits", "b.fits"), make_batch("c.fits")])
    )
    assert names_in(dataset) == ["c.fits"]
    (report,) = errors.get_all_reports()
    assert "planted failure for b.fits" in report.generate_full_traceback()


@pytest.mark.parametrize("fault", [faults.FailsOnImage, faults.ExitsOnImage])
def test_an_image_processor_that_fails_loses_the_image_alone(fault: type[faults.FailsOnImage]):
    """In the image form the rest of the batch goes on, after SystemExit too."""
    step = fault("b.fits")
    assert step.form is Form.IMAGE
    dataset, errors = step.base_apply(Dataset([make_batch("a.fits", "b.fits", "c.fits")]))
    assert names_in(dataset) == ["a.fits", "c.fits"]
    assert len(errors.get_all_reports()) == 1


def test_an_exit_of_a_batch_processor_is_contained():
    """SystemExit is an error of the batch, no end of the program."""
    dataset, errors = faults.ExitsOn("a.fits").base_apply(Dataset([make_batch("a.fits")]))
    assert names_in(dataset) == []
    assert len(errors.get_all_reports()) == 1


def _visit(fault: faults.Fault) -> None:
    fault._apply(make_batch("a.fits", "b.fits"))


def test_a_killer_kills_its_process_as_often_as_it_was_told(tmp_path: Path):
    """The process dies by SIGKILL once; the second attempt passes."""
    step = faults.KillsWorkerOnImage("b.fits", tmp_path, times=1)
    ends = []
    for _ in range(2):
        process = multiprocessing.get_context("spawn").Process(target=_visit, args=(step,))
        process.start()
        process.join(60)
        ends.append(process.exitcode)
    assert ends == [-signal.SIGKILL, 0]
    assert [mark.name for mark in tmp_path.iterdir()] == ["b.fits.0"]


def test_sleepers_and_hoarders_pass_in_the_end():
    """They cost time or memory and change nothing."""
    start = time.monotonic()
    steps = [
        faults.SleepsOnImage(["a.fits"], seconds=0.1),
        faults.HoardsOnImage("a.fits", nbytes=1_000_000, seconds=0.0),
    ]
    dataset = Dataset([make_batch("a.fits", "b.fits")])
    for step in steps:
        dataset, errors = step.base_apply(dataset)
        assert not errors.get_all_reports()
    assert names_in(dataset) == ["a.fits", "b.fits"]
    assert time.monotonic() - start >= 0.1


@pytest.mark.parametrize(
    "step",
    [
        faults.FailsOn("a", error=KeyError),
        faults.ExitsOnImage(["a", "b"]),
        faults.KillsWorkerOnImage("a", "marks", times=3),
        faults.SleepsOnImage("a", 2.5),
        faults.HoardsOnImage("a", 10, 0.5),
    ],
    ids=lambda step: type(step).__name__,
)
def test_faults_are_values(step: faults.Fault):
    """A fault travels to a worker and arrives equal, with all its parameters."""
    again = pickle.loads(pickle.dumps(step))
    assert again == step
    assert again.parameters() == step.parameters()
    assert "names" in step.parameters()
