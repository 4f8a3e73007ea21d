"""The directives ``layers`` and ``plan``: pictures that are drawn from the code at each build.

``layers`` draws which part of the package imports which; ``plan`` draws the plan of a small
simulated night, by the method that `mirar-dask plan --svg` uses.
"""

from __future__ import annotations

import ast
import tempfile
import textwrap
from collections import Counter
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import mirar_dask

PACKAGE = Path(mirar_dask.__file__).parent
COMPOSITION, FOUNDATION = "put together by", "used by all"
LAYERS: list[tuple[str, tuple[str, ...]]] = [
    ("command line", ("cli",)),
    ("composition", (COMPOSITION,)),
    ("for your own tests", ("testing",)),
    ("do not know each other", ("pipelines", "cluster", "monitoring")),
    ("Dask", ("engine",)),
    ("one operation each", ("processors",)),
    ("images, tables, files", ("data", "io")),
    ("standard library only", ("errors", FOUNDATION)),
]
"""Packages from top to bottom, with what the reader is told of each; the two groups of modules are
found by what they import, and so are the lines. Packages that are not named here belong to the
composition."""

BOX, HEIGHT, GAP_X, GAP_Y, LEFT = 112, 38, 24, 46, 172


@cache
def imports_of_parts() -> dict[str, Counter[str]]:
    """Count which parts of the package each part imports."""
    found: dict[str, Counter[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).with_suffix("").parts[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found.setdefault(part, Counter()).update(n.split(".")[1] for n in imported(tree))
    return found


def imports_between_parts() -> Counter[tuple[str, str]]:
    """Count the import statements of each part of the package that name another part."""
    found = imports_of_parts()
    groups = groups_of_modules(found)
    counts: Counter[tuple[str, str]] = Counter()
    for part, others in found.items():
        for other, number in others.items():
            pair = groups.get(part, part), groups.get(other, other)
            if pair[0] != pair[1]:
                counts[pair] += number
    return counts


def groups_of_modules(found: dict[str, Counter[str]]) -> dict[str, str]:
    """Tell of each module that is no package whether it uses packages or is used by them."""
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    modules = {part for part in found if part not in packages and not part.startswith("__")}
    above = {part for part in modules if found[part].keys() & (packages - {"errors"})}
    while more := {part for part in modules - above if found[part].keys() & above}:
        above |= more
    return {part: COMPOSITION if part in above else FOUNDATION for part in modules}


def members(group: str) -> list[str]:
    """Return the names of the modules of a group."""
    groups = groups_of_modules(imports_of_parts())
    return sorted(part for part, mine in groups.items() if mine == group)


def imported(tree: ast.AST) -> Iterator[str]:
    """Name the modules of the package that a module imports, at any place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "mirar_dask":
                names = [f"mirar_dask.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.startswith("mirar_dask."))


def rows() -> list[tuple[str, tuple[str, ...]]]:
    """Return the layers with all packages that there are."""
    named = {part for _, parts in LAYERS for part in parts}
    others = sorted({path.parent.name for path in PACKAGE.glob("*/__init__.py")} - named)
    return [(word, (*parts, *others) if COMPOSITION in parts else parts) for word, parts in LAYERS]


def text_of(part: str) -> list[str]:
    """Return the lines that stand in the box of a part: its name, or the names of its modules."""
    return textwrap.wrap(", ".join(members(part)), 46) or [part]


@cache
def layers_svg() -> str:
    """Draw the parts in their layers, and a line for each pair of which one imports the other."""
    counts = imports_between_parts()
    place: dict[str, tuple[float, float]] = {}
    size: dict[str, tuple[float, float]] = {}
    y = 10.0
    tops = []
    layers = rows()
    for part in (part for _, parts in layers for part in parts):
        lines_in = len(text_of(part))
        size[part] = (BOX if lines_in == 1 else 3 * BOX, max(HEIGHT, 14 + 16 * lines_in))
    spans = [sum(size[part][0] + GAP_X for part in parts) - GAP_X for _, parts in layers]
    width = LEFT + max(spans) + 10
    for (_, parts), span in zip(layers, spans, strict=True):
        tall = max(size[part][1] for part in parts)
        x = LEFT + (width - LEFT - 10 - span) / 2
        for part in parts:
            place[part] = (x, y)
            x += size[part][0] + GAP_X
        tops.append(y + tall / 2)
        y += tall + GAP_Y
    height = y - GAP_Y + 10
    lines, boxes, words = [], [], []
    for (part, other), number in sorted(counts.items()):
        if part not in place or other not in place or place[part][1] >= place[other][1]:
            continue  # within one layer, or a part too small to be drawn
        (x1, y1), (x2, y2) = place[part], place[other]
        x1, y1, x2 = x1 + size[part][0] / 2, y1 + size[part][1], x2 + size[other][0] / 2
        middle = (y1 + y2) / 2
        stroke = min(0.7 + number / 25, 3.0)
        lines.append(
            f'<path d="M{x1:.0f},{y1} C{x1:.0f},{middle:.0f} {x2:.0f},{middle:.0f} {x2:.0f},{y2}" '
            f'fill="none" stroke="#5b7c99" stroke-opacity="0.45" stroke-width="{stroke:.1f}">'
            f"<title>{part} imports {other}: {number} times</title></path>"
        )
    for middle, (word, parts) in zip(tops, layers, strict=True):
        words.append(f'<text x="4" y="{middle + 4:.0f}" fill="#455a64">{escape(word)}</text>')
        for part in parts:
            (x, y), (wide, tall) = place[part], size[part]
            boxes.append(
                f'<rect x="{x:.0f}" y="{y:.0f}" width="{wide:.0f}" height="{tall:.0f}" rx="5" '
                'fill="#e8f1f8" stroke="#0b5c8a"/>'
            )
            shown = text_of(part)
            first = y + tall / 2 + 4 - 8 * (len(shown) - 1)
            boxes += [
                f'<text x="{x + wide / 2:.0f}" y="{first + 16 * number:.0f}" '
                f'text-anchor="middle" fill="#102a3c">{escape(line)}</text>'
                for number, line in enumerate(shown)
            ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        'role="img" aria-label="Layers of the package and the imports between them" '
        f'font-family="sans-serif" font-size="13">{"".join([*lines, *boxes, *words])}</svg>'
    )


@cache
def plan_svg() -> str:
    """Draw the plan of a night of 16 small frames."""
    from mirar_dask.run import plan_night
    from mirar_dask.testing import simulate_night

    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "20260314"
        simulate_night(raw, size=32, n_bias=4, n_dark=2, n_flat=3, n_science=2)
        return plan_night("imager", raw=raw, out=Path(folder) / "out").to_svg()


class Drawing(SphinxDirective):
    """A picture and its caption."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Draw the picture that the directive is named after."""
        svg = {"layers": layers_svg, "plan": plan_svg}[self.name]()
        picture = f'<div class="drawing {self.name}">{svg}</div>'
        return [nodes.raw("", picture, format="html"), *self.parse_content_to_nodes()]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("layers", Drawing)
    app.add_directive("plan", Drawing)
    return {"version": "1", "parallel_read_safe": True}
