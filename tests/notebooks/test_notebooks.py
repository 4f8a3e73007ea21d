"""The notebooks run from top to bottom, and are kept as a run leaves them, with their pictures."""

from __future__ import annotations

import getpass
import importlib.util
import re
import socket
from pathlib import Path
from types import ModuleType

import pytest

from mirar_dask.testing import simulate_night

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
QUICK = {"own_camera"}
"""Those that the default suite runs; the others are part of make test-all."""


@pytest.fixture(scope="module")
def refresh() -> ModuleType:
    """The script that runs notebooks and keeps them."""
    spec = importlib.util.spec_from_file_location("refresh", FOLDER / "refresh.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path: Path):
    import nbformat

    return nbformat.read(path, as_version=4)


def test_all_notebooks_are_found():
    """Those that the documentation lists."""
    assert {path.stem for path in NOTEBOOKS} == {
        "first_night",
        "processor_and_pipeline",
        "own_camera",
        "scaling_out",
        "coming_from_mirar",
    }


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[] if path.stem in QUICK else [pytest.mark.slow], id=path.stem)
        for path in NOTEBOOKS
    ],
)
def test_a_notebook_is_kept_as_a_run_in_a_clean_folder_leaves_it(
    path: Path, tmp_path: Path, refresh: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    """Cells, and kinds of outputs, are those of a fresh run; all that it writes is one folder."""
    monkeypatch.delenv("MIRAR_DASK_FRAMES", raising=False)
    fresh = refresh.executed(path, tmp_path)
    assert refresh.outline(fresh) == refresh.outline(read(path))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.stem]


@pytest.mark.slow
def test_the_notebook_on_cameras_takes_frames_of_the_readers_own(
    tmp_path: Path, refresh: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    """A folder named by MIRAR_DASK_FRAMES, with headers that need no TOML."""
    raw = tmp_path / "raw" / "n1"
    simulate_night(raw, size=96, n_science=3, n_stars=30, filters=["r"], dialect="lco")
    before = sorted(path.name for path in raw.iterdir())
    monkeypatch.setenv("MIRAR_DASK_FRAMES", str(raw))
    refresh.executed(FOLDER / "own_camera.ipynb", tmp_path)
    assert len(list((tmp_path / "own_camera/imager/n1/reduced").glob("*.fits"))) == 3
    assert sorted(path.name for path in raw.iterdir()) == before


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_nothing_of_the_machine_that_ran_it(path: Path):
    """All cells in order, no error, pictures, no folder, host or user, and few bytes."""
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    for output in outputs:
        texts = [v for k, v in output.get("data", {}).items() if not k.startswith("image/")]
        text = "".join([output.get("text", ""), *texts])
        assert not re.search(r"(?:^|[\s'\"(=])/(?:home|root|tmp|work|usr|Users)/", text)
        assert not re.search(r" at 0x[0-9a-f]{6}|127\.0\.0\.1:[1-9]|\x1b", text)
        words = set(re.findall(r"[\w.-]+", text))
        assert socket.gethostname() not in words
        assert getpass.getuser() not in words
    assert path.stat().st_size < 400_000
