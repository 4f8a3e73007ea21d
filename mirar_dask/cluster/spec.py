"""ClusterSpec: where a run's tasks are done, as a plain value that can be printed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mirar_dask.errors import UsageError

KINDS = ("serial", "threads", "local")
"""Kinds that start something on this machine; an address or a scheduler file connects."""
ADDRESS_SCHEMES = ("tcp://", "tls://", "ucx://", "ws://", "wss://", "inproc://")
MIN_MEMORY = 256 << 20


@dataclass(frozen=True)
class ClusterSpec:
    """Where the tasks of a run are done."""

    kind: str = "local"
    """``serial``, ``threads``, ``local``, ``address`` or ``file``."""
    target: str = ""
    """The address, or the path of the scheduler file."""
    workers: int | None = None
    """Number of worker processes (threads for ``threads``); None to choose by the machine."""
    memory: int | None = None
    """Bytes of memory for each worker process; None to share what the machine has."""
    local_directory: str | None = None
    """Folder for what Dask itself spills; None for a temporary one."""

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        workers: int | None = None,
        memory: int | str | None = None,
        local_directory: str | Path | None = None,
    ) -> ClusterSpec:
        """Read the option ``--cluster``.

        Parameters
        ----------
        text : str
            ``serial``, ``threads``, ``local``, the address of a scheduler (``tcp://host:port``),
            or the path of a scheduler file.
        workers : int, optional
            Number of workers to start.
        memory : int or str, optional
            Memory for each worker process: bytes, or a text such as ``2GB``.
        local_directory : str or Path, optional
            Folder for what Dask spills.

        Raises
        ------
        UsageError
            If the text is none of these, or the numbers make no sense.
        """
        if workers is not None and workers < 1:
            raise UsageError(f"--workers {workers}: expected 1 or more")
        kind, target = _kind_of(text.strip())
        if kind == "serial" and workers not in (None, 1):
            raise UsageError(
                f"--workers {workers} with --cluster serial: a serial run has one; leave it out, "
                "or use --cluster local"
            )
        folder = str(local_directory) if local_directory is not None else None
        return cls(kind, target, workers, _bytes(memory), folder)

    def describe(self) -> str:
        """Say in a few words what this is."""
        if self.kind == "serial":
            return "serial, in this process"
        if self.kind == "threads":
            return f"{self.workers or 'as many as useful'} threads in this process"
        if self.kind == "local":
            return f"{self.workers or 'as many as useful'} worker processes on this machine"
        return f"the scheduler at {self.target}"


def _kind_of(text: str) -> tuple[str, str]:
    if text in KINDS:
        return text, ""
    if text.startswith(ADDRESS_SCHEMES):
        return "address", text
    if text.endswith(".json") or Path(text).is_file():
        if not Path(text).is_file():
            raise UsageError(f"--cluster {text}: there is no such scheduler file")
        return "file", text
    raise UsageError(
        f"--cluster {text}: expected serial, threads, local, an address such as "
        "tcp://host:8786, or the path of a scheduler file"
    )


_UNITS = {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "kib": 2**10, "m": 10**6, "mb": 10**6}
_UNITS |= {"mib": 2**20, "g": 10**9, "gb": 10**9, "gib": 2**30, "t": 10**12, "tb": 10**12}
_UNITS |= {"tib": 2**40}


def _bytes(memory: int | str | None) -> int | None:
    if memory is None:
        return None
    text = str(memory).strip().lower()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    try:
        found = int(float(number) * _UNITS[text[len(number) :].strip()])
    except (KeyError, ValueError):
        raise UsageError(f"--memory {memory}: expected a size such as 2GB or 512MiB") from None
    if found < MIN_MEMORY:
        raise UsageError(f"--memory {memory}: a worker needs at least 256 MiB")
    return found
