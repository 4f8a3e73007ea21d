"""A plan as text and as a picture: Mermaid, DOT, and SVG drawn without any other program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mirar_dask.engine.plan import Plan, PlannedStep
    from mirar_dask.processors.base.outcome import Record

_WIDTH, _HEIGHT, _GAP, _MARGIN = 300, 46, 26, 24
_MASTER_WIDTH = 250
_FILL = {"source": "#d7ecd9", "gather": "#fde8c8", "batch": "#e3dcf3", "pass": "#eceff1"}


def _counts(step: PlannedStep) -> str:
    if step.images is None or step.batches is None:
        return "known at run time"
    batches = "1 batch" if step.batches == 1 else f"{step.batches} batches"
    images = "1 image" if step.images == 1 else f"{step.images} images"
    aside = f", {step.set_aside} set aside" if step.set_aside else ""
    return f"{images}, {batches}{aside}"


def to_text(plan: Plan) -> str:
    """Return the plan as lines of text: steps, masters, what is missing, what it needs."""
    head = ("seg", "step", "processor", "works on", "batches", "images", "aside")
    masters = [
        (
            master.step,
            f"{len(master.frames)} frames" if master.made else "there already",
            f"{master.used_by} images",
            master.name,
        )
        for master in plan.masters
    ]
    lines = _columns([head, *plan.rows()], right=(4, 5, 6))
    if masters:
        lines += _columns([("master for", "made of", "used by", "file"), *masters], right=(1, 2))
    missing = [
        f"{short_list(r.names) or 'all'} at {r.step}: {r.reason}" for r in alike(plan.missing)
    ]
    for word, sentences in (
        ("missing", missing),
        ("caveat", plan.caveats),
        ("known at run time only", plan.late),
        ("not resumable", plan.not_resumable),
    ):
        lines += [f"{word}: {sentence}" for sentence in sentences]
    if plan.memory:
        lines.append(f"largest task: {plan.largest}, about {plan.memory / 1e6:.0f} MB of memory")
    return "\n".join(lines)


def alike(records: Iterable[Record]) -> list[Record]:
    """Return one record for those that say the same of different frames.

    A night of a camera that nobody knows has the same fault in every frame; told a frame a line, it
    would push the plan off the screen.
    """
    merged: dict[tuple[object, ...], Record] = {}
    for record in records:
        reason = record.reason
        for name in record.names[:1]:
            reason = reason.replace(f"{name}: ", "")
        key = (record.status, record.step, reason)
        known = merged.get(key)
        names = (*known.names, *record.names) if known else record.names
        merged[key] = replace(known or record, names=names, reason=reason)
    return list(merged.values())


def short_list(names: Sequence[str]) -> str:
    """Return the first of some names, and how many others there are."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}" if names else ""


def _columns(rows: Sequence[Sequence[str]], *, right: Sequence[int]) -> list[str]:
    """Line up cells; the columns named are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def to_mermaid(plan: Plan) -> str:
    """Return a Mermaid flowchart of steps and masters."""
    lines = ["flowchart TD", f'    raw[("{plan.frames} raw frames")]']
    before = "raw"
    for number, step in enumerate(plan.steps):
        node = f"s{number}"
        lines.append(f'    {node}["{_plain(step.name)}<br/>{_counts(step)}"]')
        lines.append(f"    {before} --> {node}")
        before = node
    places = {step.name: number for number, step in enumerate(plan.steps)}
    for number, master in enumerate(plan.masters):
        made = f"{len(master.frames)} frames" if master.made else "made before"
        lines.append(f'    m{number}[/"{_plain(master.step)} master: {made}"/]')
        lines.append(f"    m{number} -.-> s{places[master.step]}")
    return "\n".join(lines) + "\n"


def to_dot(plan: Plan) -> str:
    """Return a DOT graph of steps and masters."""
    lines = ["digraph plan {", "  node [shape=box, fontname=Helvetica];"]
    lines.append(f'  raw [shape=cylinder, label="{plan.frames} raw frames"];')
    before = "raw"
    for number, step in enumerate(plan.steps):
        lines.append(f'  s{number} [label="{_plain(step.name)}\\n{_counts(step)}"];')
        lines.append(f"  {before} -> s{number};")
        before = f"s{number}"
    places = {step.name: number for number, step in enumerate(plan.steps)}
    for number, master in enumerate(plan.masters):
        made = f"{len(master.frames)} frames" if master.made else "made before"
        label = f"{_plain(master.step)} master\\n{made}"
        lines.append(f'  m{number} [shape=parallelogram, label="{label}"];')
        lines.append(f"  m{number} -> s{places[master.step]} [style=dashed];")
    return "\n".join([*lines, "}"]) + "\n"


def to_svg(plan: Plan) -> str:
    """Return a picture: steps from top to bottom, their masters beside them."""
    row = _HEIGHT + _GAP
    height = 2 * _MARGIN + row * (len(plan.steps) + 1)
    width = 2 * _MARGIN + _WIDTH + 60 + _MASTER_WIDTH
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        '<defs><marker id="tip" markerWidth="9" markerHeight="9" refX="8" refY="4.5" '
        'orient="auto"><path d="M0,0 L9,4.5 L0,9 z" fill="#455a64"/></marker></defs>',
        _box(_MARGIN, _MARGIN, _WIDTH, "raw frames", str(plan.frames), "#ffffff"),
    ]
    for number, step in enumerate(plan.steps):
        y = _MARGIN + row * (number + 1)
        x = _MARGIN + _WIDTH / 2
        parts.append(_arrow(x, y - _GAP, x, y))
        fill = _FILL.get(step.form, "#dbe9f6")
        parts.append(_box(_MARGIN, y, _WIDTH, step.name, _counts(step), fill))
        mine = [master for master in plan.masters if master.step == step.name]
        if mine:
            left = _MARGIN + _WIDTH + 60
            made = [f"{len(m.frames)} frames" if m.made else "made before" for m in mine]
            title = f"{len(mine)} {step.name} master" + ("s" if len(mine) > 1 else "")
            shown = ", ".join(made[:3]) + (", ..." if len(made) > 3 else "")
            parts.append(_box(left, y, _MASTER_WIDTH, title, shown, "#fff8e7"))
            parts.append(_arrow(left, y + _HEIGHT / 2, _MARGIN + _WIDTH, y + _HEIGHT / 2))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(x: float, y: float, width: float, title: str, text: str, fill: str) -> str:
    middle = x + width / 2
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{_HEIGHT}" rx="6" fill="{fill}" '
        'stroke="#455a64"/>'
        f'<text x="{middle}" y="{y + 19}" text-anchor="middle" font-weight="bold">'
        f"{escape(title)}</text>"
        f'<text x="{middle}" y="{y + 37}" text-anchor="middle" fill="#37474f">'
        f"{escape(text)}</text>"
    )


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#455a64" marker-end="url(#tip)"/>'
    )


def _plain(text: str) -> str:
    return escape(text).replace('"', "'")
