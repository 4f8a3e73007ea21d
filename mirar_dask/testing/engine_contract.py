"""What every engine must do, as tests to inherit.

A test class of an engine derives from `EngineContract` and gives it the fixture ``engine``::

    class TestMyEngine(EngineContract):
        @pytest.fixture
        def engine(self):
            return MyEngine()

Each result is compared with that of `SerialEngine`, which is the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mirar_dask.data import DataBatch, Dataset, Image, ImageBatch, cache
from mirar_dask.engine import Engine, RunResult, RunSettings, SerialEngine, Status
from mirar_dask.errors import NoncriticalProcessingError
from mirar_dask.paths import Roots
from mirar_dask.pipelines.base_pipeline import name_steps
from mirar_dask.processors.base_processor import BaseImageProcessor, BaseProcessor
from mirar_dask.processors.bias import BiasCalibrator
from mirar_dask.processors.csvlog import CSVLog
from mirar_dask.processors.dark import DarkCalibrator
from mirar_dask.processors.flat import FlatCalibrator, SkyFlatCalibrator
from mirar_dask.processors.utils.header_annotate import HeaderEditor
from mirar_dask.processors.utils.image_loader import ImageLoader
from mirar_dask.processors.utils.image_rejector import ImageRejector
from mirar_dask.processors.utils.image_saver import ImageSaver
from mirar_dask.processors.utils.image_selector import (
    ImageBatcher,
    ImageDebatcher,
    ImageRebatcher,
    ImageSelector,
)
from mirar_dask.testing.faults import ExitsOn, ExitsOnImage, FailsOn, FailsOnImage

VARYING = ("REDTIME", "REDMACH", "REDUCER", "DATE", "SAVEPATH", "RAWPATH", "CHECKSUM", "DATASUM")
VARYING_PATHS = ("BIASNAME", "DARKNAME", "FLATNAME")
"""Header keys that hold times, hosts and absolute paths."""


class Doubles(BaseImageProcessor):
    """Multiplies a batch by two, in mirar's way."""

    base_key = "doubles"

    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        for image in batch:
            image.set_data(image.get_data() * 2)
            image["DOUBLED"] = True
        return batch


class SplitsByHalf(BaseImageProcessor):
    """Divides every batch in two, in mirar's way: a regroup that nothing is known of."""

    base_key = "halves"

    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        return batch

    def update_dataset(self, dataset: Dataset) -> Dataset:
        """Divide every batch in two."""
        halves = [
            part
            for batch in dataset
            for part in (batch[: len(batch) // 2], batch[len(batch) // 2 :])
        ]
        return Dataset([ImageBatch(list(part)) for part in halves if len(part)])


class WritesLateKey(BaseImageProcessor):
    """Writes a header key that is known at run time only: whether the mean is odd."""

    base_key = "late"
    writes_products = False

    def changes_keys(self) -> frozenset[str] | None:
        """Change PARITY."""
        return frozenset({"PARITY"})

    def apply_to_image(self, image: Image, context: object = None) -> Image:
        """Write the key."""
        image["PARITY"] = int(np.nanmean(image.view_data())) % 2
        return image


class Objects(BaseImageProcessor):
    """Raises a noncritical error after it changed the image."""

    base_key = "objects"

    def apply_to_image(self, image: Image, context: object = None) -> Image:
        """Change the image, then raise."""
        image.set_data(image.get_data() * 0)
        image["OBJECTED"] = True
        raise NoncriticalProcessingError("nothing of importance")


class RefusesToRegroup(BaseImageProcessor):
    """Raises in ``update_dataset``."""

    base_key = "refuses"

    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        return batch

    def update_dataset(self, dataset: Dataset) -> Dataset:
        """Raise."""
        raise RuntimeError("no regrouping today")


class FailsOpenly(FailsOnImage):
    """Fails, and says that it changes no key, so that the steps behind it can be foreseen."""

    base_key = "fails_openly"

    def changes_keys(self) -> frozenset[str] | None:
        """Change nothing."""
        return frozenset()


def _without_light(path: Path) -> str:
    """Set all pixels of a frame to zero; return its name."""
    from astropy.io import fits

    with fits.open(path, mode="update") as hdus:
        hdus[0].data = np.zeros_like(hdus[0].data)
    return path.name


def configured(steps: Sequence[BaseProcessor], night: str = "test/night") -> list[BaseProcessor]:
    """Set steps up as a pipeline does."""
    steps = list(steps)
    for step in steps:
        step.set_night(night)
    name_steps(steps)
    return steps


def reduction() -> list[BaseProcessor]:
    """Steps of a plain reduction: bias, dark, flat by filter, save."""
    return [
        ImageLoader(),
        BiasCalibrator(),
        DarkCalibrator(),
        ImageRejector(("OBSCLASS", ["bias", "dark"])),
        ImageBatcher("FILTER"),
        FlatCalibrator(),
        ImageSelector(("OBSCLASS", "science")),
        ImageSaver("reduced"),
    ]


def settings_for(raw: Path, output: Path, **more: Any) -> RunSettings:
    """Settings of a run on a folder of frames."""
    return RunSettings(roots=Roots(raw, output, night_raw=raw), **more)


def summary(dataset: Dataset) -> list[list[tuple[str, dict[str, str]]]]:
    """Names and headers of a dataset, without what may differ between runs."""
    return [[(image.get_name(), _header(image)) for image in batch] for batch in dataset]


def _header(image: Any) -> dict[str, str]:
    found = {}
    for key in image.keys():
        if key in VARYING or key in ("HISTORY", "COMMENT", ""):
            continue
        value = image[key]
        found[key] = Path(str(value)).name if key in VARYING_PATHS else repr(value)
    return found


def assert_same(result: RunResult, oracle: RunResult) -> None:
    """Assert that two runs gave the same blocks, to the last bit, and the same statuses."""
    assert summary(result.dataset) == summary(oracle.dataset)
    for batch, expected in zip(result.dataset, oracle.dataset, strict=True):
        for image, other in zip(batch, expected, strict=True):
            np.testing.assert_array_equal(image.get_data(), other.get_data())
            assert image.dtype == other.dtype
    assert result.frames == oracle.frames


class EngineContract:
    """Tests of an engine; subclasses give the fixture ``engine``, the suite ``raw``."""

    def both(
        self,
        engine: Engine,
        raw: Path,
        tmp_path: Path,
        make_steps: Callable[[], list[BaseProcessor]],
    ) -> tuple[RunResult, RunResult]:
        """Run the same steps on this engine and on the oracle, into folders of their own."""
        start = Dataset([ImageBatch()])
        result = engine.run(configured(make_steps()), start, settings_for(raw, tmp_path / "a"))
        oracle = SerialEngine().run(
            configured(make_steps()), Dataset([ImageBatch()]), settings_for(raw, tmp_path / "b")
        )
        return result, oracle

    def test_a_reduction_equals_the_serial_one(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """Bias, dark, flat and save give the same pixels, headers and statuses."""
        result, oracle = self.both(engine, raw, tmp_path, reduction)
        assert_same(result, oracle)
        assert not result.errors.get_all_reports()
        assert result.counts()["succeeded"] > 0
        products = sorted(p.name for p in (tmp_path / "a").rglob("reduced/*.fits"))
        assert products == sorted(p.name for p in (tmp_path / "b").rglob("reduced/*.fits"))
        assert len(products) == result.counts()["succeeded"]

    def test_masters_have_the_same_names_and_pixels(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """Each master is written once, under the name that the serial run gives it."""
        from astropy.io import fits

        self.both(engine, raw, tmp_path, reduction)
        mine = sorted((tmp_path / "a").rglob("calibration/*.fits"))
        others = sorted((tmp_path / "b").rglob("calibration/*.fits"))
        assert [p.name for p in mine] == [p.name for p in others]
        assert mine
        for one, other in zip(mine, others, strict=True):
            np.testing.assert_array_equal(fits.getdata(one), fits.getdata(other))

    def test_mirar_style_steps_and_regroups_run_unchanged(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """A batch step, a merge by key and a free regroup give what the serial loop gives."""

        def steps() -> list[BaseProcessor]:
            return [
                ImageLoader(),
                ImageBatcher("OBSCLASS"),
                Doubles(),
                ImageRebatcher("FILTER"),
                HeaderEditor("SEEN", 1),
                SplitsByHalf(),
                Doubles(),
                ImageDebatcher(),
                ImageBatcher(["OBSCLASS", "FILTER"]),
            ]

        result, oracle = self.both(engine, raw, tmp_path, steps)
        assert_same(result, oracle)
        assert len(result.dataset) > 1

    def test_a_key_written_at_run_time_decides_a_regroup(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """Looking ahead ends where a key is not known yet, and the result is the same."""

        def steps() -> list[BaseProcessor]:
            return [
                ImageLoader(),
                WritesLateKey(),
                ImageBatcher("PARITY"),
                ImageRebatcher("FILTER"),
            ]

        assert_same(*self.both(engine, raw, tmp_path, steps))

    def test_images_that_enter_their_own_master_are_calibrated(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """A sky flat is made of the very images to which it is applied."""

        def steps() -> list[BaseProcessor]:
            return [
                ImageLoader(),
                BiasCalibrator(),
                ImageSelector(("OBSCLASS", "science")),
                ImageBatcher("FILTER"),
                SkyFlatCalibrator(),
            ]

        assert_same(*self.both(engine, raw, tmp_path, steps))

    def test_one_bad_image_fails_alone(self, engine: Engine, raw: Path, tmp_path: Path) -> None:
        """In an image step the one that raises is dropped with a report; the rest goes on."""
        bad = sorted(p.name for p in raw.glob("*FIELD*"))[0]

        def steps() -> list[BaseProcessor]:
            return [*reduction()[:2], FailsOnImage(bad), *reduction()[2:]]

        result, oracle = self.both(engine, raw, tmp_path, steps)
        assert_same(result, oracle)
        assert result.frames[bad] is Status.FAILED
        assert [r.names for r in result.records if r.report is not None] == [(bad,)]
        assert bad in result.errors.failed_images

    def test_a_frame_that_fails_before_its_master_is_left_out_of_it(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """The master is made of the frames that are left."""
        bad = sorted(p.name for p in raw.glob("*flat*"))[0]

        def steps() -> list[BaseProcessor]:
            return [*reduction()[:3], FailsOpenly(bad), *reduction()[3:]]

        result, oracle = self.both(engine, raw, tmp_path, steps)
        assert_same(result, oracle)
        assert result.frames[bad] is Status.FAILED

    def test_a_frame_that_cannot_be_scaled_is_left_out_of_its_master_only(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        """A flat without light is named in a caveat, and is itself calibrated."""
        from mirar_dask.testing.night import simulate_night

        night = tmp_path / "night"
        night.mkdir()
        simulate_night(night, size=32, n_bias=0, n_dark=0, n_flat=3, n_science=1, seed=2)
        dark = _without_light(sorted(night.glob("flat_g*"))[0])

        def steps() -> list[BaseProcessor]:
            return [ImageLoader(), ImageBatcher("FILTER"), FlatCalibrator()]

        result, oracle = self.both(engine, night, tmp_path, steps)
        assert_same(result, oracle)
        assert result.frames[dark] is Status.CAVEATS

    def test_a_batch_step_that_fails_drops_its_batch(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """Other batches go on."""
        bad = sorted(p.name for p in raw.glob("*FIELD*"))[0]

        def steps() -> list[BaseProcessor]:
            return [ImageLoader(), ImageBatcher(["OBSCLASS", "FILTER"]), FailsOn(bad)]

        result, oracle = self.both(engine, raw, tmp_path, steps)
        assert_same(result, oracle)
        assert result.counts()["failed"] > 1
        assert result.counts()["succeeded"] > 0

    def test_system_exit_in_a_step_is_an_outcome(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """A processor that calls sys.exit fails; neither the run nor a worker ends."""
        first, second = sorted(p.name for p in raw.glob("*FIELD*"))[:2]

        def steps() -> list[BaseProcessor]:
            return [
                ImageLoader(),
                ExitsOnImage(first),
                ImageBatcher(["OBSCLASS", "FILTER"]),
                ExitsOn(second),
            ]

        result, oracle = self.both(engine, raw, tmp_path, steps)
        assert_same(result, oracle)
        assert result.frames[first] is Status.FAILED
        assert result.frames[second] is Status.FAILED

    def test_a_noncritical_error_keeps_the_image_as_it_was(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """What the step did before it raised is undone; the error is reported."""

        def steps() -> list[BaseProcessor]:
            return [ImageLoader(), Objects()]

        result, oracle = self.both(engine, raw, tmp_path, steps)
        assert_same(result, oracle)
        assert set(result.frames.values()) == {Status.CAVEATS}
        image = result.dataset[0][0]
        assert "OBJECTED" not in image.keys()
        assert np.nanmax(image.get_data()) > 0

    def test_a_regroup_that_raises_is_one_report(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """All batches that entered it fail; the run ends in order."""

        def steps() -> list[BaseProcessor]:
            return [ImageLoader(), ImageBatcher("OBSCLASS"), RefusesToRegroup(), Doubles()]

        result, oracle = self.both(engine, raw, tmp_path, steps)
        assert_same(result, oracle)
        assert len(result.errors.get_all_reports()) == 1
        assert set(result.frames.values()) == {Status.FAILED}

    def test_missing_calibrations_block_by_name(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """Frames without a master are blocked, and it is said by what."""

        def steps() -> list[BaseProcessor]:
            return [
                ImageLoader(),
                ImageRejector(("OBSCLASS", "flat")),
                ImageBatcher("FILTER"),
                FlatCalibrator(),
            ]

        result, oracle = self.both(engine, raw, tmp_path, steps)
        assert result.frames == oracle.frames
        assert result.counts()["blocked"] > 0
        blocked = [r for r in result.records if r.status is Status.BLOCKED]
        assert all("flat" in record.reason for record in blocked)

    def test_a_product_has_one_writer(self, engine: Engine, raw: Path, tmp_path: Path) -> None:
        """An image that would be saved over another one's product fails, naming both."""

        def steps() -> list[BaseProcessor]:
            same = HeaderEditor("BASENAME", "same.fits")
            return [
                ImageLoader(),
                ImageSelector(("OBSCLASS", "science")),
                ImageBatcher("RAWPATH"),
                same,
                ImageSaver("saved"),
            ]

        result, oracle = self.both(engine, raw, tmp_path, steps)
        assert result.frames == oracle.frames
        assert result.counts()["succeeded"] == 1
        first, *others = sorted(p.name for p in raw.glob("*FIELD*"))
        failures = [r for r in result.records if r.report is not None]
        assert sorted(r.names[0] for r in failures) == others
        assert all(first in r.reason for r in failures)

    def test_rows_of_a_table_come_in_the_order_of_the_batches(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """CSVLog writes the same file on every engine."""

        def steps() -> list[BaseProcessor]:
            return [
                ImageLoader(),
                Doubles(),
                ImageBatcher("BASENAME"),
                CSVLog(export_keys=["BASENAME", "OBSCLASS"]),
            ]

        self.both(engine, raw, tmp_path, steps)
        (mine,), (other,) = (list((tmp_path / x).rglob("*.csv")) for x in "ab")
        assert mine.read_text() == other.read_text()
        assert len(mine.read_text().splitlines()) == 1 + len(list(raw.glob("*.fits")))

    def test_the_files_behind_the_result_are_the_only_ones_left(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """They go with the images of the returned dataset."""
        steps = configured([ImageLoader(), BiasCalibrator(), Doubles()])
        result = engine.run(steps, Dataset([ImageBatch()]), settings_for(raw, tmp_path / "a"))
        folder = cache.ensure_cache_dir()
        assert len(list(folder.iterdir())) == sum(len(batch) for batch in result.dataset)
        assert all(np.isfinite(image.get_data()).all() for image in result.dataset[0])
        del result
        assert not list(folder.iterdir())

    def test_a_run_that_keeps_nothing_leaves_no_folder(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """With a cache folder of its own and no results to keep, all of it is removed."""
        folder = tmp_path / "run" / "cache"
        settings = settings_for(raw, tmp_path / "a", cache_dir=folder, keep_results=False)
        result = engine.run(configured(reduction()), Dataset([ImageBatch()]), settings)
        assert result.counts()["succeeded"] > 0
        assert not folder.exists()

    def test_counts_add_up_and_events_tell_the_run(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """Every frame has one status; the stream begins with the start and ends with the end."""
        events: list[Any] = []
        settings = settings_for(raw, tmp_path / "a", listeners=(events.append,))
        result = engine.run(configured(reduction()), Dataset([ImageBatch()]), settings)
        assert sum(result.counts().values()) == len(list(raw.glob("*.fits")))
        kinds = [type(event).__name__ for event in events]
        assert kinds[0] == "RunStarted"
        assert kinds[-1] == "RunEnded"
        assert "TaskFinished" in kinds

    def test_fail_fast_begins_nothing_new(self, engine: Engine, raw: Path, tmp_path: Path) -> None:
        """After the first failure no other step is begun; what it kept back is blocked."""
        bad = sorted(p.name for p in raw.glob("*FIELD*"))[0]
        steps = configured([ImageLoader(), FailsOnImage(bad), Doubles(), ImageSaver("saved")])
        settings = settings_for(raw, tmp_path / "a", fail_fast=True)
        result = engine.run(steps, Dataset([ImageBatch()]), settings)
        everything = {path.name for path in raw.glob("*.fits")}
        assert {name for name, s in result.frames.items() if s is Status.FAILED} == {bad}
        assert {name for name, s in result.frames.items() if s is Status.BLOCKED} == everything - {
            bad
        }
        assert sum(result.counts().values()) == len(everything)
        assert [r.reason for r in result.records if r.step == "run"] == [
            "stopped after the first failure"
        ]
        assert not len(result.dataset)
        assert not list((tmp_path / "a").rglob("saved/*"))

    def test_fail_fast_changes_nothing_where_nothing_fails(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """A run without failures comes to its end, and none of it is called stopped."""
        settings = settings_for(raw, tmp_path / "a", fail_fast=True)
        result = engine.run(configured(reduction()), Dataset([ImageBatch()]), settings)
        assert result.counts()["succeeded"] > 0
        assert result.counts()["blocked"] == 0
        assert not [record for record in result.records if record.step == "run"]

    def test_a_failure_in_the_last_step_stops_nothing(
        self, engine: Engine, raw: Path, tmp_path: Path
    ) -> None:
        """Frames whose batches fail where nothing is left to begin are failed, none blocked."""
        steps = configured([ImageLoader(), FailsOn(sorted(p.name for p in raw.iterdir())[0])])
        settings = settings_for(raw, tmp_path / "a", fail_fast=True)
        result = engine.run(steps, Dataset([ImageBatch()]), settings)
        assert set(result.frames.values()) == {Status.FAILED}
        assert not [record for record in result.records if record.step == "run"]

    def test_an_input_dataset_in_memory_is_reduced_and_left_alone(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        """Without a loader the batches given are what is reduced."""
        from astropy.io.fits import Header

        def image(name: str, level: float) -> Image:
            header = Header({"BASENAME": name, "RAWPATH": name, "CALSTEPS": ""})
            return Image(np.full((4, 5), level, np.float32), header)

        batches = [
            ImageBatch([image(f"{b}{i}.fits", 10 * b + i) for i in range(3)]) for b in (1, 2)
        ]
        steps = configured([Doubles()])
        result = engine.run(steps, Dataset(batches), RunSettings())
        levels = [[float(im.get_data()[0, 0]) for im in batch] for batch in result.dataset]
        assert levels == [[20, 22, 24], [40, 42, 44]]

    def test_an_empty_dataset_comes_back_empty(self, engine: Engine) -> None:
        """Nothing in, nothing out."""
        dataset, errors = engine.apply(configured([Doubles()]), Dataset())
        assert len(dataset) == 0
        assert not errors.get_all_reports()


def names(batch: DataBatch) -> list[str]:
    """Names of the blocks of a batch."""
    return [block.get_name() for block in batch]
