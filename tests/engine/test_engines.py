"""Every engine keeps the one contract."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.data.cache import use_place
from mirar_dask.engine import Engine, RunResult, RunSettings, SerialEngine
from mirar_dask.engine.bench import Bench
from mirar_dask.engine.events import RecordAdded, RunEnded, RunStarted, TaskFinished
from mirar_dask.engine.flow import Flow
from mirar_dask.engine.opening import open_night
from mirar_dask.engine.places import RunPlace
from mirar_dask.engine.tally import STOPPED, any_failed, frame_statuses
from mirar_dask.engine.task import execute
from mirar_dask.engine.types import Bunch
from mirar_dask.errors import ErrorStack
from mirar_dask.paths import current_roots, use_roots
from mirar_dask.processors.base.outcome import error_stack
from mirar_dask.processors.base_processor import BaseProcessor
from mirar_dask.processors.utils.image_loader import ImageLoader
from mirar_dask.testing.engine_contract import Doubles, EngineContract, configured, settings_for


class InlineEngine:
    """Does the tasks of `Flow` one after the other in this process: the driver without Dask."""

    def apply(
        self, processors: Sequence[BaseProcessor], dataset: Dataset
    ) -> tuple[Dataset, ErrorStack]:
        result = self.run(processors, dataset, RunSettings())
        return result.dataset, result.errors

    def run(
        self, steps: Sequence[BaseProcessor], dataset: Dataset, settings: RunSettings
    ) -> RunResult:
        roots = settings.roots or current_roots()
        with RunPlace(settings) as place, use_roots(roots), use_place(place.cache):
            opened = open_night(steps, dataset, settings)
            settings.announce(RunStarted("run", 0.0, (), opened.frames))
            bench = Bench(opened.steps, roots, place.cache, 1 << 30)
            bunches = [Bunch.of(batch) for batch in opened.dataset]
            flow = Flow(opened.steps, bunches, 3, start=opened.next_step)
            while not (settings.fail_fast and any_failed([*opened.records, *flow.records])):
                task = flow.next_task()
                if task is None:
                    break
                outcome = execute(bench, task)
                flow.absorb(task, outcome)
                settings.announce(
                    TaskFinished(task.label, task.number, 0, task.names, "", 0.0, (), 0.0)
                )
                for path in flow.garbage():
                    path.unlink()
            else:
                flow.stop()
            assert flow.finished
            records = [*opened.records, *flow.records]
            if flow.cut_short:
                records.append(STOPPED)
            for record in records:
                settings.announce(RecordAdded(record, 0.0))
            rows = {**opened.rows, **flow.tables()}
            for number, found in rows.items():
                records += opened.steps[number].save_table(found)
            result = place.keep(Dataset([bunch.open() for bunch in flow.results()]))
        frames = frame_statuses(opened.frames, records, result, stopped=flow.cut_short)
        done = RunResult(result, tuple(records), frames, {}, error_stack(records))
        settings.announce(RunEnded(done.counts(), 0.0, 0.0))
        return done


class TestSerial(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return SerialEngine()


class TestSerialWithLittleMemory(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return SerialEngine(memory=10_000)


class TestInline(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return InlineEngine()


class TestThreads(EngineContract):
    @pytest.fixture
    def engine(self, threads: Engine) -> Engine:
        return threads


class TestLocal(EngineContract):
    @pytest.fixture
    def engine(self, local: Engine) -> Engine:
        return local


class TestWithoutCache(EngineContract):
    """Pixels stay in memory and travel with the images."""

    @pytest.fixture
    def engine(self, local: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
        monkeypatch.setenv("USE_MIRAR_CACHE", "false")
        return local

    def test_the_files_behind_the_result_are_the_only_ones_left(  # type: ignore[override]
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """There are none: nothing is written but products."""
        steps = configured([ImageLoader(), Doubles()])
        result = engine.run(steps, Dataset([ImageBatch()]), settings_for(raw, tmp_path / "a"))
        assert all(image.pixels.path is None for image in result.dataset[0])
        assert not (tmp_path / "a").exists()
