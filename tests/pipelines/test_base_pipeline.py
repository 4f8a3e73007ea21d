"""Pipelines: configurations, step names, and mirar's `reduce_images` without its defects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io.fits import Header

from mirar_dask.data import Dataset, Image, ImageBatch
from mirar_dask.engine import SerialEngine
from mirar_dask.errors import ErrorReport, ErrorStack, UsageError
from mirar_dask.paths import Roots, use_roots
from mirar_dask.pipelines.base_pipeline import Pipeline
from mirar_dask.processors.base_processor import BaseImageProcessor, PrerequisiteError
from mirar_dask.processors.utils.image_selector import ImageBatcher, ImageSelector
from mirar_dask.testing.faults import FailsOn, FailsOnImage


class AddsOne(BaseImageProcessor):
    """Adds one."""

    base_key = "adds_one"

    def apply_to_image(self, image: Image, context: object = None) -> Image:
        image.set_data(image.get_data() + 1)
        return image


class NeedsSelection(AddsOne):
    """Adds one, after a selection."""

    base_key = "needs_selection"

    def check_prerequisites(self) -> None:
        assert self.preceding_steps is not None
        if not any(isinstance(step, ImageSelector) for step in self.preceding_steps):
            raise PrerequisiteError("an ImageSelector must come before it")


ADDS = AddsOne()


class Toy(Pipeline):
    """A pipeline without files."""

    name = "toy_of_base_pipeline_tests"
    all_pipeline_configurations = {
        "default": [ADDS, ADDS],
        "nothing": [ImageSelector(("TARGET", "nobody"))],
        "fails": [FailsOn("b.fits")],
        "fails_one": [FailsOnImage("b.fits"), ADDS],
        "by_target": [ImageBatcher("TARGET"), NeedsSelection()],
    }


def _image(name: str, **keys: object) -> Image:
    header = Header({"BASENAME": name, "RAWPATH": name, "CALSTEPS": "", "TARGET": "x", **keys})
    return Image(np.zeros((3, 4), np.float32), header)


@pytest.fixture
def dataset() -> Dataset:
    return Dataset([ImageBatch([_image("a.fits"), _image("b.fits")])])


@pytest.fixture(autouse=True)
def output(tmp_path: Path) -> Iterator[Path]:
    """Let products go to a folder of the test."""
    with use_roots(Roots(tmp_path / "in", tmp_path / "out")):
        yield tmp_path / "out" / Toy.name / "tonight"


def test_one_processor_at_two_places_has_the_steps_before_each() -> None:
    """Each place has a copy of its own, with a name of its own."""
    steps = Toy(night="tonight").set_configuration()
    assert [len(step.preceding_steps or []) for step in steps] == [0, 1]
    assert [step.step_name for step in steps] == ["adds_one", "adds_one2"]
    assert ADDS.preceding_steps is None
    assert ADDS.night is None


def test_images_pass_all_steps_and_errors_are_written_even_if_there_are_none(
    dataset: Dataset, output: Path
) -> None:
    """Mirar's pair comes back, and its summaries lie in the night's folder."""
    reduced, errors = Toy(night="tonight").reduce_images(dataset)
    assert [float(image.get_data()[0, 0]) for image in reduced[0]] == [2.0, 2.0]
    assert reduced[0][0]["CALSTEPS"] == "adds_one,adds_one,"
    assert not errors.get_all_reports()
    assert (output / "tonight_error_stack.txt").is_file()
    assert (output / "tonight_error_stack.tsv").is_file()


def test_the_error_path_may_be_text(dataset: Dataset, tmp_path: Path) -> None:
    """The table goes beside it."""
    path = tmp_path / "errors.txt"
    Toy(night="tonight").reduce_images(dataset, str(path), selected_configurations="fails")
    assert "b.fits" in path.read_text()
    assert "b.fits" in path.with_suffix(".tsv").read_text()


def test_a_night_may_be_a_number() -> None:
    """As dates are typed."""
    assert Toy(night=20260314).night_sub_dir.endswith("20260314")


def test_nothing_follows_a_configuration_that_leaves_nothing(dataset: Dataset) -> None:
    """The next one does not begin with what is not there."""
    pipeline = Toy(["nothing", "default"], night="tonight")
    reduced, errors = pipeline.reduce_images(dataset)
    assert len(reduced) == 0
    assert not errors.get_all_reports()
    assert [step.base_key for step in pipeline.get_latest_configuration()] == ["select"]


def test_configurations_follow_one_another(dataset: Dataset) -> None:
    """The second has what the first made."""
    reduced, _ = Toy(night="tonight").reduce_images(
        dataset, selected_configurations=["default", "default"]
    )
    assert float(reduced[0][0].get_data()[0, 0]) == 4.0


def test_without_catching_the_first_error_is_raised_and_ends_the_run(dataset: Dataset) -> None:
    """It is the processor's own exception, and the summary is written all the same."""
    pipeline = Toy(night="tonight")
    with pytest.raises(ValueError, match=r"b\.fits"):
        pipeline.reduce_images(dataset, catch_all_errors=False, selected_configurations="fails")
    assert "b.fits" in pipeline.get_error_output_path().read_text()


def test_an_image_that_fails_costs_itself_only(dataset: Dataset) -> None:
    """In a step that looks at one image at a time."""
    reduced, errors = Toy("fails_one", night="tonight").reduce_images(dataset)
    assert [image.get_name() for image in reduced[0]] == ["a.fits"]
    assert errors.failed_images == ["b.fits"]


def test_a_missing_prerequisite_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """As in mirar: the run may still be what the user wants."""
    Toy(night="tonight").set_configuration("by_target")
    assert "ImageSelector must come before" in caplog.text


def test_an_unknown_configuration_is_named_with_those_that_exist() -> None:
    """And the nearest is suggested."""
    with pytest.raises(UsageError, match=r"'defalt'.*did you mean 'default'.*by_target"):
        Toy(night="tonight").set_configuration("defalt")


def test_a_configuration_that_is_added_belongs_to_one_pipeline_only(dataset: Dataset) -> None:
    """The class, and other nights, keep what they have."""
    pipeline = Toy(night="tonight")
    pipeline.add_configuration("once", [AddsOne()])
    reduced, _ = pipeline.reduce_images(dataset, selected_configurations="once")
    assert float(reduced[0][0].get_data()[0, 0]) == 1.0
    with pytest.raises(UsageError):
        Toy(night="tonight").set_configuration("once")


def test_an_engine_and_a_client_are_one_too_many(dataset: Dataset) -> None:
    """Either says where the work is done."""
    with pytest.raises(UsageError, match="not both"):
        Toy(night="tonight").reduce_images(dataset, engine=SerialEngine(), client=object())  # type: ignore[arg-type]


def test_two_pipelines_of_one_name_are_an_error_that_names_both() -> None:
    """Neither silently takes the other's place."""
    with pytest.raises(UsageError, match="Toy") as caught:

        class Other(Pipeline):
            name = Toy.name

    assert "Other" in str(caught.value)


def test_a_postprocessing_begins_with_the_errors_of_the_reduction():
    """They are written into the headers before any other step, as in mirar."""
    errors = ErrorStack([ErrorReport(ValueError("x"), "step", ["a.fits"])])
    steps = Toy().postprocess_configuration(errors, "default", ["b.fits"])
    assert steps[1:] == [ADDS, ADDS]
    images = steps[0].apply(ImageBatch([_image(f"{name}.fits") for name in "abc"]))
    assert [image.get("PROCFAIL", "") for image in images] == ["ValueError", "", "Not Processed"]
