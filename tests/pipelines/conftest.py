"""Reducing a folder of frames with `imager`, serially, in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.engine.serial import SerialEngine
from mirar_dask.engine.types import RunResult, RunSettings
from mirar_dask.paths import Roots
from mirar_dask.pipelines.imager import ImagerPipeline
from mirar_dask.processors.base_processor import Status


@dataclass
class Reduced:
    """A reduced night: what the engine says, and where the products are."""

    result: RunResult
    out: Path

    @property
    def counts(self) -> dict[str, int]:
        return {status: n for status, n in self.result.counts().items() if n}

    def caveats(self, step: str = "plan") -> list[str]:
        return [
            record.reason
            for record in self.result.records
            if record.status is Status.CAVEATS and record.step == step
        ]

    def failures(self) -> dict[str, str]:
        """Frame -> reason, of what failed or was blocked."""
        bad = (Status.FAILED, Status.BLOCKED)
        return {n: r.reason for r in self.result.records if r.status in bad for n in r.names}

    def products(self, folder: str) -> list[Path]:
        return sorted((self.out / "imager" / "night" / folder).glob("*.fits"))


Reduce = Callable[..., Reduced]


@pytest.fixture
def reduce(tmp_path: Path) -> Reduce:
    """Reduce a folder: ``reduce(folder, "reduce", instrument=..., settings=...)``."""

    def run(folder: Path, configuration: str = "reduce", **arguments: Any) -> Reduced:
        out = tmp_path / "out"
        pipeline = ImagerPipeline(configuration, night="night", **arguments)
        roots = Roots(raw=tmp_path, output=out, night_raw=folder)
        settings = RunSettings(roots=roots, adapt=pipeline.adapt)
        steps = pipeline.set_configuration(configuration)
        return Reduced(SerialEngine().run(steps, Dataset([ImageBatch()]), settings), out)

    return run
