"""The directives ``processors`` and ``processor-table``: what the catalogue knows, as pages.

They read `mirar_dask.processors.catalogue`; no page of a processor is written by hand.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, NumpyDocstring
from sphinx.util.docutils import SphinxDirective

from mirar_dask.processors.base.forms import Form, form_of
from mirar_dask.processors.base_processor import BaseProcessor
from mirar_dask.processors.catalogue import (
    KEYS_SENTENCE,
    call_of,
    first_sentence,
    header_keys_of,
    processor_classes,
    section_of,
    shared_constructors,
)

PACKAGE = "mirar_dask.processors."
LOOKS_AT = {
    Form.SOURCE: "nothing: it reads files",
    Form.PASS: "headers; it puts images into batches",
    Form.IMAGE: "one image at a time",
    Form.GATHER: "some images of its batch for a master, then one image at a time",
    Form.BATCH: "all images or tables of its batch together",
}


def described(cls: type[BaseProcessor]) -> str:
    """Return the entry of a processor as reStructuredText, its heading included."""
    keys = header_keys_of(cls)
    facts = [
        ("import", f"``from {cls.__module__} import {cls.__name__}``"),
        ("short name", f"``{cls.base_key}``"),
        ("looks at", LOOKS_AT[form_of(cls)]),
    ]
    if keys is not None:
        facts += [("reads", keys.reads), ("writes", keys.writes)]
    # The table has that sentence already.
    text = re.sub(rf"{KEYS_SENTENCE.pattern}\s*", "", inspect.cleandoc(cls.__doc__ or ""), count=1)
    first, _, rest = re.sub(r"Notes\n-----\s*\Z", "", text).partition("\n\n")
    parts = [f".. _{cls.__name__}:", title(cls.__name__, "-"), first, table(facts), rst(rest)]
    for parent in shared_constructors(cls)[1:]:
        if section := section_of(parent, "Parameters"):
            heading = f"**Parameters of** `{parent.__name__}`"
            parts += [heading, rst(f"Parameters\n----------\n{section}\n")]
    parts.append(".. code-block:: python\n\n" + indented(call_of(cls)))
    return "\n\n".join(parts) + "\n\n"


def rst(docstring: str) -> str:
    """Return a numpydoc docstring as reStructuredText."""
    text = str(NumpyDocstring(docstring, Config(napoleon_use_param=False), what="class"))
    return text.replace(" -- ", " \N{EN DASH} ")


def table(rows: Iterable[Sequence[str]], *, head: bool = False, widths: str = "15 85") -> str:
    """Return rows of cells as a table; ``head`` makes the first of them its head."""
    lines = [".. list-table::", f"   :widths: {widths}", "   :align: left"]
    lines += ["   :header-rows: 1", ""] if head else [""]
    for row in rows:
        lines += [f"   {'* -' if number == 0 else '  -'} {cell}" for number, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def title(text: str, line: str) -> str:
    """Return a heading."""
    return f"{text}\n{line * len(text)}"


def indented(text: str) -> str:
    """Return a text as the body of a directive."""
    return "\n".join(f"   {line}".rstrip() for line in text.splitlines())


def of_modules(names: list[str]) -> list[type[BaseProcessor]]:
    """Return the processors that modules of the package define, in the order of the modules."""
    found = [
        cls for name in names for cls in processor_classes() if cls.__module__ == PACKAGE + name
    ]
    if not found:
        raise ValueError(f"no processor is defined in any of {', '.join(names)}")
    return found


class Processors(SphinxDirective):
    """The entries of all processors of the modules named, below ``mirar_dask.processors``."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make the entries."""
        names = " ".join(self.content).split()
        shown = self.env.metadata[self.env.docname].setdefault("processors", [])
        found = of_modules(names)
        shown += [cls.__name__ for cls in found]
        text = "".join(described(cls) for cls in found)
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class ProcessorTable(SphinxDirective):
    """One line for each processor of the package, with a link to its entry."""

    def run(self) -> list[nodes.Node]:
        """Make the table."""
        rows = [
            (f":ref:`{cls.__name__} <{cls.__name__}>`", f"``{cls.base_key}``", first_sentence(cls))
            for cls in processor_classes()
        ]
        head = ("processor", "short name", "what it does")
        return self.parse_text_to_nodes(table([head, *rows], head=True, widths="30 20 50"))


def refuse_forgotten(app: Sphinx, env: Any) -> None:
    """Warn, and so end the build, if a processor has no entry on any page."""
    from sphinx.util import logging

    shown = {name for page in env.metadata.values() for name in page.get("processors", [])}
    missing = sorted(cls.__name__ for cls in processor_classes() if cls.__name__ not in shown)
    if missing:
        logging.getLogger(__name__).warning(
            "no page of docs/reference/processors shows %s: add their modules", ", ".join(missing)
        )


def set_dashes(app: Sphinx, kind: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Make the dashes that napoleon writes as two hyphens what they stand for."""
    lines[:] = [line.replace(" -- ", " \N{EN DASH} ") for line in lines]


def made_of_code(app: Sphinx, env: Any, *_: Any) -> list[str]:
    """Name the pages that are made anew at each build, since they show the code as it is."""
    return [name for name in env.found_docs if name.startswith("reference/")] + ["design/index"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("processors", Processors)
    app.add_directive("processor-table", ProcessorTable)
    app.connect("autodoc-process-docstring", set_dashes, priority=900)  # behind napoleon
    app.connect("env-get-outdated", made_of_code)
    app.connect("env-check-consistency", refuse_forgotten)
    return {"version": "1", "parallel_read_safe": True}
