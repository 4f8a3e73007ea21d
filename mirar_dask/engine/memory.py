"""How much memory a task needs beside an idle worker's: estimates, made before it runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from mirar_dask.engine.types import Bunch
from mirar_dask.errors import NothingToDoError
from mirar_dask.processors.base.forms import Form
from mirar_dask.processors.base_processor import BaseProcessor

FRAMES_IN_A_CHAIN = 2
"""Frames of memory that a chain needs beside its masters: the image, and a copy in some step."""
FRAMES_IN_A_MASTER = 3
"""Frames that finishing a master needs: the master, its bands or mask, and what is written."""
FRAMES_IN_A_BATCH_STEP = 3
"""Frames that a step on whole batches is reckoned to need, as it does not say."""
BAND_BYTES = 256 << 20
"""Memory for bands of rows of the frames of a master."""
USABLE = 0.8
"""Part of a worker's memory that a task may fill; beyond it Dask stops the worker."""


class TaskTooLargeError(NothingToDoError):
    """Raised when the largest task of a run does not fit the largest worker."""


def of_chain(nbytes: int, contexts: int) -> int:
    """Bytes for taking images of ``nbytes`` through steps that use so many bytes of contexts."""
    return FRAMES_IN_A_CHAIN * nbytes + contexts


def of_master(shape: Sequence[int]) -> int:
    """Bytes for making a master of frames of a shape."""
    return BAND_BYTES + FRAMES_IN_A_MASTER * 4 * math.prod(shape)


def of_batch_step(nbytes: int) -> int:
    """Bytes for a step on a whole batch whose largest image has ``nbytes``."""
    return FRAMES_IN_A_BATCH_STEP * nbytes


def largest_block(bunch: Bunch) -> int:
    """Bytes of the largest image of a batch."""
    return max((int(getattr(handle, "nbytes", 0)) for handle in bunch.members), default=0)


def largest_task(steps: Iterable[BaseProcessor], blocks: Iterable[Any]) -> tuple[int, str]:
    """Estimate the largest task of a run.

    Parameters
    ----------
    steps : iterable of BaseProcessor
        The steps that are still to be run.
    blocks : iterable of Image, SourceTable or their handles
        What enters them.

    Returns
    -------
    bytes, label
        The estimate, and what kind of task it is.
    """
    shapes = {tuple(shape) for block in blocks if (shape := getattr(block, "shape", None))}
    shape = max(shapes, key=math.prod, default=(0,))
    frame = 4 * math.prod(shape)
    masters = 0
    found = [(0, "nothing")]
    for step in steps:
        if step.form is Form.GATHER:
            masters += 1
            found.append((of_master(shape), f"{step.step_name} master"))
        elif step.form is Form.BATCH:
            found.append((of_batch_step(frame), step.step_name))
    found.append((of_chain(frame, masters * frame), "chain of one image"))
    return max(found)


def refuse_if_too_large(nbytes: int, label: str, worker_memory: int) -> None:
    """Raise if a task does not fit a worker.

    Raises
    ------
    TaskTooLargeError
        With both numbers and what to do.
    """
    usable = USABLE * worker_memory
    if nbytes > usable:
        raise TaskTooLargeError(
            f"the largest task ({label}) needs about {nbytes / 1e9:.2f} GB, and a worker can use "
            f"{usable / 1e9:.2f} GB; give each worker more with --memory or fewer --workers, or "
            "try all the same with --no-memory-check"
        )
