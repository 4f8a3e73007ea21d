"""Instrument files: what they may say, and what is said about what they may not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mirar_dask.errors import UsageError
from mirar_dask.pipelines.instrument import Instrument, parse_instrument, read_instrument
from mirar_dask.pipelines.recipe import Recipe

FULL = """
name = "Backyard camera"

[header]
exptime = "ITIME"
FILTER = ["WHEEL1+WHEEL2", "BAND"]

[defaults]
TARGET = "survey"
GAIN = 2

[detector]
gain = 1.35
read_noise = 7.5
saturation = 62000

[sections]
overscan = "[1:32,1:2048]"
trim = "[33:2080,1:2048]"

[image_types]
science = ["Himmel", "Stern"]
other = "Wolken"

[groups]
calibration = ["SET-TEMP"]
stack = ["TARGET", "FILTER", "EXPTIME"]

[steps]
gain = true
overscan = false

[steps.flat]
missing = "skip"
method = "sigma_clip"
sigma = 4
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "camera.toml"
    path.write_text(text)
    return path


def test_everything_that_a_file_can_say_is_read(tmp_path: Path):
    """Each table ends in its field, with values of the right types."""
    instrument = read_instrument(write(tmp_path, FULL))
    assert instrument == Instrument(
        name="Backyard camera",
        aliases={"EXPTIME": ("ITIME",), "FILTER": ("WHEEL1+WHEEL2", "BAND")},
        defaults={"TARGET": "survey", "GAIN": 2},
        values={
            "GAIN": 1.35, "RDNOISE": 7.5, "SATURATE": 62000,
            "BIASSEC": "[1:32,1:2048]", "TRIMSEC": "[33:2080,1:2048]",
        },
        image_types={"science": ("Himmel", "Stern"), "other": ("Wolken",)},
        calibration_keys=("SET-TEMP",),
        stack_keys=("TARGET", "FILTER", "EXPTIME"),
        steps={
            "gain": {"enabled": True},
            "overscan": {"enabled": False},
            "flat": {"missing": "skip", "method": "sigma_clip", "sigma": 4.0},
        },
    )  # fmt: skip
    assert isinstance(instrument.steps["flat"]["sigma"], float)


def test_an_empty_file_is_a_camera_of_plain_headers(tmp_path: Path):
    """Nothing has to be said."""
    assert read_instrument(write(tmp_path, "")) == Instrument()


def test_a_file_steers_the_steps(tmp_path: Path):
    """Switched steps, their parameters, header words and groups arrive in the processors."""
    recipe = Recipe(read_instrument(write(tmp_path, FULL)))
    steps = {step.step_name: step.parameters() for step in recipe.build("reduce")}
    assert "gain" in steps
    assert "overscan" not in steps
    assert (steps["flat"]["missing"], steps["flat"]["sigma"]) == ("skip", 4.0)
    assert steps["header"]["aliases"]["EXPTIME"] == ["ITIME"]
    assert "SET-TEMP" in steps["header"]["group_keys"]
    assert recipe.group_keys() == ["TARGET", "FILTER", "EXPTIME"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[heder]", "camera.toml, the file: there is no key 'heder', did you mean 'header'?; known "
         "are name, header, defaults, detector, sections, image_types, groups, steps"),
        ("name = 3", "camera.toml, the file: name = 3, expected a text"),
        ("header = 3", "camera.toml, the file: header = 3, expected a table, [header]"),
        ("[header]\nEXPTIM = 'A'", "camera.toml, table [header]: there is no field 'EXPTIM', did "
         "you mean 'EXPTIME'?; known are OBSCLASS, TARGET"),
        ("[header]\nEXPTIME = 3", "camera.toml, table [header]: EXPTIME = 3, expected a header "
         "keyword or a list of them"),
        ("[header]\nEXPTIME = ['A', 3]", "expected a header keyword or a list of them"),
        ("[header]\nEXPTIME = 'LONGKEYWORD'", "expected a header keyword or a list of them"),
        ("[header]\nGAIN = 'A+B'", "only FILTER and DATE-OBS join by '+'"),
        ("[defaults]\nGAIN = 'high'", "table [defaults]: GAIN = 'high', expected a number"),
        ("[defaults]\nOBSCLASS = 'light'", "OBSCLASS = 'light', expected one of bias, dark, flat"),
        ("[defaults]\nTARGET = true", "TARGET = true, expected a text or a number"),
        ("[detector]\ngian = 1.0", "there is no key 'gian', did you mean 'gain'?"),
        ("[detector]\ngain = 0", "table [detector]: gain = 0, expected a number above 0"),
        ("[sections]\ntrim = '1:10'", "trim = '1:10', expected a section in FITS form"),
        ("[image_types]\nlight = 'x'", "there is no key 'light'"),
        ("[image_types]\nbias = []", "bias = [], expected a word or a list of words"),
        ("[groups]\nstacks = ['FILTER']", "there is no key 'stacks', did you mean 'stack'?"),
        ("[steps]\nflatt = true", "table [steps]: there is no key 'flatt', did you mean 'flat'?"),
        ("[steps]\nflat = 'no'", "flat = 'no', expected true, false or a table [steps.flat]"),
        ("[steps.flat]\nmethd = 'mean'", "table [steps.flat]: there is no key 'methd', did you "
         "mean 'method'?"),
        ("[steps.flat]\nmethod = 'medan'", "table [steps.flat]: method = 'medan', expected "
         "'median', 'mean' or 'sigma_clip'"),
        ("[steps.flat]\nmin_inputs = 2.5", "min_inputs = 2.5, expected a whole number"),
        ("[steps.bias]\nenabled = 'perhaps'", "enabled = 'perhaps', expected true or false"),
        ("[steps.load]\nenabled = false", "table [steps.load]: there is no key 'enabled'"),
        ("steps = [", "is not a TOML file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_sentence(tmp_path: Path, text: str, sentence: str):
    """File, table, key, what was found, what is expected, and what comes near."""
    with pytest.raises(UsageError, match=re.escape(sentence)) as caught:
        read_instrument(write(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert "camera.toml" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    """The reason is given in words."""
    with pytest.raises(UsageError, match=r"camera\.toml cannot be read: No such file"):
        read_instrument(tmp_path / "camera.toml")


def test_a_parsed_document_can_be_given_as_well():
    """For programs that make one."""
    assert parse_instrument({"detector": {"gain": 2.0}}).values == {"GAIN": 2.0}
