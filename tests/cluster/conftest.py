"""Schedulers in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

START = """
import sys
sys.modules[{module!r}] = None  # as where it is not installed
from distributed.cli.dask_scheduler import main
main()
"""


class StartScheduler(Protocol):
    """Starts a scheduler that cannot import a module."""

    def __call__(self, module: str, *, workers: int = 0) -> AbstractContextManager[str]: ...


@pytest.fixture
def scheduler_without(tmp_path: Path) -> StartScheduler:
    """Return a function that starts a scheduler without a module, and gives its address."""

    @contextmanager
    def start(module: str, *, workers: int = 0) -> Iterator[str]:
        file = tmp_path / "scheduler.json"
        words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file]
        with ExitStack() as stack:
            _run(stack, ["-c", START.format(module=module), *words])
            address = _address(file)
            if workers:
                words = ["-m", "distributed.cli.dask_worker", address, "--nworkers", str(workers)]
                _run(stack, [*words, "--nthreads", "1", "--no-dashboard"])
            yield address

    return start


def _run(stack: ExitStack, words: list[object]) -> None:
    process = subprocess.Popen(
        [sys.executable, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)


def _address(file: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return str(json.loads(file.read_text())["address"])
        except (OSError, ValueError):
            time.sleep(0.05)
    raise AssertionError("the scheduler did not start")
