"""Finds pipelines by name: those that were defined, installed, or lie in a file.

`Pipeline` registers its subclasses here; the command line asks `load_pipeline`.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import logging
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mirar_dask.errors.exceptions import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

logger = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "mirar_dask.pipelines"


def where_defined(cls: type[Any]) -> str:
    """Return ``module:qualified name`` of a class."""
    return f"{cls.__module__}:{cls.__qualname__}"


class Registry:
    """Classes of one kind by name; a name is never overwritten without a word.

    Parameters
    ----------
    kind : str
        What the classes are, for messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._classes: dict[str, type[Any]] = {}

    def add(self, name: str, cls: type[Any]) -> None:
        """Register a class; one of the same module and qualified name is replaced.

        That is what happens when a notebook's cell or a script is run again.

        Raises
        ------
        UsageError
            If another class has that name.
        """
        known = self._classes.get(name)
        if known is not None and where_defined(known) != where_defined(cls):
            raise UsageError(
                f"two {self.kind}s are named {name!r}: {where_defined(known)} and "
                f"{where_defined(cls)}; give one of them another name"
            )
        self._classes[name] = cls

    def get(self, name: str) -> type[Any] | None:
        """Return the class of that name, or None."""
        return self._classes.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


pipelines = Registry("pipeline")


def register_pipeline(cls: type[Any]) -> None:
    """Register a pipeline class under the ``name`` in its own body, if it has one.

    An inherited name does not count: it belongs to the parent. (A class that travels by value is
    made on a worker without its body first, and would ask for its parent's name.)
    """
    name = cls.__dict__.get("name")
    if isinstance(name, str) and name:
        pipelines.add(name, cls)


def available_pipelines() -> dict[str, str]:
    """Return where each pipeline that can be loaded by name is defined; imports none."""
    found = {point.name: point.value for point in _installed()}
    found.update({name: where_defined(pipelines._classes[name]) for name in pipelines})
    return dict(sorted(found.items()))


def load_pipeline(spec: str | type[Any]) -> type[Any]:
    """Return a pipeline class.

    Parameters
    ----------
    spec : str or class
        The name of a pipeline that is defined or installed, ``file.py:Name``,
        ``package.module:Name``, or a file or module alone that defines one pipeline. A class is
        returned as it is. What workers may not be able to import is marked to travel by value.

    Raises
    ------
    UsageError
        If there is no such pipeline; the message gives close matches and what there is.
    """
    if isinstance(spec, type):
        return spec
    spec = spec.strip()
    place, _, class_name = spec.rpartition(":") if ":" in spec else (spec, "", "")
    if place.endswith(".py"):
        return _pick(_import_file(Path(place)), class_name, place)
    if ":" in spec or "." in spec:
        return _pick(_import_module(place), class_name, place)
    return _by_name(spec)


def _by_name(name: str) -> type[Any]:
    points = {p.value.replace(" ", ""): p for p in _installed() if p.name == name}
    known = pipelines.get(name)
    claims = [*points, *([where_defined(known)] if known is not None else [])]
    if len(set(claims)) > 1:
        raise UsageError(
            f"two pipelines are named {name!r}: {' and '.join(sorted(set(claims)))}; name the "
            "one that you want as 'package.module:Name', or uninstall the other"
        )
    if known is not None:
        return known
    if not points:
        raise UsageError(_unknown("pipeline", name, available_pipelines()))
    value, point = next(iter(points.items()))
    try:
        found = point.load()
    except Exception as error:
        raise _broken(f"the installed pipeline {name!r} ({value})", error) from error
    return _checked(found, value)


def _installed() -> list[EntryPoint]:
    from importlib.metadata import entry_points  # slow to import

    return list(entry_points(group=ENTRY_POINT_GROUP))


def _import_file(path: Path) -> ModuleType:
    """Import a file as a module of its own name; run again, it replaces the one before."""
    path = path.expanduser().resolve()
    if not path.is_file():
        raise UsageError(f"no file {path}: give a pipeline as 'file.py:Name'")
    # Not the bare stem: a user's `io.py` must not stand in for the library's.
    module_name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)  # for the modules beside it
    before = sys.modules.get(module_name)
    sys.modules[module_name] = module
    importlib.invalidate_caches()
    try:
        # Not by the loader: it takes the compiled form of a file that was changed within the same
        # second to one of the same size.
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    except (Exception, SystemExit) as error:
        if before is None:
            del sys.modules[module_name]
        else:
            sys.modules[module_name] = before
        raise _broken(str(path), error) from error
    _travel_by_value([module, *_modules_in(path.parent)])
    return module


def _import_module(name: str) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise UsageError(
                f"no module {name!r}: install its package or run in the folder that holds it"
            ) from error
        raise _broken(f"module {name!r}", error) from error
    except Exception as error:
        raise _broken(f"module {name!r}", error) from error
    top = sys.modules[name.partition(".")[0]]
    if top.__name__ != "mirar_dask" and not _is_installed(module):
        _travel_by_value([top])  # its submodules go with it
    return module


def _is_installed(module: ModuleType) -> bool:
    """Tell whether a module lies where packages are installed, so that workers have it too."""
    if module.__name__ == "__main__":
        return True  # travels by value anyway
    file = getattr(module, "__file__", None)
    if file is None:
        return True
    folders = [sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages()]
    return any(Path(file).resolve().is_relative_to(Path(f).resolve()) for f in folders if f)


def _modules_in(folder: Path) -> list[ModuleType]:
    """Return the top-level modules and packages that were imported from a folder itself."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or "." in name or name in ("mirar_dask", "__main__"):
            continue
        path = Path(file)
        home = path.parent.parent if path.name == "__init__.py" else path.parent
        if home == folder and not _is_installed(module):
            found.append(module)
    return found


def _travel_by_value(modules: Iterable[ModuleType]) -> None:
    """Make pickles carry these modules' classes whole instead of a reference to import."""
    import cloudpickle

    for module in modules:
        if sys.modules.get(module.__name__) is module:
            cloudpickle.register_pickle_by_value(module)


def _pick(module: ModuleType, class_name: str, place: str) -> type[Any]:
    own = {
        name: value
        for name, value in vars(module).items()
        if _is_pipeline(value) and value.__module__ == module.__name__
    }
    if class_name:
        found = getattr(module, class_name, None)
        if found is None:
            raise UsageError(_unknown(f"pipeline in {place}", class_name, own))
        return _checked(found, f"{place}:{class_name}")
    if len(own) != 1:
        names = ", ".join(f"{place}:{name}" for name in own) or "none"
        raise UsageError(f"{place} defines {len(own)} pipelines ({names}): say which one")
    return next(iter(own.values()))


def _is_pipeline(value: object) -> bool:
    return isinstance(value, type) and callable(getattr(value, "reduce_images", None))


def _checked(found: Any, where: str) -> type[Any]:
    if not _is_pipeline(found):
        raise UsageError(f"{where} is not a pipeline: it must be a subclass of Pipeline")
    return found


def _broken(what: str, error: BaseException) -> UsageError:
    return UsageError(f"{what} cannot be imported: {type(error).__name__}: {error}")


def _unknown(kind: str, name: str, names: Iterable[str]) -> str:
    names = list(names)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"no {kind} is named {name!r}.{hint} There is: {', '.join(names) or 'none'}."
