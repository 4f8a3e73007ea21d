"""Nothing that lies on a disk is ever unpickled: whoever could write there would run code as us."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import mirar_dask
from mirar_dask.testing import simulate_night

PACKAGE = Path(mirar_dask.__file__).parent
FROM_MEMORY = {
    "data/headers.py": "headers as they travel between the processes of a run",
    "engine/flights.py": "messages of our own workers, by Dask's connections",
    "engine/plugin.py": "steps, on their way to workers",
    "testing/contracts.py": "whether a processor travels",
}
"""Modules that may load what was pickled, or marshalled, and where it comes from: never a file."""
LOADERS = {
    "pickle",
    "cloudpickle",
    "marshal",
    "shelve",
    "joblib",
    "dill",
    "distributed.protocol.pickle",
}
CALLS = {"read_pickle", "to_pickle", "unsafe_load", "full_load"}


def findings(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in CALLS:
            found.add(node.attr)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if node.value.id in LOADERS and node.attr in ("load", "loads", "Unpickler", "open"):
                found.add(name)
            if name == "yaml.load":
                found.add(name)
        if isinstance(node, ast.ImportFrom) and node.module in LOADERS:
            found |= {f"{node.module}.{alias.name}" for alias in node.names if "load" in alias.name}
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            allowed = not (isinstance(node.value, ast.Constant) and node.value.value is False)
            found |= {"allow_pickle"} if allowed else set()
    return found


def test_only_what_travels_between_processes_is_unpickled() -> None:
    """A module that begins to do so has to say where that comes from."""
    found = {
        str(path.relative_to(PACKAGE)): calls
        for path in PACKAGE.rglob("*.py")
        if (calls := findings(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found.keys() == FROM_MEMORY.keys(), found


AUDITED = """
import sys
from mirar_dask.cli import main
seen = []
def hook(event, arguments):
    if event == "pickle.find_class":
        seen.append(arguments)
sys.addaudithook(hook)
code = main(sys.argv[1:])
assert not seen, seen
sys.exit(code)
"""


def test_a_night_and_its_resumption_unpickle_nothing(tmp_path: Path) -> None:
    """Seen by the interpreter's own hook, in one process; also where pickles lie about."""
    raw, out = tmp_path / "n1", tmp_path / "out"
    simulate_night(raw, size=64, n_bias=3, n_dark=3, n_flat=3, n_science=2, filters=("r",))
    words = ["run", "imager", "--raw", str(raw), "--out", str(out), "--cluster", "threads"]
    subprocess.run([sys.executable, "-m", "mirar_dask", *words], check=True, capture_output=True)
    (run,) = (out / "imager/n1/runs").iterdir()
    # Opening it is enough to write the file "owned".
    bomb = b'cbuiltins\nexec\n(S\'open("owned", "w").close()\'\ntR.'
    for name in ("summary.json", "plan.json", "cache.npy", "state.pkl"):
        (run / name).write_bytes(bomb)
    words[-1] = "serial"
    for command in ([*words, "--skip-existing"], ["report", "last", "--out", str(out)]):
        done = subprocess.run(
            [sys.executable, "-c", AUDITED, *command], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "owned").exists()
