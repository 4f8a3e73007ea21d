"""How many pixels the images of one task may keep in memory between its steps."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Holder(Protocol):
    """An image that keeps pixels in memory."""

    def evict(self) -> None:
        """Let go of them, after they were written if they are nowhere else."""


class TaskMemory:
    """The images of a task that keep pixels in memory, the least recently used first.

    Belongs to one task and so to one thread.

    Parameters
    ----------
    budget : int or None
        Bytes that the images may keep together; None for any number.
    """

    def __init__(self, budget: int | None) -> None:
        self.budget = budget
        self._held: OrderedDict[int, tuple[weakref.ref[Holder], int]] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Bytes that the images keep now."""
        return sum(nbytes for _, nbytes in list(self._held.values()))

    def hold(self, image: Holder, nbytes: int) -> None:
        """Note that an image keeps so many bytes and was just used; evict others if need be."""
        key = id(image)
        held = self._held
        if key not in held:
            held[key] = (weakref.ref(image, lambda _: held.pop(key, None)), nbytes)
        else:
            held[key] = (held[key][0], nbytes)
        held.move_to_end(key)
        while self.budget is not None and held and self.nbytes > self.budget:
            _, (reference, _) = held.popitem(last=False)
            if (oldest := reference()) is not None:
                oldest.evict()

    def forget(self, image: Holder) -> None:
        """Note that an image keeps nothing any more."""
        self._held.pop(id(image), None)


_current: ContextVar[TaskMemory | None] = ContextVar("mirar_dask_task_memory", default=None)


@contextmanager
def task_memory(budget: int | None) -> Iterator[TaskMemory]:
    """Let images keep their pixels in memory inside the ``with`` block.

    Inside, ``set_data`` writes no file: new pixels stay in memory until the image is pickled, its
    handle or its file is asked for, or all of them need more than ``budget`` bytes; then the
    least recently used are written to the cache. Holds for the calling thread only.

    Parameters
    ----------
    budget : int or None
        Bytes; None for any number.
    """
    memory = TaskMemory(budget)
    token = _current.set(memory)
    try:
        yield memory
    finally:
        _current.reset(token)


def current_task_memory() -> TaskMemory | None:
    """Return the memory of the task that runs in this thread, if one does."""
    return _current.get()
