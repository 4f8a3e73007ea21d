"""What the package says it offers can be imported."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import mirar_dask

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(mirar_dask.__path__, prefix="mirar_dask.")
    if not info.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_can_be_imported_and_stands_once(name: str):
    """`__all__` of each module names things that are there, each of them once."""
    module = importlib.import_module(name)
    names = list(getattr(module, "__all__", []))
    assert len(names) == len(set(names))
    assert not [public for public in names if not hasattr(module, public)]


@pytest.mark.parametrize("name", MODULES)
def test_an_init_that_offers_names_lists_them_all(name: str):
    """What an `__init__` imports from us without an underscore is in its `__all__`."""
    module = importlib.import_module(name)
    path = Path(str(module.__file__))
    if path.name != "__init__.py":
        return
    offered = {
        alias.asname or alias.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mirar_dask")
        for alias in node.names
    }
    if name == "mirar_dask.cli":  # its commands are imported to be added to the group
        offered = {"app", "main"}
    assert not offered - set(getattr(module, "__all__", []))
