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
    """Whether a master can be combined of rows of its frames, in tasks of their own."""
    return step.combines_plainly and step.combines_rows
