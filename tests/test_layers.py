"""Imports point downward only, and what must stay light imports nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mirar_dask

PACKAGE = Path(mirar_dask.__file__).parent

# From the bottom to the top. A part may import the parts of lower rank, and of its own rank only
# where ALONGSIDE says so.
RANKS = {
    "atomic": 0,
    "errors": 0,
    "exit_codes": 0,
    "forkserver": 0,
    "json_files": 0,
    "life": 0,
    "paths": 0,
    "preloaded": 0,
    "redaction": 0,
    "private": 0,
    "registry": 0,
    "roots": 0,
    "steady": 0,
    "data": 1,
    "io": 1,
    "processors": 2,
    "engine": 3,
    "cluster": 4,
    "monitoring": 4,
    "pipelines": 4,
    "testing": 4.5,
    "alarms": 5,
    "config": 5,
    "debris": 5,
    "execution": 5,
    "planning": 5,
    "request": 5,
    "resuming": 5,
    "submit": 5,
    "cancel": 5,
    "run": 5,
    "watching": 5,
    "cli": 6,
    "__main__": 6,
}
ALONGSIDE = {0, 1, 5, 6}
"""Ranks whose parts may know each other; pipelines, cluster and monitoring do not."""

NUMERIC = {"numpy", "astropy", "pandas"}
ALLOWED_AT_MODULE_LEVEL = {0: set[str](), 1: NUMERIC, 2: NUMERIC, 3: NUMERIC, 4: NUMERIC}
"""What each rank may import from outside the standard library when it is imported itself."""

MAY_IMPORT_DASK = {"engine", "cluster", "config"}
MADE_OF_DASK = {
    "cluster/dashboard.py",
    "cluster/keeper.py",
    "cluster/metrics.py",
    "cluster/probe.py",
    "cluster/queues.py",
    "cluster/reach.py",
    "cluster/reviver.py",
    "cluster/ssh.py",
    "engine/deaths.py",
    "engine/driver.py",
    "engine/flights.py",
    "engine/headroom.py",
    "engine/lazy.py",
    "engine/plugin.py",
    "engine/workers.py",
}
"""Modules that are imported only where a cluster or a Dask collection is asked for."""
MADE_OF_TORNADO = {"monitoring/page/handlers.py"}
"""Modules that are imported only where a server answers a browser."""
DASK = {"dask", "distributed"}
HEAVY = {
    *("dask", "distributed", "bokeh", "matplotlib", "pyarrow", "reproject", "sep"),
    *("scipy", "photutils", "tornado"),
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield each imported module with its line; ``from a import b`` may mean the module a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            assert node.module is not None
            if node.module == "mirar_dask":
                yield from ((f"mirar_dask.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module, node.lineno


class WithoutTypeChecking(ast.NodeTransformer):
    """Leaves out what only type checkers read."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse
        return self.generic_visit(node)


class WithoutFunctions(WithoutTypeChecking):
    """Leaves what runs when a module is imported."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        return None

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        return None


def without_type_checking(tree: ast.Module) -> ast.Module:
    return WithoutTypeChecking().visit(tree)


def executed_on_import(tree: ast.Module) -> ast.Module:
    return WithoutFunctions().visit(tree)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_from_layers_below(path: Path):
    """Every import of our own, inside functions too, points to a lower layer."""
    part = part_of(path)
    if part == "__init__":
        return
    rank = RANKS[part]
    wrong = []
    for name, line in imports(ast.parse(path.read_text())):
        if not name.startswith("mirar_dask."):
            continue
        other = name.split(".")[1]
        if other == part or other == "__version__":
            continue
        if other not in RANKS:
            wrong.append(f"line {line}: {name} belongs to no layer")
        elif RANKS[other] > rank or (RANKS[other] == rank and rank not in ALONGSIDE):
            wrong.append(f"line {line}: {part} imports {name}")
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_importing_a_module_imports_only_what_its_layer_may(path: Path):
    """Low layers are standard library, then numpy, astropy and pandas; the rest comes on use."""
    part = part_of(path)
    outside = {
        name.split(".")[0]: line
        for name, line in imports(executed_on_import(ast.parse(path.read_text())))
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("mirar_dask")
    }
    if str(path.relative_to(PACKAGE)) in MADE_OF_DASK | MADE_OF_TORNADO:
        return
    assert not outside.keys() & HEAVY, f"heavy packages are imported where they are used: {outside}"
    allowed = ALLOWED_AT_MODULE_LEVEL.get(RANKS.get(part, 0))
    if allowed is not None:
        assert not outside.keys() - allowed


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_dask_is_known_to_engine_cluster_and_one_method_only(path: Path):
    """Processors, pipelines and data never meet Dask, apart from `Image.to_dask_array`."""
    if part_of(path) in MAY_IMPORT_DASK:
        return
    tree = without_type_checking(ast.parse(path.read_text()))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "to_dask_array":
            node.body = [ast.Pass()]
    assert not {name for name, _ in imports(tree) if name.split(".")[0] in DASK}


def heavy_modules_after(code: str) -> set[str]:
    """Run code in a fresh interpreter and return the heavy packages that it imported."""
    # pandas imports pyarrow by itself where it is there.
    report = f"import sys\nprint(*sorted({HEAVY - {'pyarrow'}!r} & set(sys.modules)), sep=',')"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split(",")) - {""}


@pytest.mark.parametrize("module", ["mirar_dask", "mirar_dask.data", "mirar_dask.run"])
def test_importing_the_data_model_or_the_run_imports_nothing_heavy(module: str):
    """A script that only reads products does not wait for Dask or matplotlib."""
    assert not heavy_modules_after(f"import {module}")


def test_help_of_the_command_line_imports_nothing_heavy():
    """`mirar-dask --help` answers at once: not even numpy is imported."""
    code = "from mirar_dask.cli import main\nassert main(['--help']) == 0\nimport sys\n"
    assert not heavy_modules_after(code + "assert 'numpy' not in sys.modules")
    code = "from mirar_dask.cli import main\nassert main(['run', '--help']) == 0\nimport sys\n"
    assert not heavy_modules_after(code + "assert 'numpy' not in sys.modules")


def test_importing_the_data_model_touches_nothing(tmp_path: Path):
    """No folder is made and no `.env` is read by an import."""
    (tmp_path / ".env").write_text("RAW_DATA_DIR=/from/dotenv\n")
    code = "import os, mirar_dask.data; assert 'RAW_DATA_DIR' not in os.environ"
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    # The older astropy makes a folder of its own.
    assert {path.name for path in tmp_path.iterdir()} - {".astropy"} == {".env"}
