"""A night with its folders, volumes and processes, on which a trial takes place.

Every process that the night starts carries a mark in its environment, so that none is overlooked.
`deeds` disturbs it, `checks` looks at what is left.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psutil

MARK = "MIRAR_DASK_CHAOS"
"""Environment variable that all processes of a stage carry."""
VOLUME = "64m"
"""Size of the small volumes."""
END_SECONDS = 240.0
"""How long a disturbed night may take."""
CLOSE_SECONDS = 20.0
"""How long processes that are to end may take for it."""


@dataclass
class Stage:
    """One night that is reduced while something happens to it.

    Parameters
    ----------
    folder : Path
        Everything of this night is below it, apart from the frames.
    raw : Path
        The frames.
    cluster : str
        Where the work is done, as the command line knows it.
    """

    folder: Path
    raw: Path
    cluster: str = "local"
    mark: str = field(default_factory=lambda: uuid4().hex)
    environment: dict[str, str] = field(default_factory=dict)
    prefix: dict[str, list[str]] = field(default_factory=dict)
    """Words before a command, by the role of the process: a network namespace, for instance."""
    small_cache: bool = False
    options: list[str] = field(default_factory=list)
    driver: subprocess.Popen[str] | None = None
    others: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    """Processes that do not belong to the driver, by role: a scheduler, nodes, a file system."""
    mounts: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path in (self.out, self.cache, self.tmp):
            path.mkdir(parents=True, exist_ok=True)

    @property
    def out(self) -> Path:
        """Output folder."""
        return self.folder / "out"

    @property
    def cache(self) -> Path:
        """Folder for the caches of runs, where one was made."""
        return self.folder / "cache"

    @property
    def tmp(self) -> Path:
        """Folder for temporary files of all processes."""
        return self.folder / "tmp"

    @property
    def night(self) -> Path:
        """Folder of the products."""
        return self.out / "imager" / self.raw.name

    @property
    def runs(self) -> list[Path]:
        """Folders of the runs, the oldest first."""
        return sorted(path for path in (self.night / "runs").glob("*") if path.is_dir())

    # -- processes ----------------------------------------------------------------------------

    def start(self, *words: object) -> None:
        """Start a driver: ``run`` by default, or the given command."""
        said = words or ("run", "imager", "--raw", self.raw, "--out", self.out, *self.options)
        where = ["--cluster", self.cluster, *self._workers]
        cache = ["--cache", self.cache] if self.small_cache else []
        command = [sys.executable, "-m", "mirar_dask", *map(str, (*said, *where, *cache))]
        self.driver = self.launch("driver", command)

    def clean(self) -> None:
        """Have removed what a driver that was killed could not."""
        words = ["clean", "--out", self.out, "--cache", self.cache, "--yes"]
        command = [sys.executable, "-m", "mirar_dask", *map(str, words)]
        self.launch("clean", command).wait(CLOSE_SECONDS * 3)

    @property
    def _workers(self) -> list[str]:
        return ["--workers", "2"] if self.cluster == "local" else []

    def launch(self, role: str, command: Sequence[str]) -> subprocess.Popen[str]:
        """Start a process of this stage; what it says goes to a file."""
        said = (self.folder / f"{role}.txt").open("a")
        with said:
            return subprocess.Popen(
                [*self.prefix.get(role, []), *command],
                env={**os.environ, **self.environment, MARK: self.mark, "TMPDIR": str(self.tmp)},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def processes(self) -> Iterator[psutil.Process]:
        """Give every process of this stage, those included that lost their parents."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                marked = process.environ().get(MARK) == self.mark
                if marked and process.status() != psutil.STATUS_ZOMBIE:
                    yield process

    def workers(self) -> list[psutil.Process]:
        """Give the worker processes: those with threads that we did not start ourselves."""
        ours = {self.driver.pid if self.driver else 0, *(p.pid for p in self.others.values())}
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                if process.pid not in ours and process.num_threads() > 1:
                    found.append(process)
        return sorted(found, key=lambda process: process.pid)

    @property
    def over(self) -> bool:
        """Whether the driver has ended."""
        return self.driver is None or self.driver.poll() is not None

    def wait(self, seconds: float = END_SECONDS) -> int | None:
        """Wait for the driver's end and return its exit code; None if it does not end."""
        assert self.driver is not None
        try:
            return self.driver.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def lines(self) -> int:
        """Number of lines in the journals of all runs."""
        found = 0
        for journal in self.night.glob("runs/*/journal.jsonl"):
            with suppress(OSError):
                found += journal.read_bytes().count(b"\n")
        return found

    def said(self, role: str = "driver") -> str:
        """Return what a process has said."""
        path = self.folder / f"{role}.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    # -- volumes ------------------------------------------------------------------------------

    def mount_small(self, folder: Path, size: str = VOLUME) -> None:
        """Have a folder be a small volume of its own."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
        self.mounts.append(folder)

    # -- the end ------------------------------------------------------------------------------

    def close_others(self) -> None:
        """End the processes that do not belong to the driver."""
        for process in self.others.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.others.values():
            try:
                process.wait(CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.others.clear()

    def clear(self) -> None:
        """End whatever is left and remove everything."""
        if self.driver is not None and self.driver.poll() is None:
            self.driver.kill()
            self.driver.wait()
        self.close_others()
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        for folder in reversed(self.mounts):
            for _ in range(50):
                if subprocess.run(["umount", folder], capture_output=True).returncode == 0:
                    break
                time.sleep(0.1)
            else:
                subprocess.run(["umount", "-l", folder], check=False)
        self.mounts.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
