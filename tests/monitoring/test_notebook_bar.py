"""In a notebook a run shows a progress bar, in one output, that is full at the end."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from mirar_dask.engine.events import Event
from mirar_dask.monitoring.notebook_bar import NotebookBar, in_notebook
from mirar_dask.testing.night import simulate_night


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Run a night in a kernel: as it is, without a bar, and interrupted; return the three cells."""
    import nbformat
    from nbclient import NotebookClient

    folder = tmp_path_factory.mktemp("notebook")
    simulate_night(folder / "20260314", size=64, n_bias=3, n_dark=3, n_flat=3, n_science=3, seed=2)
    call = "summary = reduce_night('imager', raw='20260314', out='out', cluster='threads'{})"
    broken = (
        "from mirar_dask.engine.driver import _Run\n"
        "def interrupt(self, *args):\n"
        "    raise KeyboardInterrupt\n"
        "_Run._fill = interrupt\n"
    )
    imports = "from mirar_dask.run import reduce_night\n"
    sources = [imports + call.format(""), call.format(", progress=False"), broken + call.format("")]
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    where = {"metadata": {"path": str(folder)}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of Jupyter's own sockets
        client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources=where)
        client.allow_errors = True
        client.execute()
    return list(notebook.cells)


def bars(cell: Any) -> Iterator[str]:
    """Yield the bars that a cell shows."""
    for output in cell.outputs:
        html = output.get("data", {}).get("text/html", "")
        if "<progress" in html:
            yield html


def test_a_run_in_a_notebook_shows_one_bar_that_ends_full(cells: list[Any]) -> None:
    """The bar is replaced, not repeated, and nothing else is printed."""
    (bar,) = bars(cells[0])
    assert 'value="1.0000"' in bar
    assert "imager 20260314" in bar
    assert "frames/s" in bar
    assert "dashboard" not in bar
    assert len(cells[0].outputs) == 1


def test_the_bar_can_be_left_out(cells: list[Any]) -> None:
    """A notebook that is run by a machine may want none."""
    assert not cells[1].outputs


def test_a_run_that_ends_early_leaves_a_bar_that_says_so(cells: list[Any]) -> None:
    """The last picture of it is not one of a run that goes on."""
    (bar,) = bars(cells[2])
    assert "interrupted" in bar


def test_this_test_runs_in_no_notebook() -> None:
    """There the command's own displays are used."""
    assert not in_notebook()


def test_a_front_end_without_html_gets_text(events: list[Event]) -> None:
    """Such as a console that is connected to a kernel; names cannot break the bar."""
    bar = NotebookBar("imager <n1>")
    for event in events:
        bar(event)
    bundle = bar._bundle()
    assert "imager &lt;n1&gt;" in bundle["text/html"]
    assert "failed: b.fits at flat" in bundle["text/plain"]
    assert "100%" in bundle["text/plain"]
