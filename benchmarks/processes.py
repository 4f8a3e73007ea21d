"""Measures a command with all the processes that it starts, from its start to its end.

Processor time and bytes are counted by the kernel and read at the moment when a process has ended
and before it is gone, so that nothing is missed: a parent that waits for a child takes over the
child's counts, and who is left without parents comes to us. Memory is sampled. Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SET_SUBREAPER, GET_SUBREAPER = 36, 37
"""Of prctl: PR_SET_CHILD_SUBREAPER and PR_GET_CHILD_SUBREAPER."""
PATIENCE = 60.0
"""Seconds for processes that a command leaves behind to end by themselves."""
PROC = Path("/proc")


class CommandFailed(RuntimeError):
    """Raised when a command ends with an error; the message has the end of what it said."""


@dataclass(frozen=True)
class Memory:
    """Memory of a command's processes, sampled."""

    tree_mb: float
    """Largest sum over all processes; a page that several of them share counts once."""
    process_mb: float
    """Largest of any one process, shared pages included."""
    samples: int
    """How often it was looked at."""


@dataclass(frozen=True)
class Usage:
    """What a command took, with all processes that it started."""

    seconds: float
    """Of the clock, from its start to its end."""
    cpu: float
    """Seconds of processor time."""
    read: int
    """Bytes asked for by read(), from files in memory too, and from pipes; not mapped files."""
    written: int
    """Bytes given to write(), to pipes too."""
    memory: Memory | None = None
    """Only if it was sampled."""


def measure(
    command: Sequence[str],
    log: Path,
    *,
    sample: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> Usage:
    """Run a command and measure it.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    log : path
        Where standard output and error go.
    sample : float, optional
        Seconds between two looks at the memory of the processes. A look keeps a process from
        changing its memory map meanwhile, so a run that is timed is better left alone.
    environment : mapping, optional
        Environment variables of the command; ours by default.

    Raises
    ------
    CommandFailed
        If its exit code is not zero, or if it leaves a process behind that goes on running.
    """
    mine = os.getpid()
    before = set(_children(mine))
    with _adopting(), log.open("w") as stream:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
        with _ended_with_us(process, before), _sampler(process.pid, before, sample) as peak:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            seconds = time.perf_counter() - start
        read, written = _bytes(process.pid)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu = used.ru_utime + used.ru_stime
        for more_cpu, more_read, more_written in _orphans(before, log):
            cpu, read, written = cpu + more_cpu, read + more_read, written + more_written
    if process.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        said = f"'{' '.join(command[:4])} ...' ended with {process.returncode}"
        raise CommandFailed(f"{said}:\n{tail}")
    memory = Memory(peak.tree / 1024, peak.process / 1024, peak.samples) if sample else None
    return Usage(seconds, cpu, read, written, memory)


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Be the parent of processes whose own parents end first."""
    library, before = ctypes.CDLL(None), ctypes.c_int(0)
    library.prctl(GET_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    library.prctl(SET_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        library.prctl(SET_SUBREAPER, before.value, 0, 0, 0)


@contextlib.contextmanager
def _ended_with_us(process: subprocess.Popen[bytes], before: set[int]) -> Iterator[None]:
    """End all processes of a command if we are interrupted, by Ctrl-C for instance."""
    try:
        yield
    except BaseException:
        _end(before)
        process.returncode = -signal.SIGKILL
        raise


def _end(before: set[int]) -> None:
    """End our new children, and theirs, which become ours then."""
    while left := [pid for pid in _children(os.getpid()) if pid not in before]:
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _orphans(before: set[int], log: Path) -> Iterator[tuple[float, int, int]]:
    """Wait for what a command left behind: processor time, bytes read and written of each."""
    deadline = time.monotonic() + PATIENCE
    while left := [pid for pid in _children(os.getpid()) if pid not in before]:
        for pid in left:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                read, written = _bytes(pid)
                _, _, used = os.wait4(pid, 0)
                yield used.ru_utime + used.ru_stime, read, written
        if time.monotonic() > deadline:
            _end(before)
            raise CommandFailed(f"it left {len(left)} processes behind that ran on; see {log}")
        time.sleep(0.02)


def _bytes(pid: int) -> tuple[int, int]:
    """Bytes that a process, ended or not, and all that it has waited for, read and wrote."""
    found = dict(line.split(": ") for line in (PROC / f"{pid}/io").read_text().splitlines())
    return int(found["rchar"]), int(found["wchar"])


def _parents() -> dict[int, int]:
    """Parent of every process."""
    found = {}
    for name in os.listdir(PROC):  # noqa: PTH208 - names alone, many times a second
        if name.isdigit():
            with contextlib.suppress(OSError):
                # Behind the last bracket: the name of a program may hold anything.
                state = (PROC / name / "stat").read_text().rpartition(")")[2].split()
                found[int(name)] = int(state[1])
    return found


def _children(parent: int) -> list[int]:
    return [pid for pid, other in _parents().items() if other == parent]


def _tree(root: int, before: set[int]) -> list[int]:
    """All processes that stem from a command, those that came to us included."""
    parents = _parents()
    mine = os.getpid()
    known = {root} | {pid for pid, parent in parents.items() if parent == mine} - before
    while more := {pid for pid, parent in parents.items() if parent in known} - known:
        known |= more
    return list(known)


@dataclass
class _Peak:
    tree: int = 0
    process: int = 0
    samples: int = 0

    def look(self, pids: list[int]) -> None:
        total = 0
        for pid in pids:
            with contextlib.suppress(OSError, ValueError):  # it has just ended
                lines = (PROC / f"{pid}/smaps_rollup").read_text().splitlines()
                sizes = dict(line.split()[:2] for line in lines[1:])
                total += int(sizes["Pss:"])
                self.process = max(self.process, int(sizes["Rss:"]))
        self.tree = max(self.tree, total)
        self.samples += 1


@contextlib.contextmanager
def _sampler(root: int, before: set[int], interval: float | None) -> Iterator[_Peak]:
    """Sample the memory of a command's processes while it runs."""
    peak = _Peak()
    if interval is None:
        yield peak
        return
    done = threading.Event()

    def sample() -> None:
        while not done.wait(interval):
            peak.look(_tree(root, before))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
