"""Selecting source tables by their metadata, and moving them between batches by it.

Only metadata are looked at; what decides is the same as for images
(`mirar_dask.processors.utils.image_selector`).
"""

from __future__ import annotations

from typing import Any

from mirar_dask.data import DataBatch, DataBlock, Dataset, SourceBatch
from mirar_dask.paths import TARGET_KEY
from mirar_dask.processors.base.core import CONTAINED
from mirar_dask.processors.base.forms import default_hook
from mirar_dask.processors.base_processor import (
    BaseSourceProcessor,
    BatchSplitter,
    Form,
    KeyedRegroup,
    Processed,
    names_of,
)
from mirar_dask.processors.utils.header_values import as_list
from mirar_dask.processors.utils.image_selector import (
    Condition,
    batch_key,
    check_conditions,
    matches,
    select_from_images,
    show_conditions,
    split_images_into_batches,
)

__all__ = [
    "SourceBatcher",
    "SourceDebatcher",
    "SourceRebatcher",
    "SourceSelector",
    "select_from_sources",
    "split_sources_into_batches",
]


def select_from_sources(
    batch: SourceBatch,
    key: str = TARGET_KEY,
    target_values: str | list[str] = "science",
) -> SourceBatch:
    """Return the tables of a batch whose metadata value is among those wanted.

    As `mirar_dask.processors.utils.image_selector.select_from_images`.
    """
    return select_from_images(batch, key, target_values)


def split_sources_into_batches(sources: SourceBatch, split_key: str | list[str]) -> Dataset:
    """Divide a batch into batches whose tables share metadata values.

    As `mirar_dask.processors.utils.image_selector.split_images_into_batches`.
    """
    return split_images_into_batches(sources, split_key)


class SourceRouted(BaseSourceProcessor):
    """Base of the source processors that move tables between batches and change nothing in them."""

    headers_only = True
    writes_products = False

    def group_key(self, block: DataBlock) -> tuple[Any, ...] | None:
        """Key of the batch to which a table goes; None sets it aside."""
        raise NotImplementedError

    @default_hook
    def _apply_to_sources(self, batch: SourceBatch) -> SourceBatch:
        return SourceBatch([table for table in batch if self.group_key(table) is not None])

    @default_hook
    def _apply(self, batch: DataBatch[Any]) -> DataBatch[Any]:
        return self._apply_to_sources(batch)  # type: ignore[arg-type]

    def process(self, batch: DataBatch[Any]) -> Processed:
        """Write the history; what a subclass does to the tables, in mirar's way, comes before."""
        if self.form is not Form.PASS:
            return super().process(batch)
        records, kept = [], []
        for table in batch:
            try:
                self.write_history(table)
                kept.append(table)
            except CONTAINED as exc:
                records.append(self.failure(exc, names_of(table)))
        return Processed(type(batch)(kept), records)


class SourceSelector(SourceRouted, BatchSplitter):
    """Select the source tables whose metadata have the values wanted; the others are set aside.

    Parameters
    ----------
    *targets : tuple of str and (str or list of str)
        Metadata keys with the value or values accepted, compared as text; all must hold. A table
        that lacks a key fails alone, with a report that names it and the key.

    Notes
    -----
    Reads the keys named; writes none. Batches that become empty are left out.
    """

    base_key = "select"

    def __init__(self, *targets: Condition) -> None:
        super().__init__()
        self.targets = check_conditions(targets, type(self).__name__)

    def description(self) -> str:
        """Say which tables are selected."""
        return f"Select the source tables with {show_conditions(self.targets) or 'any metadata'}"

    def parameters(self) -> dict[str, Any]:
        """Return the conditions."""
        return {**super().parameters(), "targets": self.targets}

    def group_key(self, block: DataBlock) -> tuple[Any, ...] | None:
        """Keep a table in its batch if it passes."""
        return () if all(matches(block, key, values) for key, values in self.targets) else None


class SourceBatcher(SourceRouted, BatchSplitter):
    """Divide each batch into batches whose source tables share metadata values.

    Parameters
    ----------
    split_key : str or list of str
        Metadata key or keys whose values the tables of a batch share, compared as text.

    Notes
    -----
    Reads the keys named; writes none. Tables of different batches never come together (see
    `SourceRebatcher`); batches come in the order in which their values are first seen.
    """

    base_key = "batch"

    def __init__(self, split_key: str | list[str]) -> None:
        super().__init__()
        self.split_key = split_key

    def description(self) -> str:
        """Say what the tables of a batch share."""
        return f"Divide each batch of source tables by {' and '.join(as_list(self.split_key))}"

    def group_key(self, block: DataBlock) -> tuple[Any, ...] | None:
        """Values that decide to which batch a table goes."""
        return batch_key(block, self.split_key)


class SourceDebatcher(SourceRouted, KeyedRegroup):
    """Put the source tables of all batches into one batch.

    Reads none; writes none.
    """

    base_key = "debatch"

    def description(self) -> str:
        """Say what is done."""
        return "Put all source tables into one batch"

    def group_key(self, block: DataBlock) -> tuple[Any, ...] | None:
        """One key for all."""
        return ()


class SourceRebatcher(SourceRouted, KeyedRegroup):
    """Put the source tables of all batches into new batches that share metadata values.

    Parameters
    ----------
    split_key : str or list of str
        Metadata key or keys whose values the tables of a batch share, compared as text.

    Notes
    -----
    Reads the keys named; writes none. As `SourceDebatcher` followed by `SourceBatcher`.
    """

    base_key = "rebatch"

    def __init__(self, split_key: str | list[str]) -> None:
        super().__init__()
        self.split_key = split_key

    def description(self) -> str:
        """Say what the tables of a batch share."""
        return f"Put all source tables into new batches by {' and '.join(as_list(self.split_key))}"

    def group_key(self, block: DataBlock) -> tuple[Any, ...] | None:
        """Values that decide to which batch a table goes."""
        return batch_key(block, self.split_key)
