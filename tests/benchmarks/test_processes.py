"""What a command takes is counted with all the processes that it starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import processes
import pytest
from processes import CommandFailed, Usage, measure

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/io").exists(), reason="the counts are those of Linux"
)

FAMILY = """
import os, pathlib, sys, time

def work(name):
    path = pathlib.Path(sys.argv[1]) / name
    path.write_bytes(bytes(SIZE))
    path.read_bytes()
    while time.process_time() < BUSY:
        pass

SIZE, BUSY = int(sys.argv[2]), float(sys.argv[3])
if os.fork() == 0:           # a child that is waited for
    work("child")
    os._exit(0)
os.wait()
if os.fork() == 0:           # a child that ends first, and leaves its own child alone
    if os.fork() == 0:
        time.sleep(0.2)
        work("orphan")
        os._exit(0)
    os._exit(0)
os.wait()
"""


def family(folder: Path, size: int, busy: float = 0.0) -> Usage:
    command = [sys.executable, "-S", "-c", FAMILY, str(folder), str(size), str(busy)]
    return measure(command, folder / "log")


def test_bytes_of_children_and_of_orphans_count(tmp_path: Path):
    """What two processes read and write, one of them without parents, is known to the byte."""
    small, large = family(tmp_path, 1_000), family(tmp_path, 5_001_000)
    assert large.written - small.written == pytest.approx(10_000_000, abs=100)
    assert large.read - small.read == pytest.approx(10_000_000, abs=100)


def test_processor_time_of_children_and_of_orphans_counts(tmp_path: Path):
    """The seconds that two descendants worked are those of the command."""
    assert family(tmp_path, 0, busy=0.3).cpu >= 0.58


def test_shared_memory_counts_once(tmp_path: Path):
    """Two processes that share 64 MB hold 64 MB together, and each of them as much."""
    code = (
        "import os, time\n"
        "shared = bytearray(b'x') * (64 << 20)\n"
        "child = os.fork()\n"
        "time.sleep(0.6)\n"
        "if child: os.wait()"
    )
    memory = measure([sys.executable, "-S", "-c", code], tmp_path / "log", sample=0.05).memory
    assert memory is not None
    assert memory.samples > 1
    assert 64 < memory.process_mb < 100
    assert 64 < memory.tree_mb < 100


def test_a_command_that_fails_says_why(tmp_path: Path):
    """The error has the exit code and the end of what the command said."""
    command = [sys.executable, "-S", "-c", "raise SystemExit('no bias frames')"]
    with pytest.raises(CommandFailed, match=r"ended with 1:\nno bias frames"):
        measure(command, tmp_path / "log")


def test_a_process_that_is_left_running_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What a command leaves behind must end by itself; if it does not, that is an error."""
    monkeypatch.setattr(processes, "PATIENCE", 0.1)
    code = "import os, time\nif os.fork() == 0: time.sleep(300)\nos._exit(0)"
    before = set(processes._children(os.getpid()))
    with pytest.raises(CommandFailed, match="left 1 processes behind"):
        measure([sys.executable, "-S", "-c", code], tmp_path / "log")
    assert set(processes._children(os.getpid())) <= before


def test_an_interruption_ends_all_processes(tmp_path: Path):
    """Nothing goes on running when the benchmark is stopped by Ctrl-C."""
    code = (
        "import os, sys, time, signal\n"
        "parent = os.getppid()\n"
        "child = os.fork()\n"
        "if child == 0: time.sleep(300)\n"
        "print(child, flush=True)\n"
        "os.kill(parent, signal.SIGINT)\n"
        "time.sleep(300)"
    )
    with pytest.raises(KeyboardInterrupt):
        measure([sys.executable, "-S", "-c", code], tmp_path / "log")
    child = Path("/proc", (tmp_path / "log").read_text().strip(), "stat")
    assert not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z"
