"""The notebooks run from top to bottom, and the ones in the repository show their pictures."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_in_a_clean_folder(path: Path, tmp_path: Path):
    """Every cell, in order, in a kernel of its own; what it writes goes below its folder."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(tmp_path)}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of Jupyter's own sockets
        NotebookClient(notebook, timeout=240, kernel_name="python3", resources=folder).execute()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.stem]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_as_it_was_run(path: Path):
    """With its outputs, in order, without an error and without anybody's folders."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    for output in outputs:
        text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
        assert not re.search(r"(?:^|[\s'\"(=])/\w+/\w", text), "an absolute path"
        assert "\x1b" not in text
    assert path.stat().st_size < 500_000
