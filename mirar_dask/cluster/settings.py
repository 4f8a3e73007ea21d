"""Where a ClusterSpec comes from: flags, else environment, else a TOML file, else defaults."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mirar_dask.cluster.kinds import KINDS
from mirar_dask.cluster.spec import ClusterSpec, flag_of, kind_of
from mirar_dask.errors import UsageError

VARIABLE = "MIRAR_DASK_CLUSTER"
"""Environment variable for ``--cluster``; with ``_WORKERS`` and so on for the other options."""
CONFIG_VARIABLE = f"{VARIABLE}_CONFIG"
"""Environment variable for ``--cluster-config``."""
SETTABLE = tuple(f.name for f in fields(ClusterSpec) if f.name not in ("kind", "target", "need"))
_WORDS = {"1": True, "true": True, "yes": True, "on": True}
_WORDS |= {"0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Resolved:
    """A specification, and who said what."""

    spec: ClusterSpec
    origins: Mapping[str, str]
    """Where the value of each field was found."""
    unused: Mapping[str, str]
    """What was said of other kinds than the one that was chosen, and where."""


@dataclass(frozen=True)
class _Source:
    values: Mapping[str, Any]
    origin: Mapping[str, str]


def resolve(
    flags: Mapping[str, Any],
    *,
    environment: Mapping[str, str],
    config: Path | str | None = None,
    instrument: Path | None = None,
) -> Resolved:
    """Decide where tasks are done, from everything that says something about it.

    Parameters
    ----------
    flags : mapping
        What the command line (or a notebook) said, ``kind`` being what ``--cluster`` was given;
        None for what was not said.
    environment : mapping
        Environment variables.
    config : Path, optional
        TOML file with a table ``[cluster]``; else what ``MIRAR_DASK_CLUSTER_CONFIG`` names.
    instrument : Path, optional
        TOML file that may have such a table; asked last.

    Raises
    ------
    UsageError
        If a file is not there or not TOML, an option is unknown or makes no sense, or was given
        to a kind that cannot use it.
    """
    sources = [_of_flags(flags), _of_environment(environment)]
    path = config or environment.get(CONFIG_VARIABLE)
    if path:
        sources.append(_of_file(Path(path).expanduser()))
    if instrument is not None:
        sources += _of_instrument(instrument)
    kind, rank = "local", len(sources)
    origins: dict[str, str] = {"kind": "default"}
    for number, source in enumerate(sources):
        if source.values.get("kind") is not None:
            kind, rank = str(source.values["kind"]), number
            origins["kind"] = source.origin["kind"]
            break
    uses = KINDS[kind_of(kind.strip())[0]].uses
    chosen: dict[str, Any] = {}
    unused: dict[str, str] = {}
    for number, source in enumerate(sources):
        for name, value in source.values.items():
            if name == "kind" or value is None or value in ((), {}) or name in chosen:
                continue
            number_known = {"workers", "adapt"} & chosen.keys()
            if name in ("workers", "adapt") and number_known:
                if number == _rank_of(sources, chosen):
                    chosen[name] = value  # both in one place: the specification will refuse
                continue
            # What a file says of its own kind is no mistake of who chose another kind today.
            other = number > rank and source.values.get("kind", kind) != kind
            if other or (name not in uses and number > rank):
                unused[name] = source.origin[name]
                continue
            chosen[name] = value
            origins[name] = source.origin[name]
    return Resolved(ClusterSpec.parse(kind, **chosen), origins, unused)


def _rank_of(sources: list[_Source], chosen: Mapping[str, Any]) -> int:
    name = "workers" if "workers" in chosen else "adapt"
    return next(i for i, s in enumerate(sources) if s.values.get(name) is not None)


def _of_flags(flags: Mapping[str, Any]) -> _Source:
    origin = {name: flag_of(name) for name in flags} | {"kind": "--cluster"}
    return _Source(flags, origin)


def _of_environment(environment: Mapping[str, str]) -> _Source:
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for name in ("kind", *SETTABLE):
        variable = VARIABLE if name == "kind" else f"{VARIABLE}_{name.upper()}"
        text = environment.get(variable)
        if text is None or not text.strip():
            continue
        origin[name] = variable
        if name == "tls":
            values[name] = _switch(text, variable)
        elif name == "options":
            values[name] = parse_options(text.splitlines(), option=variable)
        else:
            values[name] = text
    return _Source(values, origin)


def _of_instrument(path: Path) -> list[_Source]:
    """Read the table of an instrument file, if it has one; who reads the rest finds its errors."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    return [_of_table(content["cluster"], path)] if "cluster" in content else []


def _of_file(path: Path) -> _Source:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("cluster")
    except OSError as error:
        raise UsageError(
            f"--cluster-config {path}: it cannot be read ({error.strerror}); check its name"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--cluster-config {path}: it is no TOML: {error}") from error
    if table is None:
        raise UsageError(
            f"--cluster-config {path}: it has no table [cluster]; begin it with a line [cluster]"
        )
    return _of_table(table, path)


def _of_table(table: Any, path: Path) -> _Source:
    if not isinstance(table, dict):
        raise UsageError(f"{path}: cluster must be a table; begin it with a line [cluster]")
    values = {name.replace("-", "_"): value for name, value in table.items()}
    for name in values:
        if name not in ("kind", *SETTABLE):
            known = ", ".join(("kind", *SETTABLE))
            raise UsageError(f"{path}: [cluster] has no '{name}'; there are {known}")
    if not isinstance(values.get("tls", False), bool):
        raise UsageError(f"{path}: [cluster] tls must be true or false")
    return _Source(values, dict.fromkeys(values, str(path)))


def _switch(text: str, variable: str) -> bool:
    found = _WORDS.get(text.strip().lower())
    if found is None:
        raise UsageError(f"{variable} is {text!r}; it must be one of {', '.join(_WORDS)}")
    return found


def parse_options(texts: Any, *, option: str = "--cluster-option") -> dict[str, Any]:
    """Turn ``key=value`` texts into a dictionary; a value is TOML, or else text as it stands.

    Examples
    --------
    >>> parse_options(["port=2222", "username=ana", "job-extra-directives=['--exclusive']"])
    {'port': 2222, 'username': 'ana', 'job_extra_directives': ['--exclusive']}
    """
    found: dict[str, Any] = {}
    for text in texts:
        if not text.strip():
            continue
        key, equals, value = (part.strip() for part in text.partition("="))
        if not (key and equals):
            raise UsageError(f"{option} {text!r} has not the form key=value")
        try:
            found[key.replace("-", "_")] = tomllib.loads(f"x = {value}")["x"]
        except (ValueError, RecursionError):
            found[key.replace("-", "_")] = value
    return found
