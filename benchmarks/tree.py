"""Runs a command and watches the memory of every process that it starts (Linux only)."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SAMPLE_SECONDS = 0.05


def run_watched(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> tuple[float, int, dict[int, int]]:
    """Run a command to its end.

    Returns
    -------
    seconds, code, peaks
        Wall time, exit code, and the most resident bytes of each process by the kernel (VmHWM).
    """
    import psutil

    peaks: dict[int, int] = {}
    start = time.perf_counter()
    with log.open("w") as file:
        process = subprocess.Popen(command, env=dict(environment), stdout=file, stderr=file)
        while process.poll() is None:
            try:
                tree = [process.pid, *(c.pid for c in psutil.Process(process.pid).children(True))]
            except psutil.NoSuchProcess:
                break
            for pid in tree:
                peaks[pid] = max(_high_water(pid), peaks.get(pid, 0))
            time.sleep(SAMPLE_SECONDS)
        code = process.wait()
    return time.perf_counter() - start, code, peaks


def _high_water(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), 0)
