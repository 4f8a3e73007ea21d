"""The kinds of clusters, and which options each can use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of cluster."""

    name: str
    what: str
    """In a few words, for people."""
    uses: frozenset[str] = frozenset()
    """Fields of a `ClusterSpec` that say something to this kind."""
    instead: str = "leave it out"
    """What to do with an option that it cannot use."""
    queue: bool = False
    """Whether workers come as jobs of a queue system."""
    spans_hosts: bool = False
    """Whether workers are on other machines, which TLS and the probe are for."""
    tried: bool = True
    """Whether we run it ourselves against the real thing."""


_PAGES = frozenset({"dashboard_port"})
_STARTED = _PAGES | {"workers", "memory", "local_directory", "tls", "certificates", "options"}
_FAR = _STARTED | {"adapt", "cores", "interface", "prologue", "python"}
_JOBS = _FAR | {"walltime", "queue", "project"}
_KNOWN = frozenset({"certificates"})
_THEIRS = "leave it out: whoever started that scheduler's workers has chosen"


def _queue(name: str, what: str, *, tried: bool = False) -> Kind:
    uses = _FAR if name == "htcondor" else _JOBS
    return Kind(name, f"jobs of {what}", uses, queue=True, spans_hosts=True, tried=tried)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("serial", "this process, one task after the other"),
        Kind("threads", "threads of this process", _PAGES | {"workers", "memory"}),
        Kind("local", "worker processes on this machine", _STARTED | {"cores"}),
        Kind("address", "a scheduler that is running", _KNOWN, _THEIRS, spans_hosts=True),
        Kind("file", "a scheduler that is running", _KNOWN, _THEIRS, spans_hosts=True),
        Kind(
            "ssh",
            "hosts reached by SSH",
            _FAR - {"adapt", "prologue"} | {"hosts"},
            spans_hosts=True,
        ),
        Kind(
            "slurm-runner",
            "the other tasks of the SLURM job in which this runs",
            _PAGES | {"memory", "interface", "local_directory", "walltime", "tls", "certificates"},
            "leave it out: the job that srun runs in has it (srun -n N for N - 1 workers)",
            spans_hosts=True,
        ),
        _queue("slurm", "SLURM", tried=True),
        _queue("pbs", "PBS"),
        _queue("sge", "Grid Engine"),
        _queue("lsf", "LSF"),
        _queue("oar", "OAR"),
        _queue("htcondor", "HTCondor"),
    )
}
NAMED = tuple(name for name in KINDS if name not in ("address", "file"))
"""Kinds that are asked for by their name."""
