"""What a processor looks at, told from the methods that its class overrides.

The planner asks `form_of` and `regroup_of` to turn a list of processors into a graph. The most
derived override decides, so a processor written in mirar's way keeps its meaning even when it
inherits from one of ours that works image by image.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])


class Form(StrEnum):
    """How a processor looks at the blocks of a batch."""

    SOURCE = "source"
    """Reads files into images; ignores its input."""
    PASS = "pass"
    """Touches no block; only the regrouping behind it does something."""
    IMAGE = "image"
    """One image at a time."""
    GATHER = "gather"
    """Some images of the batch make a context, then one image at a time."""
    BATCH = "batch"
    """All blocks of a batch together."""


class Regroup(StrEnum):
    """What a processor does to the list of batches once every batch is done."""

    NONE = "none"
    """The batches stay as they are."""
    DROP_EMPTY = "drop empty"
    """Empty batches are left out; local to a batch."""
    SPLIT = "split"
    """Each batch is divided, or thinned out, by header values; local to a batch."""
    KEYED = "keyed"
    """Blocks of all batches are merged by a key made of header values."""
    FREE = "free"
    """Anything: the processor sees the whole dataset."""


_ROOTS = ("_apply", "_apply_to_images", "_apply_to_sources", "apply")


def default_hook(method: Method) -> Method:
    """Mark a method of a base class as the one that is there when nobody overrides it."""
    method.__dict__["is_default_hook"] = True
    return method


def regroups(kind: Regroup) -> Callable[[Method], Method]:
    """Mark an ``update_dataset`` whose effect the planner knows without running it."""

    def mark(method: Method) -> Method:
        method.__dict__["regroup"] = kind
        return method

    return mark


def _rank(cls: type, name: str) -> int | None:
    """Position in the method resolution order of the first real override of `name`."""
    for position, parent in enumerate(cls.__mro__):
        method = parent.__dict__.get(name)
        if method is not None:
            return None if getattr(method, "is_default_hook", False) else position
    return None


def form_of(cls: type) -> Form:
    """Tell how a processor class looks at its blocks.

    Parameters
    ----------
    cls : type
        A subclass of `BaseProcessor`.

    Returns
    -------
    Form
        The form of its most derived override; `Form.PASS` when none is overridden.
    """
    by_image = _rank(cls, "apply_to_image")
    by_batch = min(
        (rank for name in _ROOTS if (rank := _rank(cls, name)) is not None), default=None
    )
    source = _rank(cls, "load_one")
    if source is not None and (by_batch is None or source <= by_batch):
        return Form.SOURCE
    if by_image is not None and (by_batch is None or by_image <= by_batch):
        return Form.GATHER if _rank(cls, "prepare") is not None else Form.IMAGE
    return Form.PASS if by_batch is None else Form.BATCH


def regroup_of(cls: type) -> Regroup:
    """Tell what a processor class does to the list of batches."""
    method = getattr(cls, "update_dataset", None)
    return getattr(method, "regroup", Regroup.FREE)
