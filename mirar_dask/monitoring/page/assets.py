"""The scripts and the style of the page, and one HTML file that holds a night with them inside.

The server hands them out, and the night's report is made of them. There is no build step.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

SCRIPTS = ("base.js", "flow.js", "board.js", "charts.js", "tables.js", "detail.js", "night.js")
"""What draws a night, in the order in which it is read; `page.js` fetches it from a server."""
STYLE = "mirar.css"
KINDS = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Files that are handed out, by the end of their names."""


@cache
def asset(name: str) -> bytes:
    """Return one of the files.

    Raises
    ------
    KeyError
        If there is none of that name.
    """
    known = {path.name: path for path in (Path(__file__).parent / "static").iterdir()}
    return known[name].read_bytes()


def style() -> str:
    """Return the style sheet."""
    return asset(STYLE).decode()


def script() -> str:
    """Return all scripts that draw a night, as one."""
    return "\n".join(asset(name).decode() for name in SCRIPTS)


def as_script_data(data: Any) -> str:
    """Return values as JSON that can stand in a script element, whatever is in them."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def night_page(
    data: Mapping[str, Any],
    *,
    title: str,
    before: str = "",
    after: str = "",
    parts: Sequence[str] | None = None,
    more_style: str = "",
    more_script: str = "",
) -> str:
    """Return a whole HTML page of a night, which needs nothing from anywhere.

    Parameters
    ----------
    data : mapping
        What `RunFollower.everything` returns; with ``products`` (files by folder) the flow ends
        with them, with ``logs`` (lines by task) the sheets of tasks show them.
    title : str
        Of the window.
    before, after : str
        HTML to stand before and behind what is drawn, escaped by whoever makes it; direct children
        of a grid of twelve columns, ``<section class="card wide">`` as a rule.
    parts : sequence of str, optional
        Which parts are drawn: head, flow, board, failures, workers, resources, timeline; all by
        default.
    more_style, more_script : str
        Of whoever adds to it; the script runs at the end and finds what was drawn as ``drawn``.
    """
    options = {"parts": list(parts)} if parts is not None else {}
    start = (
        f"{script()}\n"
        "(function () {\n"
        'const data = JSON.parse(document.getElementById("night").textContent);\n'
        'const root = document.getElementById("drawn");\n'
        'document.getElementById("theme").append(mirar.themeButton(() => drawn.redraw()));\n'
        f"const drawn = mirar.still(root, data, {json.dumps(options)});\n"
        f"{more_script}\n"
        "})();"
    )
    digest = base64.b64encode(hashlib.sha256(start.encode()).digest()).decode()
    # Nothing is loaded from anywhere, and no script runs but this one.
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title>",
            f"<style>\n{style()}\n{more_style}\n</style>\n</head>\n<body>",
            '<main class="mirar"><nav class="bar-top" aria-label="page">'
            '<span class="brand">mirar_dask</span><span class="grow"></span>'
            '<span id="theme"></span></nav>',
            f'{before}<div id="drawn" class="mirar drawn"></div>{after}</main>',
            f'<script type="application/json" id="night">{as_script_data(data)}</script>',
            f"<script>{start}</script>\n</body>\n</html>\n",
        )
    )
