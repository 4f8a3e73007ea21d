"""Paths, header keys and the roots that paths are built on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirar_dask import paths
from mirar_dask.errors import UsageError
from mirar_dask.paths import (
    Roots,
    copy_temp_file,
    current_roots,
    get_mask_path,
    get_output_dir,
    get_output_path,
    get_temp_path,
    get_untemp_path,
    get_weight_path,
    raw_img_dir,
    safe_component,
    use_roots,
)


def test_importing_creates_nothing_and_reads_no_env_file(tmp_path: Path):
    """Where mirar makes three folders in the output folder when it is imported."""
    (tmp_path / ".env").write_text("MAX_N_CPU=77\n")
    code = "import mirar_dask.paths as p; print(p.max_n_cpu, p.base_output_dir, p.VARIABLES_LOADED)"
    out = tmp_path / "out"
    env = {**os.environ, "OUTPUT_DATA_DIR": str(out), "MAX_N_CPU": "3"}
    text = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, env=env, text=True)
    assert text.split() == ["3", str(out), "False"]
    assert not out.exists()


def test_importing_needs_the_standard_library_alone():
    """The lowest layer is quick to import, and may be imported anywhere."""
    code = (
        "import sys, mirar_dask.paths, mirar_dask.registry, mirar_dask.errors\n"
        "print(sorted({'numpy', 'astropy', 'pandas', 'dotenv', 'dask'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_roots_come_from_the_environment_when_they_are_asked_for(monkeypatch, tmp_path: Path):
    """A variable that is set after the import counts."""
    monkeypatch.setenv("RAW_DATA_DIR", str(tmp_path / "raw"))
    monkeypatch.setenv("OUTPUT_DATA_DIR", str(tmp_path / "out"))
    assert current_roots() == Roots(tmp_path / "raw", tmp_path / "out")
    assert paths.base_raw_dir == tmp_path / "raw"
    temporary = tmp_path / "out" / "mirar_dask_temp"
    assert temporary == paths.TEMP_DIR
    assert get_output_dir("science", "imager/20260101") == (
        tmp_path / "out" / "imager" / "20260101" / "science"
    )
    assert raw_img_dir("imager/20260101") == tmp_path / "raw" / "imager" / "20260101" / "raw"


def test_roots_are_home_without_variables(monkeypatch):
    """As in mirar."""
    monkeypatch.delenv("RAW_DATA_DIR", raising=False)
    monkeypatch.setenv("OUTPUT_DATA_DIR", "")
    assert current_roots() == Roots(Path.home(), Path.home())


def test_use_roots_wins_inside_its_block_alone(tmp_path: Path):
    """Two runs in two threads do not disturb each other."""
    before = current_roots()
    seen = []
    with use_roots(Roots(tmp_path, tmp_path / "out")):
        assert get_output_path("a.fits", "sub", 20260101) == (
            tmp_path / "out" / "20260101" / "sub" / "a.fits"
        )
        thread = threading.Thread(target=lambda: seen.append(current_roots()))
        thread.start()
        thread.join()
    assert seen == [before]
    assert current_roots() == before


def test_a_folder_that_holds_the_frames_themselves_stands_for_the_nights_raw_folder(tmp_path):
    """``--raw DIR`` names the frames' own folder."""
    with use_roots(Roots(tmp_path / "raw", tmp_path / "out", night_raw=tmp_path / "frames")):
        assert raw_img_dir("imager/x") == tmp_path / "frames"
        assert raw_img_dir("imager/x", img_sub_dir="raw/") == tmp_path / "frames"
        assert raw_img_dir("imager/x", img_sub_dir="mef") == tmp_path / "frames" / "mef"
        assert raw_img_dir("x", raw_dir=tmp_path / "other") == tmp_path / "other" / "x" / "raw"


def test_explicit_folders_win_and_nothing_is_created(tmp_path: Path):
    """Path functions only name folders."""
    folder = get_output_dir("d", "n", output_dir=tmp_path / "o")
    assert folder == tmp_path / "o" / "n" / "d"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "weight", "mask"),
    [
        ("a.fits", "a.weight.fits", "a.mask.fits"),
        ("a.b.fits", "a.b.weight.fits", "a.b.mask.fits"),
        ("a.fits.fz", "a.weight.fits", "a.mask.fits"),
    ],
)
def test_weights_and_masks_lie_beside_their_image(name, weight, mask):
    """Never with a compression suffix that does not hold."""
    assert get_weight_path(Path("/x") / name) == Path("/x") / weight
    assert get_mask_path(Path("/x") / name) == Path("/x") / mask


def test_temporary_names_come_and_go(tmp_path: Path):
    """A name that holds ``temp_`` elsewhere keeps it."""
    path = Path("/x/temp_field_temp_1.fits")
    temporary = get_temp_path(tmp_path, path)
    assert temporary == tmp_path / "temp_temp_field_temp_1.fits"
    assert get_untemp_path(temporary).name == path.name
    (tmp_path / "a").write_text("content")
    copied = copy_temp_file(tmp_path / "new", tmp_path / "a")
    assert copied == tmp_path / "new" / "temp_a"
    assert copied.read_text() == "content"


@pytest.mark.parametrize("name", ["a.fits", "M 31_r-band+2.fits", "NGC7331", "é.fits", "a..b"])
def test_ordinary_names_are_left_as_they_are(name):
    """`safe_component` changes nothing that is fit."""
    assert safe_component(name) == name


@pytest.mark.parametrize(
    "value", ["", ".", "..", "../../etc/passwd", "/abs", "a/b", "a\\b", "a\0b", "a\nb", " ", ".h"]
)
def test_unfit_names_are_made_fit(value, tmp_path: Path):
    """Neither header nor user leads a product out of its folder."""
    name = safe_component(value)
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()
    assert not name.startswith(".")
    (tmp_path / name).write_text("can be written")


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_safe_components_are_safe_and_stay_as_they_are(text):
    """The law: one component, bounded, and doing it twice changes nothing."""
    name = safe_component(text)
    assert name
    assert name not in (".", "..")
    assert Path(name).name == name
    assert len(name.encode()) <= 200
    assert safe_component(name) == name


def test_long_names_are_cut_and_stay_different():
    """The suffix stays, and a hash of the whole keeps two of them apart."""
    one, two = (safe_component("x" * 300 + end + ".weight.fits") for end in "ab")
    assert one != two
    assert one.endswith(".weight.fits")


def test_output_paths_never_leave_their_folder(tmp_path: Path):
    """BASENAME comes from a header."""
    path = get_output_path("../../x.fits", "sub", "night", output_dir=tmp_path)
    assert path.parent == tmp_path / "night" / "sub"


@pytest.mark.parametrize("text", ["0", "-1", "many", "2.5"])
def test_a_wrong_number_of_cores_is_an_error_that_names_the_variable(monkeypatch, text):
    """Instead of a ValueError at import."""
    monkeypatch.setenv("MAX_N_CPU", text)
    with pytest.raises(UsageError, match=f"MAX_N_CPU='{text}'"):
        paths.get_max_n_cpu()


def test_the_number_of_cores_is_half_of_the_machines_by_default(monkeypatch):
    """At least one."""
    monkeypatch.delenv("MAX_N_CPU", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert paths.max_n_cpu == 1
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert paths.max_n_cpu == paths.default_n_cpu == 8
    monkeypatch.setenv("MAX_N_CPU", " 5 ")
    assert paths.max_n_cpu == 5


def test_env_file_is_read_when_asked_for_and_variables_that_are_set_win(tmp_path: Path):
    """The command line asks; flags and the environment come first."""
    (tmp_path / ".env").write_text("RAW_DATA_DIR=/from/file\nOUTPUT_DATA_DIR=/from/file\n")
    code = "import mirar_dask.paths as p; print(p.load_env(), p.base_raw_dir, p.base_output_dir)"
    env = {k: v for k, v in os.environ.items() if k != "RAW_DATA_DIR"}
    env["OUTPUT_DATA_DIR"] = "/from/shell"
    text = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, env=env, text=True)
    assert text.split() == ["True", "/from/file", "/from/shell"]


def test_a_name_that_is_not_there_is_an_attribute_error():
    """Computed names do not hide mistakes."""
    with pytest.raises(AttributeError, match="no attribute 'base_raw_dirr'"):
        paths.base_raw_dirr  # noqa: B018


def test_keys_are_those_of_mirar():
    """A sample of them, and the lists that are built on them."""
    assert paths.core_fields == [
        *("OBSCLASS", "TARGET", "DATE-OBS", "COADDS", "GAIN", "CALSTEPS", "PROCFAIL"),
        *("RAWPATH", "BASENAME", "EXPTIME"),
    ]
    assert paths.core_source_fields == ["ra", "dec", "objectid", "prv_candidates"]
    keys = paths.all_astrometric_keywords
    assert len(keys) == len(set(keys)) == 20 + 80 + 4 + 400 + 8 + 40 + 1
    assert {"CTYPE1", "PV2_39", "AP_9_9", "PROJP0", "FLXSCALE"} <= set(keys)
