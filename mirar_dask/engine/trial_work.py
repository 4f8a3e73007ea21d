"""What a worker does to try one image of a lost task: the same as with all, to no effect."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mirar_dask.data import Image, ImageBatch
from mirar_dask.engine.batch_work import do_batch
from mirar_dask.engine.bench import Bench
from mirar_dask.engine.types import (
    BandWork,
    BatchWork,
    Bunch,
    MasterWork,
    Outcome,
    PrepareWork,
    TrialWork,
)
from mirar_dask.paths import use_roots
from mirar_dask.processors.base.core import CONTAINED
from mirar_dask.processors.base_processor import BaseImageProcessor


def do_trial(work: TrialWork, bench: Bench) -> Outcome:
    """Try one image; that it fails, as one image alone may, is as good as that it does not."""
    with suppress(*CONTAINED):
        _try(work, bench)
    return Outcome()


def _try(trial: TrialWork, bench: Bench) -> None:
    work = trial.work
    if isinstance(work, BandWork | MasterWork):
        work.frames[trial.member].open().get_data()
        return
    assert isinstance(work, PrepareWork | BatchWork)
    alone = Bunch((work.batch.members[trial.member],), work.batch.is_sources)
    folder = Path(tempfile.mkdtemp(prefix="mirar_dask-trial-"))
    try:
        with use_roots(replace(bench.roots, output=folder)):
            if isinstance(work, BatchWork):
                done = do_batch(replace(work, batch=alone, checkpoints=False), bench)
                for path in done.files:
                    path.unlink(missing_ok=True)
            else:
                step, batch = bench.steps[work.step], alone.open()
                assert isinstance(step, BaseImageProcessor)
                assert isinstance(batch, ImageBatch)
                made = step.prepare(batch)
                if isinstance(made, Image):
                    made.get_data()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
