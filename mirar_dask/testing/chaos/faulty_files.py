"""A file system that passes everything through to a folder, but for the errors that it is told of.

`FaultyFiles` mounts one for a stage; run as a program this module is that file system (FUSE).
"""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mirar_dask.testing.chaos.stage import Stage


def impossible() -> str | None:
    """Say why there can be no such file system here; None if there can."""
    if importlib.util.find_spec("mfusepy") is None:
        return "the package mfusepy is not installed"
    if not Path("/dev/fuse").exists() or not (shutil.which("fusermount3") or _is_root()):
        return "FUSE is not to be had here"
    try:
        import mfusepy  # noqa: F401
    except OSError as error:
        return f"libfuse is not installed ({error})"
    return None


def _is_root() -> bool:
    return os.geteuid() == 0


class FaultyFiles:
    """A faulty view of a folder, mounted for a stage.

    Parameters
    ----------
    stage : Stage
        It ends the file system with itself.
    folder : Path
        What is seen through it.
    """

    def __init__(self, stage: Stage, folder: Path) -> None:
        self._rules = stage.folder / "rules.json"
        self.mounted = stage.folder / "faulty" / folder.name
        self.mounted.mkdir(parents=True)
        self.rules([])
        words = [sys.executable, __file__, str(folder), str(self.mounted), str(self._rules)]
        stage.others["files"] = stage.launch("files", words)
        stage.mounts.append(self.mounted)
        end = time.monotonic() + 20
        while not os.path.ismount(self.mounted):
            if time.monotonic() > end:
                raise OSError(f"{self.mounted} was not mounted: {stage.said('files')}")
            time.sleep(0.02)

    def rules(self, rules: list[list[str]]) -> None:
        """Say what fails from now on: (operation, part of the name, error of the system)."""
        fresh = self._rules.with_suffix(".new")
        fresh.write_text(json.dumps(rules))
        fresh.replace(self._rules)


def serve(folder: str, mounted: str, rules: str) -> None:
    """Be the file system until it is unmounted."""
    from mfusepy import FUSE, FuseOSError, Operations

    class Passing(Operations):
        use_ns = True

        def _check(self, operation: str, path: str) -> None:
            with suppress(OSError, ValueError):
                for wanted, part, error in json.loads(Path(rules).read_text()):
                    if wanted == operation and part in path:
                        raise FuseOSError(getattr(errno, error))

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            try:
                found = os.lstat(folder + path)
            except OSError as error:
                raise FuseOSError(error.errno or errno.EIO) from error
            names = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid", "st_ino")
            times = {f"st_{t}time": getattr(found, f"st_{t}time_ns") for t in "acm"}
            return {name: getattr(found, name) for name in names} | times

        def readdir(self, path: str, fh: int) -> Iterator[tuple[str, dict[str, Any], int]]:
            for name in (".", "..", *(entry.name for entry in Path(folder + path).iterdir())):
                found = os.lstat(f"{folder}{path}/{name}")
                yield name, {"st_mode": found.st_mode, "st_ino": found.st_ino}, 0

        def open(self, path: str, flags: int) -> int:
            self._check("open", path)
            return os.open(folder + path, flags)

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            self._check("read", path)
            return os.pread(fh, size, offset)

        def release(self, path: str, fh: int) -> None:
            os.close(fh)

    # Without the kernel's cache of pages, so that an error is seen whoever has read before.
    FUSE(Passing(), mounted, foreground=True, direct_io=True, ro=True, use_ino=True)


if __name__ == "__main__":
    serve(*sys.argv[1:4])
