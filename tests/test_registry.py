"""Pipelines are found by name, in files and in modules."""

from __future__ import annotations

import pickle
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import cloudpickle
import pytest

from mirar_dask import registry
from mirar_dask.errors import UsageError
from mirar_dask.registry import (
    Registry,
    available_pipelines,
    load_pipeline,
    register_pipeline,
)

SCRIPT = """
import beside_{stem}

class Base:
    def __init_subclass__(cls):
        from mirar_dask.registry import register_pipeline
        register_pipeline(cls)

    def reduce_images(self):
        return beside_{stem}.answer()

class Mine(Base):
    name = "{stem}"

class Child(Mine):
    pass
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """Each test has tables, modules and entry points of its own."""
    monkeypatch.setattr(registry, "pipelines", Registry("pipeline"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    points: list[EntryPoint] = []
    monkeypatch.setattr(registry, "_installed", lambda: points)
    yield points
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        if name in cloudpickle.list_registry_pickle_by_value():
            cloudpickle.unregister_pickle_by_value(module)
        del sys.modules[name]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "instrument.py"
    path.write_text(SCRIPT.format(stem="instrument"))
    (tmp_path / "beside_instrument.py").write_text("def answer():\n    return 42\n")
    return path


def make(name: str, *, module: str = "a", qualname: str = "P") -> type:
    namespace = {"name": name, "__module__": module, "reduce_images": lambda self: None}
    cls = type("P", (), namespace)
    cls.__qualname__ = qualname
    return cls


def test_a_name_gives_its_class():
    """What was registered is found and listed."""
    cls = make("mine")
    register_pipeline(cls)
    assert load_pipeline("mine") is cls
    assert load_pipeline(cls) is cls
    assert available_pipelines() == {"mine": "a:P"}


def test_a_second_class_of_the_same_name_is_an_error_that_names_both():
    """Nothing is overwritten without a word."""
    register_pipeline(make("mine"))
    with pytest.raises(UsageError, match=r"two pipelines are named 'mine': a:P and b:P"):
        register_pipeline(make("mine", module="b"))


def test_a_redefinition_replaces():
    """A notebook's cell that runs again."""
    register_pipeline(make("mine", module="__main__"))
    again = make("mine", module="__main__")
    register_pipeline(again)
    assert load_pipeline("mine") is again


def test_an_inherited_name_registers_nothing():
    """A class without a name of its own is not the one that its parent's name means."""
    parent = make("mine")
    register_pipeline(parent)
    child = type("Child", (parent,), {})
    register_pipeline(child)
    assert load_pipeline("mine") is parent


def test_unknown_names_give_close_matches_and_what_there_is():
    """One sentence with the remedy."""
    register_pipeline(make("imager"))
    register_pipeline(make("winter", module="b"))
    with pytest.raises(UsageError) as info:
        load_pipeline("imagr")
    assert str(info.value) == (
        "no pipeline is named 'imagr'. Did you mean 'imager'? There is: imager, winter."
    )


def test_installed_pipelines_are_found_and_imported_when_they_are_asked_for(clean, script):
    """Entry points of the group `mirar_dask.pipelines`."""
    sys.path.insert(0, str(script.parent))
    clean.append(EntryPoint("instrument", "instrument:Mine", registry.ENTRY_POINT_GROUP))
    assert available_pipelines() == {"instrument": "instrument:Mine"}
    assert "instrument" not in sys.modules
    assert load_pipeline("instrument").__qualname__ == "Mine"
    assert load_pipeline("instrument").__qualname__ == "Mine"


def test_two_installed_pipelines_of_one_name_are_an_error_that_names_both(clean):
    """Also where one is installed and one was defined."""
    clean += [EntryPoint("x", f"{m}:P", registry.ENTRY_POINT_GROUP) for m in ("one", "two")]
    with pytest.raises(UsageError, match=r"two pipelines are named 'x': one:P and two:P"):
        load_pipeline("x")
    del clean[1]
    register_pipeline(make("x"))
    with pytest.raises(UsageError, match=r"two pipelines are named 'x': a:P and one:P"):
        load_pipeline("x")


def test_the_same_pipeline_installed_twice_is_one(clean, script):
    """A package can be on the path twice, as when it is installed and edited."""
    sys.path.insert(0, str(script.parent))
    point = EntryPoint("instrument", "instrument:Mine", registry.ENTRY_POINT_GROUP)
    clean += [point, point]
    assert load_pipeline("instrument").__qualname__ == "Mine"


def test_a_broken_installed_pipeline_says_what_is_broken(clean):
    """The package and the reason."""
    clean.append(EntryPoint("x", "no_such_package:P", registry.ENTRY_POINT_GROUP))
    with pytest.raises(UsageError, match=r"'x' .*No module named 'no_such_package'"):
        load_pipeline("x")


def test_the_installed_package_has_its_own_entry_point():
    """`imager` comes with the package."""
    code = "from mirar_dask.registry import available_pipelines as a; print(a().get('imager'))"
    text = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert text.strip() == "mirar_dask.pipelines.imager:ImagerPipeline"


def test_a_class_of_a_file_is_found(script, monkeypatch):
    """By `file.py:Name`, also relative; the modules beside it can be imported."""
    assert load_pipeline(f"{script}:Mine")().reduce_images() == 42
    monkeypatch.chdir(script.parent)
    assert load_pipeline("instrument.py:Child").__name__ == "Child"


def test_a_file_can_be_loaded_again_after_it_was_changed(script):
    """As one does while writing it."""
    first = load_pipeline(f"{script}:Mine")
    script.write_text(script.read_text().replace("class Child", "class Other"))
    second = load_pipeline(f"{script}:Mine")
    assert first is not second
    assert load_pipeline("instrument") is second
    assert load_pipeline(f"{script}:Other")


def test_a_class_of_a_file_travels_by_value(script, tmp_path):
    """A worker that has neither the file nor the one beside it can use it."""
    text = cloudpickle.dumps(load_pipeline(f"{script}:Child"))
    (tmp_path / "travel.pkl").write_bytes(text)
    script.unlink()
    (tmp_path / "beside_instrument.py").unlink()
    code = (
        f"import pickle; c = pickle.load(open({str(tmp_path / 'travel.pkl')!r}, 'rb'))\n"
        "print(c().reduce_images(), c.name)"
    )
    out = subprocess.check_output([sys.executable, "-c", code], text=True, cwd="/")
    assert out.split() == ["42", "instrument"]


def test_a_class_of_a_module_is_found_and_travels_by_value_if_workers_may_lack_it(script):
    """By `package.module:Name`; installed packages travel by reference."""
    package = script.parent / "mycamera"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "night.py").write_text(SCRIPT.format(stem="instrument").replace('"ins', '"mod'))
    sys.path.insert(0, str(script.parent))
    cls = load_pipeline("mycamera.night:Mine")
    assert cls.__module__ == "mycamera.night"
    assert "mycamera" in cloudpickle.list_registry_pickle_by_value()
    assert b"mycamera.night" in pickle.dumps(cls)


def test_a_file_with_one_pipeline_needs_no_name(tmp_path):
    """With more than one the choices are listed."""
    path = tmp_path / "p.py"
    body = "class {}:\n    def reduce_images(self): ...\n"
    path.write_text(body.format("Only") + "class Thing: ...\n")
    assert load_pipeline(str(path)).__name__ == "Only"
    path.write_text(body.format("One") + body.format("Two"))
    with pytest.raises(UsageError, match=r"defines 2 pipelines \(.*p.py:One, .*p.py:Two\)"):
        load_pipeline(str(path))


def test_a_file_named_like_a_library_module_does_not_stand_in_for_it(tmp_path):
    """A user's `io.py` is not Python's."""
    path = tmp_path / "io.py"
    path.write_text("class P:\n    def reduce_images(self): ...\n")
    assert load_pipeline(f"{path}:P")
    import io

    assert hasattr(io, "BytesIO")


@pytest.mark.parametrize(
    ("text", "spec", "words"),
    [
        ("", "missing.py:P", r"no file .*missing\.py"),
        ("def f(:", "p.py:P", r"p\.py cannot be imported: SyntaxError.*line 1"),
        ("1 / 0", "p.py:P", "cannot be imported: ZeroDivisionError"),
        ("raise SystemExit(3)", "p.py:P", "cannot be imported: SystemExit"),
        ("class Q:\n    def reduce_images(self): ...", "p.py:R", "no pipeline in .* 'R'.*: Q"),
        ("P = 3", "p.py:P", "p.py:P is not a pipeline"),
        ("", "p.py", "defines 0 pipelines"),
        ("", "no.such.module:P", "no module 'no.such.module'"),
    ],
)
def test_what_cannot_be_loaded_is_one_clear_sentence(tmp_path, monkeypatch, text, spec, words):
    """The place and the reason; no broken module stays behind."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.py").write_text(text)
    with pytest.raises(UsageError, match=words) as info:
        load_pipeline(spec)
    assert "\n" not in str(info.value)
    if "cannot be imported" in words:
        assert not [name for name in sys.modules if name.startswith("p_")]
