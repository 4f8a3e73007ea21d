"""Writing header keys: values made of other keys, and values given."""

from __future__ import annotations

from typing import Any

from mirar_dask.data import Image
from mirar_dask.errors import UsageError
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.header_values import as_list, header_text, header_value


class _HeaderWriter(BaseImageProcessor):
    """What the processors of this module share: pixels and files are left alone."""

    headers_only = True
    writes_products = False
    fails_before_changing = True  # nothing here lets an image go on after an error


class HeaderAnnotator(_HeaderWriter):
    """Write a header key from the values of others.

    One input key is copied with its type; the values of several are joined as text, without a
    separator, in the order of the keys.

    Parameters
    ----------
    input_keys : str or list of str
        Header key or keys to read.
    output_key : str
        Header key to write.

    Notes
    -----
    Reads ``input_keys``; writes ``output_key``. Pixels are not looked at. An image that lacks an
    input key fails alone. Source tables are annotated in their metadata.
    """

    base_key = "header_annotator"

    def __init__(self, input_keys: str | list[str], output_key: str) -> None:
        super().__init__()
        self.input_keys: list[str] = as_list(input_keys)
        self.output_key = output_key
        if not self.input_keys:
            raise UsageError("HeaderAnnotator needs at least one input key")

    def description(self) -> str:
        """Say which key is written from which."""
        return f"Write header key {self.output_key} from {' and '.join(self.input_keys)}"

    def changes_keys(self) -> frozenset[str] | None:
        """Change the output key alone."""
        return frozenset({self.output_key})

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Write the key of one image."""
        if len(self.input_keys) == 1:
            image[self.output_key] = header_value(image, self.input_keys[0])
        else:
            image[self.output_key] = "".join(header_text(image, key) for key in self.input_keys)
        return image


class HeaderEditor(_HeaderWriter):
    """Write given values to header keys.

    Parameters
    ----------
    edit_keys : str or list of str
        Header key or keys to write.
    values : str, float, int, bool or list
        The value, or one value for each key.

    Raises
    ------
    UsageError
        If there are not as many values as keys.

    Notes
    -----
    Reads none; writes ``edit_keys``. Keys that are not there are added. Pixels are not looked at.
    Source tables are edited in their metadata.
    """

    base_key = "header_editor"

    def __init__(self, edit_keys: str | list[str], values: str | float | int | list[Any]) -> None:
        super().__init__()
        self.edit_keys: list[str] = as_list(edit_keys)
        self.values: list[Any] = list(values) if isinstance(values, list | tuple) else [values]
        if len(self.edit_keys) != len(self.values):
            raise UsageError(
                f"HeaderEditor got {len(self.edit_keys)} keys ({', '.join(self.edit_keys)}) and "
                f"{len(self.values)} values; give one value for each key"
            )

    def description(self) -> str:
        """Say which values are written."""
        pairs = zip(self.edit_keys, self.values, strict=True)
        return f"Set header keys {' and '.join(f'{key} = {value}' for key, value in pairs)}"

    def changes_keys(self) -> frozenset[str] | None:
        """Change the edited keys alone."""
        return frozenset(self.edit_keys)

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Write the values into the header of one image."""
        for key, value in zip(self.edit_keys, self.values, strict=True):
            image[key] = value
        return image
