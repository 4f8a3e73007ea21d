"""What a task needs is estimated, and what cannot fit is refused before it starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.engine import Engine
from mirar_dask.engine.memory import (
    TaskTooLargeError,
    largest_task,
    of_batch_step,
    of_master,
    refuse_if_too_large,
)
from mirar_dask.testing.engine_contract import Doubles, configured, reduction, settings_for
from mirar_dask.testing.images import make_image


def test_a_step_on_whole_batches_counts_some_of_its_images() -> None:
    """The largest image decides."""
    images = [make_image("a.fits"), make_image("b.fits", np.zeros((100, 50), np.float32))]
    assert largest_task([Doubles()], images) == (of_batch_step(4 * 5000), Doubles.base_key)


def test_masters_count_their_bands() -> None:
    """They are made by bands of rows, whatever the number of frames."""
    images = [make_image("a.fits", np.zeros((100, 50), np.float32))]
    nbytes, label = largest_task(configured(reduction()), images)
    assert nbytes == of_master((100, 50))
    assert label.endswith("master")


def test_the_refusal_gives_both_numbers_and_what_to_do() -> None:
    """One sentence."""
    with pytest.raises(TaskTooLargeError, match=r"2\.00 GB.*0\.80 GB.*--memory"):
        refuse_if_too_large(2 * 10**9, "bias master", 10**9)
    refuse_if_too_large(7 * 10**8, "bias master", 10**9)


def test_a_run_that_cannot_fit_is_refused_and_can_be_forced(
    local: Engine, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is begun; with the check off the same run goes through."""
    monkeypatch.setattr("mirar_dask.engine.memory.BAND_BYTES", 10**15)
    start = Dataset([ImageBatch()])
    with pytest.raises(TaskTooLargeError):
        local.run(configured(reduction()), start, settings_for(raw, tmp_path))
    assert not list(tmp_path.rglob("*.fits"))
    forced = settings_for(raw, tmp_path, check_memory=False)
    result = local.run(configured(reduction()), start, forced)
    assert result.counts()["failed"] == 0
    assert result.counts()["succeeded"] > 0
