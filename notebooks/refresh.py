"""Runs the notebooks and keeps them with what they showed: python notebooks/refresh.py [NAME ...].

The tests use `executed` and `outline`, so that what is kept is what a run gives.
"""

from __future__ import annotations

import base64
import io
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COLOURS = 128
"""Pictures are kept with so many: a third of the bytes, and nobody sees the difference."""


def executed(path: Path, folder: Path) -> Any:
    """Return a notebook with the outputs of a run in a kernel of its own; it works in a folder."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of Jupyter's own sockets
        NotebookClient(
            notebook,
            timeout=240,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(folder)}},
        ).execute()
    return notebook


def outline(notebook: Any) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Return the source of each code cell, and of what kinds its outputs are."""
    return [
        (cell.source, [kinds_of(output) for output in cell.outputs if not is_bar(output)])
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def is_bar(output: Any) -> bool:
    """Whether an output is a run's progress bar, whose figures are others each time."""
    return "<progress" in output.get("data", {}).get("text/html", "")


def kinds_of(output: Any) -> tuple[str, ...]:
    """Return the type of an output, with its stream's name or its kinds of data."""
    return (output.output_type, *([output.name] if "name" in output else sorted(output.data)))


def tidy(notebook: Any, folder: Path) -> None:
    """Leave out what differs from run to run and machine to machine; make pictures small."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        cell["metadata"] = {k: v for k, v in cell.metadata.items() if k in ("tags",)}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_bar(output)]
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = smaller(data["image/png"])
            for texts, key in ((output, "text"), (data, "text/plain"), (data, "text/html")):
                if key in texts:
                    text = texts[key].replace(f"{folder.resolve()}/", "")
                    texts[key] = re.sub(r" at 0x[0-9a-f]+", "", text)
            if "image/svg+xml" in data:
                data["image/svg+xml"] = re.sub(r">\s+<", "><", data["image/svg+xml"])


def smaller(png: str) -> str:
    """Return a picture with fewer colours."""
    from PIL import Image

    buffer = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode() + "\n"


def main(names: list[str]) -> None:
    """Run notebooks, those named or all, and write them back."""
    import nbformat

    paths = [HERE / f"{Path(name).stem}.ipynb" for name in names] or sorted(HERE.glob("*.ipynb"))
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            notebook = executed(path, Path(folder))
        tidy(notebook, Path(folder))
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
