"""Processors that misbehave on purpose, and broken frames: what an engine must survive.

Each processor acts on the images whose BASENAME it is given and passes the others on unchanged.
``FailsOn`` and the others look at a batch, in mirar's way; their forms with ``Image`` in the name
look at one image at a time. All are picklable and keep their parameters under their own names.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mirar_dask.data import Image, ImageBatch
from mirar_dask.data.pixels import Pixels
from mirar_dask.paths import BASE_NAME_KEY
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.testing.broken import BROKEN_KINDS, plant_broken_frames

__all__ = [
    "BROKEN_KINDS",
    "ExitsOn",
    "ExitsOnImage",
    "FailsOn",
    "FailsOnImage",
    "HoardsOnImage",
    "KillsWorkerOn",
    "KillsWorkerOnImage",
    "PoisonsImage",
    "SleepsOnImage",
    "plant_broken_frames",
]


class Fault(BaseImageProcessor):
    """Base of the faulty processors: picks the images that the fault is meant for.

    Parameters
    ----------
    names : str or iterable of str
        BASENAMEs of the images concerned.
    """

    base_key = "fault"
    writes_products = False

    def __init__(self, names: str | Iterable[str]) -> None:
        super().__init__()
        self.names = [names] if isinstance(names, str) else sorted(names)

    def misbehave(self, image: Image) -> None:
        """Do what this processor is there for."""
        raise NotImplementedError

    def visit(self, image: Image) -> Image:
        """Misbehave if the image is one of those concerned."""
        if image[BASE_NAME_KEY] in self.names:
            self.misbehave(image)
        return image

    def description(self) -> str:
        """Say what goes wrong, and for which images."""
        return f"{type(self).__name__}: {', '.join(self.names)}"


class _ByBatch(Fault):
    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        for image in batch:
            self.visit(image)
        return batch


class _ByImage(Fault):
    def apply_to_image(self, image: Image, context: object = None) -> Image:
        return self.visit(image)


class _Fails(Fault):
    """Raises an error.

    Parameters
    ----------
    names : str or iterable of str
        BASENAMEs of the images concerned.
    error : type of Exception
        What is raised.
    """

    def __init__(self, names: str | Iterable[str], error: type[BaseException] = ValueError) -> None:
        super().__init__(names)
        self.error = error

    def misbehave(self, image: Image) -> None:
        raise self.error(f"planted failure for {image[BASE_NAME_KEY]}")


class FailsOn(_Fails, _ByBatch):
    """Raises an error, and with it fails the whole batch, as in mirar."""

    base_key = "fails_on"


class FailsOnImage(_Fails, _ByImage):
    """Raises an error for single images; the rest of their batch goes on."""

    base_key = "fails_on_image"


class _Exits(Fault):
    def misbehave(self, image: Image) -> None:
        raise SystemExit(f"planted exit for {image[BASE_NAME_KEY]}")


class ExitsOn(_Exits, _ByBatch):
    """Raises SystemExit, as external code does that calls `sys.exit`."""

    base_key = "exits_on"


class ExitsOnImage(_Exits, _ByImage):
    """Raises SystemExit for single images."""

    base_key = "exits_on_image"


class _KillsWorker(Fault):
    """Kills the process that it runs in.

    Parameters
    ----------
    names : str or iterable of str
        BASENAMEs of the images concerned.
    marks : path
        A folder that all workers see; a file there counts each kill.
    times : int
        How often each image kills before it passes.
    signal_number : int
        The signal; SIGKILL is what the kernel sends when memory runs out.
    """

    def __init__(
        self,
        names: str | Iterable[str],
        marks: Path | str,
        times: int = 1,
        signal_number: int = signal.SIGKILL,
    ) -> None:
        super().__init__(names)
        self.marks = Path(marks)
        self.times = times
        self.signal_number = int(signal_number)

    def misbehave(self, image: Image) -> None:
        for attempt in range(self.times):
            if _claim(self.marks / f"{image[BASE_NAME_KEY]}.{attempt}"):
                os.kill(os.getpid(), self.signal_number)
                time.sleep(60)  # the signal may arrive a moment later


class KillsWorkerOn(_KillsWorker, _ByBatch):
    """Kills its own process (never use it with an engine that runs in yours)."""

    base_key = "kills_worker_on"


class KillsWorkerOnImage(_KillsWorker, _ByImage):
    """Kills its own process at single images (never use it with an engine that runs in yours)."""

    base_key = "kills_worker_on_image"


@dataclass(frozen=True, slots=True, eq=False)
class DeadlyPixels(Pixels):
    """Kill whoever reads them, as a file can that a library was not written for."""

    shape: tuple[int, ...]
    dtype: np.dtype
    path: Path | None = None

    def read(self) -> np.ndarray:
        """Kill this process."""
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)  # the signal may arrive a moment later
        raise AssertionError("this process is dead")

    def token(self) -> tuple[Any, ...]:
        """Return what identifies them."""
        return ("deadly", self.shape)


class PoisonsImage(_ByImage):
    """Has images kill the process that reads their pixels, whatever the step."""

    base_key = "poisons_image"
    reads_later = True

    def misbehave(self, image: Image) -> None:
        """Put the deadly pixels into the image."""
        image.back_by(DeadlyPixels(image.shape, image.dtype))


class SleepsOnImage(_ByImage):
    """Waits, as a step does that hangs on a slow disk or a service.

    Parameters
    ----------
    names : str or iterable of str
        BASENAMEs of the images concerned.
    seconds : float
        How long.
    """

    base_key = "sleeps_on_image"

    def __init__(self, names: str | Iterable[str], seconds: float) -> None:
        super().__init__(names)
        self.seconds = seconds

    def misbehave(self, image: Image) -> None:
        """Wait."""
        time.sleep(self.seconds)


class HoardsOnImage(_ByImage):
    """Takes memory for a moment, as a step does that was written for smaller images.

    Parameters
    ----------
    names : str or iterable of str
        BASENAMEs of the images concerned.
    nbytes : int
        How much; every page is touched.
    seconds : float
        How long it is held.
    """

    base_key = "hoards_on_image"

    def __init__(self, names: str | Iterable[str], nbytes: int, seconds: float = 1.0) -> None:
        super().__init__(names)
        self.nbytes = nbytes
        self.seconds = seconds

    def misbehave(self, image: Image) -> None:
        """Take the memory, hold it, let it go."""
        hoard = bytearray(b"\x01") * self.nbytes
        time.sleep(self.seconds)
        del hoard


def _claim(mark: Path) -> bool:
    """Make a file that nobody has made before; False if somebody has."""
    mark.parent.mkdir(parents=True, exist_ok=True)
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
