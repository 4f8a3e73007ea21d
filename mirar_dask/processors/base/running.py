"""Takes a dataset through one processor, batch after batch, and keeps figures of it.

This is the serial loop; `BaseProcessor` says what becomes of one batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mirar_dask.data import DataBatch, Dataset
from mirar_dask.errors import ErrorStack
from mirar_dask.processors.base.outcome import Record, Row, Stepped, error_stack

if TYPE_CHECKING:
    from mirar_dask.processors.base.core import BaseProcessor


def take_through(
    processor: BaseProcessor, dataset: Dataset, tick: Callable[[float], None] | None = None
) -> Stepped:
    """Let every batch see the processor, then regroup, then write the table of all batches.

    Parameters
    ----------
    processor : BaseProcessor
        The step.
    dataset : Dataset
        The batches; they are modified.
    tick : callable, optional
        Told the seconds that each batch took.
    """
    records: list[Record] = []
    rows: list[Row] = []
    batches: list[DataBatch] = []
    for batch in dataset:
        start = time.perf_counter()
        done = processor.process(batch)
        records += done.records
        rows += done.rows
        if done.batch is not None:
            batches.append(done.batch)
        if tick is not None:
            tick(time.perf_counter() - start)
    stepped = processor.rearrange(Dataset(batches))
    records += stepped.records
    records += processor.save_table(rows)
    return Stepped(stepped.dataset, records)


def take_through_with_figures(
    processor: BaseProcessor, dataset: Dataset
) -> tuple[Dataset, ErrorStack]:
    """Do the same, and leave figures in the ``latest_`` attributes of the processor."""
    start = time.perf_counter()
    processor.latest_batch_runtimes = []
    processor.latest_n_input_batches = len(dataset)
    processor.latest_n_input_blocks = sum(len(batch) for batch in dataset)
    stepped = processor.step(dataset, processor.latest_batch_runtimes.append)
    processor.latest_error_stack = error_stack(stepped.records)
    processor.latest_n_output_batches = len(stepped.dataset)
    processor.latest_n_output_blocks = sum(len(batch) for batch in stepped.dataset)
    processor.latest_runtime = time.perf_counter() - start
    return stepped.dataset, processor.latest_error_stack


def latest_figures(processor: BaseProcessor) -> dict[str, Any]:
    """Return the figures that were left, under mirar's names (times in seconds)."""
    runtimes, errors = processor.latest_batch_runtimes, processor.latest_error_stack
    n_blocks = max(processor.latest_n_input_blocks, processor.latest_n_output_blocks)
    return {
        "processor": type(processor).__name__,
        "n_cpu": min(1, processor.latest_n_input_batches),
        "runtime": processor.latest_runtime,
        "batch_runtime_total": sum(runtimes),
        "batch_runtime_max": max(runtimes, default=0.0),
        "runtime_per_block": processor.latest_runtime / n_blocks if n_blocks else 0.0,
        "n_input_batches": processor.latest_n_input_batches,
        "n_input_blocks": processor.latest_n_input_blocks,
        "n_output_batches": processor.latest_n_output_batches,
        "n_output_blocks": processor.latest_n_output_blocks,
        "n_errors": len(errors.reports),
        "n_noncritical_errors": len(errors.noncritical_reports),
    }
