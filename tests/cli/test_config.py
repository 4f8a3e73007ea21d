"""Settings: folders from flags and environment, parameters of steps, checks before the work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mirar_dask.config import (
    NightSettings,
    check_output_folder,
    check_raw_folder,
    parse_parameters,
    resolve_folders,
)
from mirar_dask.errors import NothingToDoError, UsageError


def folders(tmp_path: Path, environment: dict[str, str] | None = None, **settings: object):
    return resolve_folders(
        NightSettings(**settings),  # type: ignore[arg-type]
        pipeline="imager",
        environment=environment or {},
        home=tmp_path / "home",
    )


def test_the_folder_of_frames_names_the_night(tmp_path: Path):
    """With --raw alone the night is called as its folder."""
    found = folders(tmp_path, raw=tmp_path / "20240615", out=tmp_path / "out")
    assert found.night == "20240615"
    assert found.raw == tmp_path / "20240615"
    assert found.output == tmp_path / "out/imager/20240615"


def test_a_folder_named_raw_leaves_the_name_to_its_parent(tmp_path: Path):
    """In mirar's layout every such folder is called raw."""
    assert folders(tmp_path, raw=tmp_path / "20240615" / "raw").night == "20240615"


def test_a_relative_folder_is_taken_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """`--raw .` has a name too."""
    (tmp_path / "night7").mkdir()
    monkeypatch.chdir(tmp_path / "night7")
    found = folders(tmp_path, raw=Path())
    assert (found.night, found.raw) == ("night7", tmp_path / "night7")


def test_a_night_by_name_lies_below_the_raw_root_of_the_environment(tmp_path: Path):
    """Without --raw the layout is mirar's."""
    environment = {"RAW_DATA_DIR": str(tmp_path / "data"), "OUTPUT_DATA_DIR": str(tmp_path / "o")}
    found = folders(tmp_path, environment, night="20240615")
    assert found.raw == tmp_path / "data/imager/20240615/raw"
    assert found.output == tmp_path / "o/imager/20240615"


def test_flags_win_over_the_environment(tmp_path: Path):
    """OUTPUT_DATA_DIR counts only without --out, RAW_DATA_DIR only without --raw."""
    environment = {"RAW_DATA_DIR": "/nowhere", "OUTPUT_DATA_DIR": "/nowhere"}
    found = folders(tmp_path, environment, raw=tmp_path / "n", out=tmp_path / "out")
    assert found.raw == tmp_path / "n"
    assert found.output == tmp_path / "out/imager/n"


def test_without_environment_the_home_folder_is_the_root(tmp_path: Path):
    """As in mirar."""
    assert folders(tmp_path, night="n").output == tmp_path / "home/imager/n"


def test_a_name_of_a_night_never_leads_out_of_the_output_folder(tmp_path: Path):
    """`--night ../../x` stays below --out."""
    found = folders(tmp_path, raw=tmp_path, night="../../x", out=tmp_path / "out")
    assert found.output.parent == tmp_path / "out/imager"


def test_no_night_at_all_is_answered_with_the_two_ways_to_name_one(tmp_path: Path):
    """The message says --raw and --night."""
    with pytest.raises(UsageError, match=r"--raw DIR.*--night NIGHT"):
        folders(tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("flat.missing=skip", "skip"),
        ("stack.sigma = 2.5 ", "2.5"),
        ("select.value=a=b", "a=b"),
        ("select.value=", ""),
    ],
)
def test_a_parameter_is_the_text_behind_the_first_equals_sign(text: str, value: str):
    """The pipeline, which knows the parameter's type, makes a value of it."""
    assert list(parse_parameters([text]).values()) == [value]


@pytest.mark.parametrize("text", ["flat", "flat.missing", "missing=skip", ".x=1", "flat.=1", ""])
def test_a_parameter_of_another_form_is_refused_with_an_example(text: str):
    """The message shows the form."""
    with pytest.raises(UsageError, match=r"step\.parameter=value"):
        parse_parameters([text])


def test_a_parameter_given_twice_is_refused():
    """Neither of two values wins in silence."""
    with pytest.raises(UsageError, match=r"flat\.missing twice"):
        parse_parameters(["flat.missing=skip", "flat.missing=fail"])


def test_a_raw_folder_that_is_not_there_is_named_with_the_remedy(tmp_path: Path):
    """By --raw and by --night the remedy differs."""
    with pytest.raises(UsageError, match=r"there is no folder .*/gone; check --raw"):
        check_raw_folder(folders(tmp_path, raw=tmp_path / "gone"))
    with pytest.raises(UsageError, match="RAW_DATA_DIR"):
        check_raw_folder(folders(tmp_path, night="gone"))


def test_a_file_in_place_of_the_raw_folder_is_named(tmp_path: Path):
    """A single frame was given where its folder is wanted."""
    (tmp_path / "frame.fits").write_bytes(b"x")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        check_raw_folder(folders(tmp_path, raw=tmp_path / "frame.fits"))


def test_an_empty_raw_folder_is_nothing_to_do(tmp_path: Path):
    """That is exit code 3, not a wrong path."""
    (tmp_path / "night").mkdir()
    with pytest.raises(NothingToDoError, match="is empty"):
        check_raw_folder(folders(tmp_path, raw=tmp_path / "night"))


def test_the_output_folder_is_made_and_nothing_is_left_in_it(tmp_path: Path):
    """The proof that it can be written leaves no file."""
    found = folders(tmp_path, night="n", out=tmp_path / "out")
    check_output_folder(found)
    assert list(found.output.iterdir()) == []


def test_an_output_folder_below_a_file_is_refused(tmp_path: Path):
    """What cannot be written is found before the work, whatever the reason."""
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match=r"cannot be written .*--out"):
        check_output_folder(folders(tmp_path, night="n", out=tmp_path / "out"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_without_permission_is_refused(tmp_path: Path):
    """The message names the folder and --out."""
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(UsageError, match=r"cannot be written .*--out"):
        check_output_folder(folders(tmp_path, night="n", out=tmp_path / "out"))
