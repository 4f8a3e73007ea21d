"""Showing header values in the log."""

from __future__ import annotations

import logging
from typing import Any

from mirar_dask.data import Image
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.header_values import ParsingError, header_text

logger = logging.getLogger(__name__)


class HeaderReader(BaseImageProcessor):
    """Write header values of every image to the log.

    Parameters
    ----------
    *keys : str
        Header keys to show; one that an image lacks is shown as absent.

    Notes
    -----
    Reads the keys named; writes none. Pixels are not looked at.
    """

    base_key = "header_reader"
    headers_only = True
    fails_before_changing = True

    def __init__(self, *keys: str) -> None:
        super().__init__()
        self.keys = keys

    def description(self) -> str:
        """Say which keys are shown."""
        return f"Show header keys {', '.join(self.keys) or '(none)'} in the log"

    def parameters(self) -> dict[str, Any]:
        """Return the keys."""
        return {**super().parameters(), "keys": self.keys}

    def changes_keys(self) -> frozenset[str] | None:
        """Change none."""
        return frozenset()

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Show the values of one image."""
        shown = "; ".join(f"{key}: {_shown(image, key)}" for key in self.keys)
        logger.info("%s: %s", image.get_name(), shown)
        return image


def _shown(image: Image, key: str) -> str:
    try:
        return header_text(image, key)
    except ParsingError:
        return "(absent)"
