"""Pipelines by their names."""

from __future__ import annotations

from pathlib import Path

import pytest
from astropy.io import fits

from mirar_dask.errors import UsageError
from mirar_dask.pipelines import Pipeline, PipelineConfigError, get_pipeline
from mirar_dask.pipelines.imager import ImagerPipeline
from mirar_dask.testing import simulate_night


def test_a_pipeline_is_made_by_its_name():
    """As in mirar: name, then the constructor's arguments."""
    pipeline = get_pipeline("IMAGER", selected_configurations=["reduce"], night=20240101)
    assert isinstance(pipeline, ImagerPipeline)
    assert (pipeline.selected_configurations, pipeline.night) == (["reduce"], "20240101")
    assert get_pipeline("imager").selected_configurations == ["default"]


def test_a_name_that_is_not_known_is_refused_with_what_there_is():
    """The error is mirar's class, and one that the command line understands."""
    with pytest.raises(PipelineConfigError, match=r"imajer.*imager") as caught:
        get_pipeline("imajer")
    assert isinstance(caught.value, UsageError)


def test_each_configuration_has_steps_of_unique_names():
    """`--set` and reports name steps by them."""
    for name in ImagerPipeline.all_pipeline_configurations:
        steps = ImagerPipeline(name, night="n").set_configuration(name)
        names = [step.step_name for step in steps]
        assert len(set(names)) == len(names)
        assert names[:2] == ["load", "header"]


def test_a_raw_frame_can_be_opened_alone(tmp_path: Path):
    """With mirar's core fields, by the class and by an instrument."""
    simulate_night(tmp_path / "raw", size=32, n_bias=1, n_dark=0, n_flat=0, dialect="maxim")
    path = tmp_path / "raw" / "FIELD1_g_0001.fits"
    fits.setval(path, "IMAGETYP", value="Himmel")
    pipeline: Pipeline = ImagerPipeline()
    with pytest.raises(ValueError, match="Himmel"):
        pipeline.load_raw_image(path)
    toml = tmp_path / "camera.toml"
    toml.write_text("[image_types]\nscience = 'Himmel'\n")
    (image,) = ImagerPipeline(instrument=toml).load_raw_image(path)
    assert (image["OBSCLASS"], image["TARGET"]) == ("science", "FIELD1")
    assert ImagerPipeline._load_raw_image(tmp_path / "raw" / "bias_0001.fits")["TARGET"] == "bias"


def test_the_manual_lists_the_steps_as_they_are():
    """docs/instrument.md is written by hand, its table of steps is compared."""
    from mirar_dask.pipelines.steps import steps_table

    manual = Path(__file__).parents[2] / "docs" / "instrument.md"
    assert steps_table() in manual.read_text()


def test_the_manual_lists_the_keywords_as_they_are():
    """Every keyword that is tried for a field stands in the field's row."""
    from mirar_dask.processors.header_words import ALIASES

    rows = (Path(__file__).parents[2] / "docs" / "instrument.md").read_text().splitlines()
    for field in ("OBSCLASS", "EXPTIME", "TARGET", "FILTER", "GAIN", "DATE-OBS", "RDNOISE"):
        (row,) = [row for row in rows if row.startswith(f"| {field} |")]
        assert ", ".join(ALIASES[field]) in row


def test_the_example_in_the_manual_is_a_valid_instrument_file(tmp_path: Path):
    """Nobody should copy something that is refused."""
    from mirar_dask.pipelines.instrument import read_instrument

    text = (Path(__file__).parents[2] / "docs" / "instrument.md").read_text()
    (tmp_path / "camera.toml").write_text(text.split("```toml\n")[1].split("```")[0])
    assert read_instrument(tmp_path / "camera.toml").name == "SBIG STX-16803"
