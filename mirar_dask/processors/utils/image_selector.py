"""Selecting images by header values, and moving images between batches by them.

Only headers are looked at, so a plan knows the result before any pixel is read. The image
rejector and the source selectors build on the functions here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from mirar_dask.data import DataBatch, DataBlock, Dataset
from mirar_dask.errors import UsageError
from mirar_dask.paths import TARGET_KEY
from mirar_dask.processors.base.core import CONTAINED
from mirar_dask.processors.base.forms import default_hook
from mirar_dask.processors.base_processor import (
    BaseImageProcessor,
    BatchSplitter,
    Form,
    KeyedRegroup,
    Processed,
    names_of,
)
from mirar_dask.processors.utils.header_values import (
    ParsingError,
    as_list,
    as_texts,
    header_text,
)

__all__ = [
    "HeaderRouted",
    "ImageBatcher",
    "ImageDebatcher",
    "ImageRebatcher",
    "ImageSelector",
    "ParsingError",
    "batch_key",
    "matches",
    "select_from_images",
    "split_images_into_batches",
]

Batch = TypeVar("Batch", bound=DataBatch[Any])
Condition = tuple[str, Any]
"""A header key, and the value or list of values that it may have."""


def matches(block: DataBlock, key: str, values: object) -> bool:
    """Tell whether a header value, as text, equals one of the texts of `values`."""
    return header_text(block, key) in as_texts(values)


def select_from_images(
    batch: Batch,
    key: str = TARGET_KEY,
    target_values: str | list[str] = "science",
) -> Batch:
    """Return the images of a batch whose header value is among those wanted.

    Parameters
    ----------
    batch : ImageBatch
        The images; source tables are selected by their metadata.
    key : str
        Header key to look at.
    target_values : str or list of str
        Accepted value or values; compared as text, so ``1`` accepts ``1`` but not ``1.0``.

    Returns
    -------
    ImageBatch
        The same image objects, in their order.

    Raises
    ------
    ParsingError
        If an image lacks the key; the message names the image and the key.
    """
    wanted = as_texts(target_values)
    return type(batch)([block for block in batch if header_text(block, key) in wanted])


def batch_key(block: DataBlock, split_key: str | Iterable[str]) -> tuple[str, ...]:
    """Header values, as texts, that decide to which batch a block goes.

    A tuple and not one joined text: ('x_y', 'z') and ('x', 'y_z') are two batches.
    """
    return tuple(header_text(block, key) for key in as_list(split_key))


def split_images_into_batches(images: DataBatch[Any], split_key: str | list[str]) -> Dataset:
    """Divide a batch into batches whose images share header values.

    Parameters
    ----------
    images : ImageBatch
        The images; source tables are divided by their metadata.
    split_key : str or list of str
        Header key or keys whose values the images of a batch share.

    Returns
    -------
    Dataset
        The batches, in the order in which their values are first seen.

    Raises
    ------
    ParsingError
        If an image lacks one of the keys.
    """
    groups: dict[tuple[str, ...], list[DataBlock]] = {}
    for block in images:
        groups.setdefault(batch_key(block, split_key), []).append(block)
    return Dataset([type(images)(blocks) for blocks in groups.values()])


def check_conditions(conditions: tuple[Condition, ...], owner: str) -> tuple[Condition, ...]:
    """Make sure that each condition is a header key with a value or values.

    Raises
    ------
    UsageError
        If one is something else; the message shows it and the form that is expected.
    """
    for condition in conditions:
        pair = isinstance(condition, tuple | list) and len(condition) == 2
        if not pair or not isinstance(condition[0], str):
            raise UsageError(
                f"{owner} got {condition!r}; expected pairs of header key and value or values, "
                f"as in {owner}(('OBSCLASS', ['science', 'flat']))"
            )
    return tuple((key, values) for key, values in conditions)


def show_conditions(conditions: tuple[Condition, ...]) -> str:
    """Conditions in words."""
    return " and ".join(
        f"{key} = {' or '.join(str(value) for value in as_list(values))}"
        for key, values in conditions
    )


class HeaderRouted(BaseImageProcessor):
    """Base of the image processors that move images between batches and change nothing in them.

    In a run the regrouping does the work, so that it is told what became of every image. Called
    for one batch by itself, `apply` leaves out the images that are not selected, as in mirar.
    """

    headers_only = True
    writes_products = False

    def group_key(self, block: DataBlock) -> tuple[Any, ...] | None:
        """Key of the batch to which a block goes; None sets it aside."""
        raise NotImplementedError

    @default_hook
    def _apply_to_images(self, batch: DataBatch[Any]) -> Any:
        return type(batch)([block for block in batch if self.group_key(block) is not None])

    def process(self, batch: DataBatch[Any]) -> Processed:
        """Write the history; what a subclass does to the images, in mirar's way, comes before."""
        if self.form is not Form.PASS:
            return super().process(batch)
        records, kept = [], []
        for block in batch:
            try:
                self.write_history(block)
                kept.append(block)
            except CONTAINED as exc:
                records.append(self.failure(exc, names_of(block)))
        return Processed(type(batch)(kept), records)


class ImageSelector(HeaderRouted, BatchSplitter):
    """Select the images whose headers have the values wanted; the others are set aside.

    ``ImageSelector(("OBSCLASS", "science"), ("FILTER", ["g", "r"]))`` keeps the images that are
    science and have filter g or r. Values are compared as text. Batches that become empty are
    left out. An image that lacks a key fails alone, with a report that names it and the key.

    Parameters
    ----------
    *targets : tuple of str and (str or list of str)
        Header keys with the value or values accepted; all must hold.

    Notes
    -----
    Reads the header keys named; writes none. Pixels are not looked at. Source tables are
    selected by their metadata.
    """

    base_key = "select"

    def __init__(self, *targets: Condition) -> None:
        super().__init__()
        self.targets = check_conditions(targets, type(self).__name__)

    def description(self) -> str:
        """Say which images are selected."""
        return f"Select the images with {show_conditions(self.targets) or 'any header'}"

    def parameters(self) -> dict[str, Any]:
        """Return the conditions."""
        return {**super().parameters(), "targets": self.targets}

    def group_key(self, block: DataBlock) -> tuple[Any, ...] | None:
        """Keep a block in its batch if it passes."""
        return () if all(matches(block, key, values) for key, values in self.targets) else None


class ImageBatcher(HeaderRouted, BatchSplitter):
    """Divide each batch into batches whose images share header values.

    ``ImageBatcher(split_key="FILTER")`` makes one batch a filter of each batch; with
    ``split_key="BASENAME"`` every image gets a batch of its own. Images of different batches
    never come together (see `ImageRebatcher`). Batches come in the order in which their values
    are first seen. An image that lacks a key fails alone, with a report.

    Parameters
    ----------
    split_key : str or list of str
        Header key or keys whose values the images of a batch share, compared as text.

    Notes
    -----
    Reads the header keys named; writes none. Pixels are not looked at.
    """

    base_key = "batch"

    def __init__(self, split_key: str | list[str]) -> None:
        super().__init__()
        self.split_key = split_key

    def description(self) -> str:
        """Say what the images of a batch share."""
        return f"Divide each batch into batches that share {_and(self.split_key)}"

    def group_key(self, block: DataBlock) -> tuple[Any, ...] | None:
        """Values that decide to which batch a block goes."""
        return batch_key(block, self.split_key)


class ImageDebatcher(HeaderRouted, KeyedRegroup):
    """Put the images of all batches into one batch.

    For images that were divided at an earlier step and shall now be seen together, or be divided
    by other keys. Reads none; writes none. Pixels are not looked at.
    """

    base_key = "debatch"

    def description(self) -> str:
        """Say what is done."""
        return "Put all images into one batch"

    def group_key(self, block: DataBlock) -> tuple[Any, ...] | None:
        """One key for all."""
        return ()


class ImageRebatcher(HeaderRouted, KeyedRegroup):
    """Put the images of all batches into new batches that share header values.

    As `ImageDebatcher` followed by `ImageBatcher`. Images come in the order of the batches that
    they were in. An image that lacks a key fails alone, with a report.

    Parameters
    ----------
    split_key : str or list of str
        Header key or keys whose values the images of a batch share, compared as text.

    Notes
    -----
    Reads the header keys named; writes none. Pixels are not looked at.
    """

    base_key = "rebatch"

    def __init__(self, split_key: str | list[str]) -> None:
        super().__init__()
        self.split_key = split_key

    def description(self) -> str:
        """Say what the images of a batch share."""
        return f"Put all images into new batches that share {_and(self.split_key)}"

    def group_key(self, block: DataBlock) -> tuple[Any, ...] | None:
        """Values that decide to which batch a block goes."""
        return batch_key(block, self.split_key)


def _and(keys: str | list[str]) -> str:
    return " and ".join(as_list(keys))
