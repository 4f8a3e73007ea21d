"""The directive ``header-keys``: every key that processors write, who writes it and who reads it.

Made of the docstrings by `mirar_dask.processors.catalogue`; the meanings stand on the page itself.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from docutils import nodes
from processor_pages import table
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from mirar_dask.processors.base.history import HISTORY_KEYS
from mirar_dask.processors.catalogue import header_keys_of, processor_classes

logger = logging.getLogger(__name__)


def writers_and_readers() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the processors that write, and that read, each key."""
    writers, readers = defaultdict(list), defaultdict(list)
    for cls in processor_classes():
        keys = header_keys_of(cls)
        for key in keys.written if keys else ():
            writers[key].append(cls.__name__)
        for key in keys.read if keys else ():
            readers[key].append(cls.__name__)
    return writers, readers


class HeaderKeysTable(SphinxDirective):
    """A table of keys; its content has one line ``KEY: meaning`` for each, in order."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make the table."""
        meanings = dict(line.split(": ", 1) for line in self.content if line.strip())
        writers, readers = writers_and_readers()
        self.env.metadata[self.env.docname].setdefault("header keys", []).extend(meanings)
        rows = [
            (f"``{key}``", meaning, links(writers[key]), links(readers[key]))
            for key, meaning in meanings.items()
        ]
        head = ("key", "meaning", "written by", "read by")
        return self.parse_text_to_nodes(table([head, *rows], head=True, widths="13 43 22 22"))


def links(names: list[str]) -> str:
    """Return links to the entries of processors; premade masters do as their parents do."""
    shown = [name for name in names if not re.match(r"Master[A-Z]", name)]
    return ", ".join(f":ref:`{name} <{name}>`" for name in shown)


def refuse_forgotten(app: Sphinx, env: Any) -> None:
    """Warn, and so end the build, if a key that a processor names has no meaning here."""
    told = {key for page in env.metadata.values() for key in page.get("header keys", [])}
    known = set().union(*writers_and_readers())
    if missing := sorted(known - told - set(HISTORY_KEYS)):
        logger.warning("docs/reference/header_keys.rst says nothing of %s", ", ".join(missing))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("header-keys", HeaderKeysTable)
    app.connect("env-check-consistency", refuse_forgotten)
    return {"version": "1", "parallel_read_safe": True}
