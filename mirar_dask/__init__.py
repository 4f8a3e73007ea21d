"""Reduces nights of astronomical images in parallel with Dask, on mirar's data model.

Importing the package imports nothing heavy, starts nothing and creates no folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["__version__"]

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> Any:
        """Look the version up when it is asked for: `importlib.metadata` costs 20 ms."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import metadata

        try:
            version = metadata.version("mirar-dask")
        except metadata.PackageNotFoundError:  # a source tree that is not installed
            version = "0+unknown"
        globals()["__version__"] = version
        return version
