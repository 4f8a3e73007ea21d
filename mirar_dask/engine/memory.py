"""How much memory a task needs beside an idle worker's: estimates, made before it runs.

What the images of a batch hold is bounded by `task_memory`, what is kept of masters by the bench;
the rest is what a step says of itself, or three images where it does not. `benchmarks/memory.py`
compares the estimates with what real tasks take.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from mirar_dask.engine.types import Bunch
from mirar_dask.errors import NothingToDoError
from mirar_dask.processors.base.forms import Form
from mirar_dask.processors.base_processor import BaseProcessor, ProcessorWithCache

FRAMES_OF_A_STEP = 3
"""Images that a step is reckoned to need beside what its images hold, if it does not say: the
copy that `get_data` gives, what is made of it, and the copy that `set_data` takes."""
FINISHING = 0.25
"""Frames that finishing a master needs beside it: masks of its pixels, its median."""
SMALL = 16 << 20
"""Bytes of what every task needs: headers, chunks that are read or written."""
HELD_BYTES = 512 << 20
"""Most bytes of pixels that the images of a task hold; others of them go to the cache."""
USABLE = 0.8
"""Part of a worker's memory that can be filled; beyond it Dask stops the worker."""
IDLE_WORKER = 128 << 20
"""Bytes of a worker that does nothing."""


_ROUNDS = 5
"""Rounds of `least_worker`; each brings it three times closer."""


class TaskTooLargeError(NothingToDoError):
    """Raised when the largest task of a run does not fit the largest worker."""


def usable(worker_memory: int) -> int:
    """Bytes of a worker that tasks and kept masters may fill."""
    return max(1, int(USABLE * worker_memory) - IDLE_WORKER)


def worker_for(nbytes: int) -> int:
    """Bytes of the smallest worker in which a task fits; `usable` is the other way round."""
    return math.ceil((nbytes + IDLE_WORKER + 1) / USABLE)


def held_by_images(worker_memory: int) -> int:
    """Bytes of pixels that the images of one task may hold together; no limit counts as much."""
    return min(HELD_BYTES, usable(worker_memory) // 3) if worker_memory else HELD_BYTES


def of_step(step: BaseProcessor, shape: tuple[int, ...], n_images: int, itemsize: int = 4) -> int:
    """Bytes that a step needs beside what its images hold."""
    told = step.memory_needed(shape, n_images)
    return FRAMES_OF_A_STEP * itemsize * math.prod(shape) if told is None else told


def of_chain(nbytes: int, contexts: int, steps: Iterable[BaseProcessor] = ()) -> int:
    """Bytes for taking images of ``nbytes`` through steps that use so many bytes of contexts."""
    pixels = (nbytes // 4,)
    return SMALL + nbytes + contexts + max((of_step(s, pixels, 1) for s in steps), default=0)


def of_combining(n_frames: int, shape: Sequence[int], itemsize: int = 4) -> int:
    """Bytes for combining frames, or as many rows of them, the result included."""
    from mirar_dask.processors.combine import memory_for

    return memory_for(n_frames, shape, itemsize) + itemsize * math.prod(shape)


def of_band(frames: Sequence[Any], rows: tuple[int, int]) -> int:
    """Bytes for combining some rows of the frames of a master."""
    shape = (rows[1] - rows[0], *frames[0].shape[1:])
    return SMALL + _operands(frames) + of_combining(len(frames), shape, _itemsize(frames))


def of_master(step: BaseProcessor, frames: Sequence[Any], banded: bool = False) -> int:
    """Bytes for making a master of frames, or of its bands."""
    shape, itemsize = tuple(frames[0].shape), _itemsize(frames)
    master = itemsize * math.prod(shape)
    combining = 0 if banded else of_combining(len(frames), shape, itemsize) - master
    finishing = round(FINISHING * master)
    return SMALL + master + max(_operands(frames) + combining, finishing)


def of_batch(step: BaseProcessor, bunch: Bunch, budget: int = HELD_BYTES) -> int:
    """Bytes for a step on a whole batch, of which images hold ``budget`` bytes at most."""
    shapes = [tuple(getattr(handle, "shape", ())) for handle in bunch.members]
    shape = max((shape for shape in shapes if shape), key=math.prod, default=(0,))
    itemsize = max(
        (_size(handle.dtype) for handle in bunch.members if hasattr(handle, "dtype")), default=4
    )
    return _of_batch(step, shape, len(bunch.members), itemsize, budget)


def _of_batch(
    step: BaseProcessor, shape: tuple[int, ...], n_images: int, itemsize: int, budget: int
) -> int:
    frame = itemsize * math.prod(shape)
    held = min(n_images * frame, max(budget, frame))
    working = of_step(step, shape, n_images, itemsize)
    if isinstance(step, ProcessorWithCache):
        working = max(working, of_combining(n_images, shape, itemsize)) + frame
    return SMALL + held + working


def largest_task(
    steps: Iterable[BaseProcessor], blocks: Iterable[Any], budget: int = HELD_BYTES
) -> tuple[int, str]:
    """Estimate the largest task of a run.

    Parameters
    ----------
    steps : iterable of BaseProcessor
        The steps that are still to be run.
    blocks : iterable of Image, SourceTable or their handles
        What enters them.
    budget : int
        Bytes of pixels that the images of a task hold at most.

    Returns
    -------
    bytes, label
        The estimate, and what kind of task it is.
    """
    images = [block for block in blocks if getattr(block, "shape", None)]
    if not images:
        return 0, "nothing"
    largest = max(images, key=lambda block: math.prod(block.shape))
    shape, itemsize = tuple(largest.shape), _size(largest.dtype)
    frame = itemsize * math.prod(shape)
    masters, chain = 0, []
    found = []
    for step in steps:
        if step.form is Form.GATHER:
            masters += 1
            if isinstance(step, ProcessorWithCache):
                # The masters before this one are applied while its frames are read.
                before = (masters - 1) * frame
                found.append((before + of_master(step, images), f"{step.step_name} master"))
            else:
                nbytes = _of_batch(step, shape, len(images), itemsize, budget)
                found.append((nbytes, f"{step.step_name} context"))
        if step.form in (Form.GATHER, Form.IMAGE):
            chain.append(step)
        elif step.form is Form.BATCH:
            nbytes = _of_batch(step, shape, len(images), itemsize, budget)
            found.append((nbytes, step.step_name))
    found.append((of_chain(frame, masters * frame, chain), "chain of one image"))
    return max(found)


def least_worker(steps: Sequence[BaseProcessor], blocks: Iterable[Any]) -> int:
    """Bytes of the smallest worker in which every task of a run fits; 0 where there is none.

    A smaller worker holds fewer images of a batch at once, so its tasks need less: each round
    asks what the tasks would need in the worker of the round before, and comes closer from above.
    """
    images = [block for block in blocks if getattr(block, "shape", None)]
    if not images:
        return 0
    worker = worker_for(largest_task(steps, images)[0])
    for _ in range(_ROUNDS):
        worker = worker_for(largest_task(steps, images, held_by_images(worker))[0])
    return worker


def refuse_if_too_large(nbytes: int, label: str, worker_memory: int) -> None:
    """Raise if a task does not fit a worker.

    Raises
    ------
    TaskTooLargeError
        With both numbers and what to do.
    """
    room = usable(worker_memory)
    if nbytes > room:
        raise TaskTooLargeError(
            f"the largest task ({label}) needs about {nbytes / 1e9:.2f} GB, and a worker can use "
            f"{room / 1e9:.2f} GB; give each worker more with --memory or fewer --workers, or "
            "try all the same with --no-memory-check"
        )


def refuse_too_large(
    steps: Sequence[BaseProcessor], bunches: Sequence[Bunch], share: int, worker_memory: int
) -> None:
    """Raise if the largest task of some steps does not fit a worker.

    Raises
    ------
    TaskTooLargeError
        As `refuse_if_too_large`.
    """
    members = [member for bunch in bunches for member in bunch.members]
    nbytes, label = largest_task(steps, members, held_by_images(share))
    refuse_if_too_large(nbytes, label, worker_memory)


def unsaid(steps: Iterable[BaseProcessor]) -> list[str]:
    """Names of the steps on whole batches that do not say how much memory they need."""
    return [
        step.step_name
        for step in steps
        if step.form is Form.BATCH
        and not step.headers_only
        and step.memory_needed((1, 1), 1) is None
    ]


def _operands(frames: Sequence[Any]) -> int:
    """Bytes of the masters that are used when frames are read."""
    return sum(one.nbytes for one in {one for each in frames for one in each.pixels.operands})


def _itemsize(frames: Sequence[Any]) -> int:
    return max(_size(frame.dtype) for frame in frames)


def _size(dtype: Any) -> int:
    return max(4, int(dtype.itemsize))
