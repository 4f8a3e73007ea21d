"""The directives ``layers`` and ``plan``: pictures that are drawn from the code at each build.

``layers`` draws which part of the package imports which; ``plan`` draws the plan of a small
simulated night, by the method that `mirar-dask plan --svg` uses.
"""

from __future__ import annotations

import ast
import tempfile
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
LAYERS: list[tuple[str, tuple[str, ...]]] = [
    ("command line", ("cli", "__main__")),
    ("composition", ("run", "submit", "resuming", "request", "config", "cancel")),
    ("for your own tests", ("testing",)),
    ("do not know each other", ("pipelines", "cluster", "monitoring")),
    ("Dask", ("engine",)),
    ("one operation each", ("processors",)),
    ("images, tables, files", ("data", "io")),
    ("standard library only", ("errors", "paths", "roots", "registry", "atomic")),
]
"""From top to bottom, with what the reader is told of each; the arrows come from the code."""

BOX, HEIGHT, GAP_X, GAP_Y, LEFT = 104, 38, 18, 46, 172


def imports_between_parts() -> Counter[tuple[str, str]]:
    """Count the import statements of each part of the package that name another part."""
    counts: Counter[tuple[str, str]] = Counter()
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            other = name.split(".")[1]
            if other != part:
                counts[part, other] += 1
    return counts


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


@cache
def layers_svg() -> str:
    """Draw the parts in their layers, and a line for each pair of which one imports the other."""
    counts = imports_between_parts()
    width = LEFT + max(len(parts) for _, parts in LAYERS) * (BOX + GAP_X) + 10
    height = len(LAYERS) * (HEIGHT + GAP_Y)
    place: dict[str, tuple[float, float]] = {}
    for row, (_, parts) in enumerate(LAYERS):
        inside = len(parts) * BOX + (len(parts) - 1) * GAP_X
        x = LEFT + (width - LEFT - 10 - inside) / 2
        for number, part in enumerate(parts):
            place[part] = (x + number * (BOX + GAP_X), 10 + row * (HEIGHT + GAP_Y))
    lines, boxes, words = [], [], []
    for (part, other), number in sorted(counts.items()):
        if part not in place or other not in place or place[part][1] >= place[other][1]:
            continue  # within one layer, or a part too small to be drawn
        (x1, y1), (x2, y2) = place[part], place[other]
        x1, y1, x2 = x1 + BOX / 2, y1 + HEIGHT, x2 + BOX / 2
        middle = (y1 + y2) / 2
        stroke = min(0.7 + number / 25, 3.0)
        lines.append(
            f'<path d="M{x1:.0f},{y1} C{x1:.0f},{middle:.0f} {x2:.0f},{middle:.0f} {x2:.0f},{y2}" '
            f'fill="none" stroke="#5b7c99" stroke-opacity="0.45" stroke-width="{stroke:.1f}">'
            f"<title>{part} imports {other}: {number} times</title></path>"
        )
    for row, (word, parts) in enumerate(LAYERS):
        y = 10 + row * (HEIGHT + GAP_Y)
        words.append(f'<text x="4" y="{y + HEIGHT / 2 + 4}" fill="#455a64">{escape(word)}</text>')
        for part in parts:
            x, _ = place[part]
            boxes.append(
                f'<rect x="{x:.0f}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="5" fill="#e8f1f8" '
                f'stroke="#0b5c8a"/><text x="{x + BOX / 2:.0f}" y="{y + HEIGHT / 2 + 4}" '
                f'text-anchor="middle" fill="#102a3c">{escape(part)}</text>'
            )
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
