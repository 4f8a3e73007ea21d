"""Peak memory of processes while something happens in them, read from /proc (Linux only)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

SAMPLE_SECONDS = 0.02


class Peaks:
    """Watches processes inside a ``with`` block.

    Two measures: the kernel's own high-water mark (VmHWM, reset at the start), which misses
    nothing and counts mapped files too; and samples of the anonymous memory.

    Parameters
    ----------
    pids : sequence of int
        Processes of this user.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self.pids = list(pids)
        self.before: dict[int, int] = {}
        """Resident bytes of each process at the start."""
        self.peak: dict[int, int] = {}
        """Most resident bytes, by the kernel."""
        self.anonymous: dict[int, int] = {}
        """Most anonymous bytes, by samples."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Peaks:
        for pid in self.pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
            self.before[pid] = _status(pid)["VmRSS"]
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        for pid in self.pids:
            self.peak[pid] = _status(pid).get("VmHWM", 0)

    @property
    def largest(self) -> int:
        """Most bytes of any of the processes."""
        return max(self.peak.values())

    @property
    def grown(self) -> int:
        """Most bytes of any of the processes beside those that it had at the start."""
        return max(self.peak[pid] - self.before[pid] for pid in self.pids)

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            for pid in self.pids:
                now = _status(pid).get("RssAnon", 0)
                self.anonymous[pid] = max(now, self.anonymous.get(pid, 0))


def _status(pid: int) -> dict[str, int]:
    """Return what /proc tells of a process's memory, in bytes; nothing if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines if line.endswith(" kB"))
    return {name: int(text.split()[0]) << 10 for name, text in pairs}
