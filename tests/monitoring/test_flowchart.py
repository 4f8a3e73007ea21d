"""The flowchart of a pipeline, as PNG and SVG."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.image
import numpy as np

from mirar_dask.engine.events import Event
from mirar_dask.monitoring.flowchart import (
    COLOURS,
    flow_steps,
    flowchart_png,
    flowchart_svg,
    write_flowcharts,
)
from mirar_dask.monitoring.state import fold_all

PLAN = {
    "frames": 3,
    "steps": [
        {"name": "load", "processor": "FrameLoader", "description": "Load.", "images": 3,
         "batches": 1},
        {"name": "bias", "processor": "BiasCalibrator", "description": "Subtract " + "a bias " * 30,
         "images": 3, "batches": 1, "set_aside": 0},
        {"name": "flat", "processor": "<script>", "description": "Divide.", "images": None,
         "batches": None, "works_on": "images to sources"},
    ],
    "masters": [{"step": "bias", "name": "b.fits", "frames": ["a", "b"], "made": True}],
}  # fmt: skip


def test_boxes_say_what_a_step_does_and_what_came_of_it(events: list[Event]):
    """What passed and what failed in a run stands in place of what was planned."""
    load, bias, flat = flow_steps(PLAN, fold_all(events))
    assert bias.figures == ("1", "3", "", "") and bias.masters == "1 master of 2 frames"
    assert flat.figures == ("?", "2", "", "1")
    assert flow_steps(PLAN)[2].figures == ("?", "?", "", "")
    assert load.works_on == "images" and flat.works_on == "images to sources"


def test_the_svg_holds_every_step_as_text():
    """It is well formed, whatever a step is called."""
    root = ElementTree.fromstring(flowchart_svg("<night> & more", 3, flow_steps(PLAN)))
    words = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert {"<night> & more", "bias: BiasCalibrator", "flat: <script>"} <= set(words)
    fills = {element.get("fill") for element in root.iter() if element.tag.endswith("rect")}
    assert set(COLOURS.values()) <= fills


def test_the_png_is_a_picture_of_boxes(tmp_path: Path):
    """It grows with the steps, and has their colours."""
    png = flowchart_png("night", 3, flow_steps(PLAN))
    picture = np.rint(matplotlib.image.imread(io.BytesIO(png), format="png")[..., :3] * 255)
    taller = flowchart_png("night", 3, [*flow_steps(PLAN)] * 3)
    assert (
        matplotlib.image.imread(io.BytesIO(taller), format="png").shape[0] > picture.shape[0] * 1.8
    )
    green = np.array([int(COLOURS["images"][k : k + 2], 16) for k in (1, 3, 5)])
    assert (np.abs(picture - green).max(axis=2) < 8).mean() > 0.1
    write_flowcharts(tmp_path / "f.png", "night", PLAN)
    assert (tmp_path / "f.png").read_bytes() == png and (tmp_path / "f.svg").exists()
