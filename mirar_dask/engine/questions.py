"""What the engine asks of a step before it decides how the step is done."""

from __future__ import annotations

from mirar_dask.processors.base.forms import Form, Regroup
from mirar_dask.processors.base_processor import BaseProcessor, ProcessorWithCache


def is_solo(step: BaseProcessor) -> bool:
    """Whether a step must be a task of its own."""
    return step.concurrency_limit is not None or not step.repeatable


def needs_whole_batch(step: BaseProcessor) -> bool:
    """Whether a step can be done only with all images of its batch in one task."""
    if step.form in (Form.BATCH, Form.SOURCE) or is_solo(step):
        return True
    return step.form is not Form.PASS and step.regroup is Regroup.SPLIT


def measures_frames(step: BaseProcessor) -> bool:
    """Whether the frames of a master must be looked at once before they are combined."""
    return isinstance(step, ProcessorWithCache) and not step.scale_from_header


def combines_frames(step: ProcessorWithCache) -> bool:
    """Whether a master is what `combine_frames` and `finish_master` make of the frames.

    That holds unless a subclass makes, finds or prepares it in a way of its own.
    """
    cls = type(step)
    own = ("make_image", "get_cache_file", "prepare", "select_frames", "keep_master")
    plain = all(getattr(cls, name) is getattr(ProcessorWithCache, name) for name in own)
    return plain and step.combines_rows
