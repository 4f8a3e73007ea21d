"""Leaving out images by header values: the opposite of the image selector."""

from __future__ import annotations

from typing import Any

from mirar_dask.data import DataBlock
from mirar_dask.paths import TARGET_KEY
from mirar_dask.processors.base_processor import BatchSplitter
from mirar_dask.processors.utils.header_values import as_texts, header_text
from mirar_dask.processors.utils.image_selector import (
    Batch,
    Condition,
    HeaderRouted,
    check_conditions,
    matches,
    show_conditions,
)


def filter_images(
    images: Batch,
    header_key: str = TARGET_KEY,
    reject_values: str | list[str] = "science",
) -> Batch:
    """Return the images of a batch whose header value is not among those rejected.

    Parameters
    ----------
    images : ImageBatch
        The images.
    header_key : str
        Header key to look at.
    reject_values : str or list of str
        Value or values to reject, compared as text.

    Returns
    -------
    ImageBatch
        The same image objects, in their order.

    Raises
    ------
    ParsingError
        If an image lacks the key; the message names the image and the key.
    """
    unwanted = as_texts(reject_values)
    return type(images)(
        [block for block in images if header_text(block, header_key) not in unwanted]
    )


class ImageRejector(HeaderRouted, BatchSplitter):
    """Reject the images whose headers have one of the values named; the others go on.

    ``ImageRejector(("OBSCLASS", ["focus", "test"]), ("TARGET", "junk"))`` sets aside whatever
    matches one of the conditions. Values are compared as text. Batches that become empty are
    left out. An image that lacks a key fails alone, with a report that names it and the key.

    Parameters
    ----------
    *rejects : tuple of str and (str or list of str)
        Header keys with the value or values to reject; one that holds is enough.

    Notes
    -----
    Reads the header keys named; writes none. Pixels are not looked at.
    """

    base_key = "reject"

    def __init__(self, *rejects: Condition) -> None:
        super().__init__()
        self.rejects = check_conditions(rejects, type(self).__name__)

    def description(self) -> str:
        """Say which images are rejected."""
        shown = " or ".join(show_conditions((condition,)) for condition in self.rejects)
        return f"Reject the images with {shown or 'nothing'}"

    def parameters(self) -> dict[str, Any]:
        """Return the conditions."""
        return {**super().parameters(), "rejects": self.rejects}

    def group_key(self, block: DataBlock) -> tuple[Any, ...] | None:
        """Keep a block in its batch unless it is rejected."""
        return None if any(matches(block, key, values) for key, values in self.rejects) else ()
