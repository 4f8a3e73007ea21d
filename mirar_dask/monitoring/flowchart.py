"""A pipeline's steps drawn as mirar draws them: boxes one below the other, their counts beside.

Green boxes work on images, violet ones make tables of sources of images, red ones work on tables.
Drawn without graphviz and matplotlib, as SVG and, by Pillow, as PNG: a run leaves both.
"""

from __future__ import annotations

import importlib.util
import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from mirar_dask.atomic import replacing
from mirar_dask.monitoring.state import RunState

PNG_SUFFIX = "_processing_flowchart.png"
"""mirar's name of the picture, behind that of the night."""
COLOURS = {"images": "#d5ecd8", "images to sources": "#e2daf3", "sources": "#f8d9d3"}
"""Fill of a box by what its step works on."""
_BORDER, _INK, _SOFT, _BAD, _RULE = "#4d5b64", "#1d2227", "#5a636b", "#b03a00", "#dcd9d0"
_LEFT, _TOP, _WIDTH, _GAP, _COLUMN = 24, 92, 560, 20, 92
_LINE, _PADDING, _WRAP = 17, 9, 74
_COLUMNS = ("batches", "images", "set aside", "failed")
_SCALE = 1.5
"""Pixels of the PNG for each unit."""


@dataclass(frozen=True, slots=True)
class FlowStep:
    """One box."""

    name: str
    processor: str
    description: str
    works_on: str
    figures: tuple[str, ...]
    """What stands beside it, in the order of the columns."""
    masters: str = ""
    """What it makes on the way."""


Shape = tuple[Any, ...]
"""("box", x, y, width, height, fill), ("text", x, y, words, size, colour, bold, anchor) or
("arrow", x, y1, y2)."""


def flow_steps(plan: Mapping[str, Any], state: RunState | None = None) -> list[FlowStep]:
    """Tell what is drawn of a plan.

    Parameters
    ----------
    plan : mapping
        As `Plan.to_json` gives it.
    state : RunState, optional
        Of a run: what passed each step and failed in it stands in place of what was planned.
    """
    return [_step(entry, plan, state) for entry in plan.get("steps") or ()]


def _step(entry: Mapping[str, Any], plan: Mapping[str, Any], state: RunState | None) -> FlowStep:
    name = str(entry.get("name", ""))
    done = state.steps.get(name) if state is not None else None
    images, aside, failed = entry.get("images"), entry.get("set_aside") or 0, 0
    if done is not None:
        passed = done.done + done.skipped
        images = passed or images
        aside, failed = max(aside, done.set_aside), done.failed
    masters = [one for one in plan.get("masters") or () if one.get("step") == name]
    made = sum(len(one.get("frames") or ()) for one in masters)
    words = f"{len(masters)} master{'s' if len(masters) > 1 else ''}" if masters else ""
    words += f" of {made} frames" if made else ", there before" if masters else ""
    texts = (_text(entry.get("batches")), _text(images), _text(aside or ""), _text(failed or ""))
    return FlowStep(
        name,
        str(entry.get("processor", "")),
        str(entry.get("description", "")),
        str(entry.get("works_on", "images")),
        texts,
        words,
    )


def _text(value: Any) -> str:
    return "?" if value is None else str(value)


def flowchart_svg(title: str, frames: int, steps: Sequence[FlowStep]) -> str:
    """Draw a flowchart as SVG."""
    shapes, (width, height) = _drawn(title, frames, steps)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for kind, *values in shapes:
        if kind == "box":
            x, y, w, h, fill = values
            parts.append(
                f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="6" fill="{fill}" '
                f'stroke="{_BORDER}"/>'
            )
        elif kind == "text":
            x, y, words, size, colour, bold, anchor = values
            weight = ' font-weight="bold"' if bold else ""
            parts.append(
                f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" '
                f'text-anchor="{anchor}"{weight}>{escape(words)}</text>'
            )
        else:
            x, y1, y2 = values
            parts.append(
                f'<path d="M{x} {y1}V{y2 - 6}M{x - 4} {y2 - 7}h8l-4 7z" fill="{_BORDER}" '
                f'stroke="{_BORDER}"/>'
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


def flowchart_png(title: str, frames: int, steps: Sequence[FlowStep]) -> bytes:
    """Draw a flowchart as PNG."""
    from PIL import Image, ImageDraw, ImageFont

    shapes, (width, height) = _drawn(title, frames, steps)
    picture = Image.new("RGB", (round(width * _SCALE), round(height * _SCALE)), "white")
    draw = ImageDraw.Draw(picture)
    fonts: dict[tuple[int, bool], Any] = {}
    for kind, *values in shapes:
        if kind == "box":
            x, y, w, h = (v * _SCALE for v in values[:4])
            corners = (x, y, x + w, y + h)
            draw.rounded_rectangle(corners, 6 * _SCALE, values[4], _BORDER, width=round(_SCALE))
        elif kind == "text":
            x, y, words, size, colour, bold, anchor = values
            if (size, bold) not in fonts:
                fonts[size, bold] = ImageFont.truetype(_font(bold), round(size * _SCALE * 0.93))
            letter = {"start": "ls", "middle": "ms", "end": "rs"}[anchor]
            draw.text((x * _SCALE, y * _SCALE), words, colour, fonts[size, bold], anchor=letter)
        else:
            x, y1, y2 = (v * _SCALE for v in values)
            draw.line((x, y1, x, y2 - 6 * _SCALE), _BORDER, round(_SCALE))
            half, tall = 4 * _SCALE, 7 * _SCALE
            draw.polygon(((x - half, y2 - tall), (x + half, y2 - tall), (x, y2)), _BORDER)
    file = io.BytesIO()
    picture.quantize(48, Image.Quantize.FASTOCTREE).save(file, "PNG", compress_level=3)
    return file.getvalue()


def _font(bold: bool) -> Path:
    """Return the file of a font that comes with matplotlib, which is not imported for that."""
    found = importlib.util.find_spec("matplotlib")
    assert found is not None and found.origin is not None
    name = f"DejaVuSans{'-Bold' if bold else ''}.ttf"
    return Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / name


def _drawn(
    title: str, frames: int, steps: Sequence[FlowStep]
) -> tuple[list[Shape], tuple[int, int]]:
    """Lay everything out; return the shapes and the size."""
    shapes: list[Shape] = [("text", _LEFT, 34, title, 20, _INK, True, "start")]
    shapes += _legend()
    right = _LEFT + _WIDTH
    for number, name in enumerate(_COLUMNS):
        x = right + _COLUMN * (number + 0.75)
        shapes.append(("text", x, _TOP - 12, name, 12, _SOFT, False, "middle"))
    start = FlowStep("raw frames", "", "", "", ("1", str(frames), "", ""))
    y = _TOP
    for number, step in enumerate([start, *steps]):
        lines = textwrap.wrap(step.description, _WRAP)[:3]
        height = 2 * _PADDING + _LINE * (1 + len(lines))
        if number:
            shapes.append(("arrow", _LEFT + _WIDTH / 2, y - _GAP, y))
        shapes += _box(step, y, height, lines)
        y += height + _GAP
    return shapes, (right + _COLUMN * len(_COLUMNS) + _LEFT, y - _GAP + _LEFT)


def _box(step: FlowStep, y: int, height: int, lines: Sequence[str]) -> Iterator[Shape]:
    yield ("box", _LEFT, y, _WIDTH, height, COLOURS.get(step.works_on, "#ffffff"))
    at = y + _PADDING + 13
    name = f"{step.name}: {step.processor}" if step.processor else step.name
    yield ("text", _LEFT + 14, at, name[:_WRAP], 14, _INK, True, "start")
    if step.masters:
        yield ("text", _LEFT + _WIDTH - 14, at, step.masters, 12, _SOFT, False, "end")
    for number, line in enumerate(lines, start=1):
        yield ("text", _LEFT + 14, at + _LINE * number, line, 13, _SOFT, False, "start")
    for number, words in enumerate(step.figures):
        colour = _BAD if _COLUMNS[number] == "failed" else _INK
        x = _LEFT + _WIDTH + _COLUMN * (number + 0.75)
        yield ("text", x, y + height / 2 + 5, words, 14, colour, False, "middle")


def _legend() -> Iterator[Shape]:
    x = _LEFT
    words_of = ("works on images", "makes tables of sources", "works on tables")
    for words, colour in zip(words_of, COLOURS.values(), strict=True):
        yield ("box", x, 50, 14, 14, colour)
        yield ("text", x + 20, 62, words, 12, _SOFT, False, "start")
        x += 190


def write_flowcharts(
    path: Path, title: str, plan: Mapping[str, Any], state: RunState | None = None
) -> None:
    """Write the flowchart of a run as PNG, and as SVG beside it.

    Parameters
    ----------
    path : Path
        The PNG.
    title : str
        What stands above it.
    plan : mapping
        As `Plan.to_json` gives it.
    state : RunState, optional
        How far the run is.

    Raises
    ------
    WriteError
        If it cannot be written.
    """
    steps, frames = flow_steps(plan, state), int(plan.get("frames") or 0)
    with replacing(path.with_suffix(".svg")) as temporary:
        temporary.write_text(flowchart_svg(title, frames, steps), encoding="utf-8")
    with replacing(path) as temporary:
        temporary.write_bytes(flowchart_png(title, frames, steps))
