"""ClusterSpec: where a run's tasks are done, as a plain value that can be printed and sent."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mirar_dask.cluster.amounts import (
    clock_text,
    memory_text,
    read_memory,
    read_range,
    read_walltime,
)
from mirar_dask.cluster.kinds import KINDS, NAMED, Kind
from mirar_dask.cluster.layout import Need
from mirar_dask.errors import UsageError

ADDRESS_SCHEMES = ("tcp://", "tls://", "ucx://", "ws://", "wss://", "inproc://")


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """Where the tasks of a run are done. Every option means the same for every kind."""

    kind: str = "local"
    """A name of `mirar_dask.cluster.kinds.KINDS`."""
    target: str = ""
    """The address, or the path of the scheduler file."""
    hosts: tuple[str, ...] = ()
    """Hosts of ``ssh``."""
    workers: int | None = None
    """Number of worker processes (threads for ``threads``); None to choose."""
    adapt: tuple[int, int] | None = None
    """Least and greatest number of worker processes, by what there is to do."""
    cores: int | None = None
    """Cores to use on each host or in each job; a worker process takes one."""
    memory: int | None = None
    """Bytes of memory for each worker process; None to choose."""
    walltime: int | None = None
    """Seconds that a job may run."""
    queue: str | None = None
    """Queue (partition) that jobs are sent to."""
    project: str | None = None
    """Project (account) that jobs are booked on."""
    interface: str | None = None
    """Network interface that scheduler and workers listen on, such as ``ib0``."""
    local_directory: str | None = None
    """Folder on each worker's own disk for what Dask itself puts there."""
    dashboard_port: int | None = None
    """Port of the scheduler's pages (dashboard, metrics) on this machine; None for a free one."""
    prologue: tuple[str, ...] = ()
    """Shell commands before a worker starts, such as ``module load python``."""
    python: str | None = None
    """Python of the workers; None for the one that runs this."""
    tls: bool | None = None
    """Whether connections are encrypted and authenticated; None for kinds that span hosts."""
    certificates: str | None = None
    """Folder with ``ca.pem``, ``cert.pem`` and ``key.pem``; None to make them where needed."""
    options: tuple[tuple[str, Any], ...] = ()
    """What else the kind understands, by name."""
    need: Need | None = None
    """What the largest task of the run needs, once there is a plan; nobody says it."""

    @classmethod
    def parse(cls, text: str = "local", **values: Any) -> ClusterSpec:
        """Make a specification of what a user wrote.

        Parameters
        ----------
        text : str
            The name of a kind, ``ssh:HOST,HOST``, the address of a scheduler
            (``tcp://host:port``), or the path of a scheduler file.
        **values
            The other fields, as text or as values; None for what was not said.

        Raises
        ------
        UsageError
            If the text is no cluster, a value makes no sense, or the kind cannot use it.
        """
        kind, found = kind_of(str(text).strip())
        given = found | {n: v for n, v in values.items() if v is not None and v not in ((), {})}
        for name in given:
            if name not in {field.name for field in fields(cls)} - {"need"}:
                raise UsageError(f"a cluster has no option {name!r}")
        if kind == "serial" and given.get("workers") == 1:
            del given["workers"]
        _check_use(KINDS[kind], given)
        made = cls(kind=kind, **{name: _value(name, value) for name, value in given.items()})
        made._check(str(text))
        return made

    def _check(self, text: str) -> None:
        if self.workers is not None and self.adapt is not None:
            raise UsageError("--workers and --adapt were both given; keep one of them")
        if self.kind == "ssh" and not self.hosts:
            raise UsageError("--cluster ssh: no hosts; name them: --cluster ssh:host1,host2")
        if self.tls is False and self.certificates:
            raise UsageError("--no-tls and --certificates contradict each other; keep one of them")

    @property
    def traits(self) -> Kind:
        """What is known of the kind."""
        return KINDS[self.kind]

    @property
    def encrypted(self) -> bool:
        """Whether connections are encrypted and both ends show a certificate."""
        if self.kind in ("address", "file"):
            return self.certificates is not None or self.target.startswith("tls://")
        return self.traits.spans_hosts if self.tls is None else self.tls

    @property
    def name(self) -> str:
        """What it is called in summaries: what ``--cluster`` was given."""
        if self.kind == "ssh":
            return f"ssh:{','.join(self.hosts)}"
        return self.target or self.kind

    def option(self, name: str, default: Any = None) -> Any:
        """Return what was said of one of the kind's own options."""
        return dict(self.options).get(name, default)

    def describe(self) -> str:
        """Say in a few words what this is."""
        if self.kind in ("address", "file"):
            return f"the scheduler at {self.target}"
        where = f"{self.traits.what}: {', '.join(self.hosts)}" if self.hosts else self.traits.what
        if self.adapt:
            return f"{self.adapt[0]} to {self.adapt[1]} workers, {where}"
        return f"{self.workers} workers, {where}" if self.workers else where

    def shown(self) -> dict[str, str]:
        """Return what was decided, field by field, as text."""
        found: dict[str, str] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value in (None, "", ()) or field.name == "need":
                continue
            found[field.name] = _text(field.name, value)
        return found


def kind_of(text: str) -> tuple[str, dict[str, Any]]:
    """Return the kind that ``--cluster`` names, and what else the text says."""
    if text in NAMED:
        return text, {}
    if text.startswith("ssh:"):
        return "ssh", {"hosts": text.removeprefix("ssh:")}
    if text.startswith(ADDRESS_SCHEMES):
        return "address", {"target": text}
    if text.endswith(".json") or Path(text).is_file():
        if not Path(text).is_file():
            raise UsageError(f"--cluster {text}: there is no such scheduler file")
        return "file", {"target": text}
    raise UsageError(
        f"--cluster {text}: expected {', '.join(NAMED)}, an address such as "
        "tcp://host:8786, or the path of a scheduler file"
    )


def _check_use(kind: Kind, given: dict[str, Any]) -> None:
    for name in given:
        if name in kind.uses or name == "target":
            continue
        if kind.name == "serial" and name == "workers":
            remedy = "a serial run has one; leave it out, or use --cluster local"
        elif name == "adapt" and kind.name == "local":
            remedy = "all workers of a machine are started at once; give --workers N"
        elif name == "hosts":
            remedy = "only ssh has hosts; use --cluster ssh:host1,host2"
        else:
            remedy = kind.instead
        flag = flag_of(name)
        value = given[name]
        shown = f" {value}" if isinstance(value, (str, int)) and flag.startswith("--c") else ""
        shown = f" {value}" if name in ("workers", "adapt", "cores") else shown
        raise UsageError(f"{flag}{shown} with --cluster {kind.name}: {remedy}")


def flag_of(name: str) -> str:
    """Return the option of the command line that sets a field."""
    return "--cluster-option" if name == "options" else f"--{name.replace('_', '-')}"


def _value(name: str, value: Any) -> Any:
    """Turn text into the value of a field."""
    if name == "memory":
        return read_memory(value)
    if name == "walltime":
        return value if isinstance(value, int) else read_walltime(value)
    if name == "adapt":
        return read_range(value)
    if name in ("workers", "cores", "dashboard_port"):
        return _count(name, value)
    if name == "hosts":
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(part.strip() for part in parts if part.strip())
    if name == "prologue":
        return tuple(value.splitlines()) if isinstance(value, str) else tuple(value)
    if name == "options":
        pairs = value.items() if isinstance(value, dict) else value
        return tuple((key.replace("-", "_"), _frozen(held)) for key, held in pairs)
    return value if name in ("tls", "target") else str(value)


def _count(name: str, value: Any) -> int:
    try:
        found = int(value)
    except (TypeError, ValueError):
        found = 0
    if found < 1:
        raise UsageError(f"{flag_of(name)} {value}: expected 1 or more")
    return found


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _text(name: str, value: Any) -> str:
    if name == "memory":
        return memory_text(value)
    if name == "walltime":
        return clock_text(value)
    if name == "adapt":
        return f"{value[0]}:{value[1]}"
    if name == "tls":
        return "on" if value else "off"
    if name == "options":
        return ", ".join(f"{key}={held}" for key, held in value)
    return ", ".join(value) if isinstance(value, tuple) else str(value)
