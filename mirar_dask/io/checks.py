"""Whether a file or an image is complete."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mirar_dask.errors import ImageNotFoundError, InvalidFitsError, ProcessorError
from mirar_dask.io.structure import FitsFile
from mirar_dask.paths import BASE_NAME_KEY, RAW_IMG_KEY, core_fields

if TYPE_CHECKING:
    from mirar_dask.data import Image


class MissingCoreFieldError(KeyError, ProcessorError):
    """Raised when an image lacks header keys that every image must have; names them all."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""  # KeyError would give the repr


class ExtensionParsingError(ProcessorError):
    """Raised when a file's extensions cannot be told apart."""


class SeveralImagesError(ExtensionParsingError, InvalidFitsError, ValueError):
    """Raised when one image was asked for and a file holds several."""


def check_image_has_core_fields(img: Image) -> None:
    """Raise unless an image has all the core fields (`mirar_dask.paths.core_fields`).

    Raises
    ------
    MissingCoreFieldError
        Names every missing key, and the file.
    """
    keys = set(img.keys())
    missing = [key for key in core_fields if key not in keys]
    if not missing:
        return
    name = next((img[key] for key in (BASE_NAME_KEY, RAW_IMG_KEY) if key in keys), "")
    which = f"image {name}" if name else "an image without a name"
    raise MissingCoreFieldError(
        f"{which} lacks the core field{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
        f"set them in the function that loads it (it has {len(keys)} others)"
    )


def check_file_is_complete(path: Path | str) -> bool:
    """Tell whether a FITS file holds all the data that its headers declare.

    Copying that is still going on, or was interrupted, leaves less. Bytes behind the last HDU, or
    a missing padding at the end, do no harm. Compressed files are decompressed for this.
    """
    return why_incomplete(path) is None


def why_incomplete(path: Path | str) -> str | None:
    """Say in a sentence why a FITS file is not complete, or is none; None if it is.

    As `check_file_is_complete`.
    """
    try:
        with FitsFile(path) as file:
            for hdu in file.hdus():
                file.check_complete(hdu)
            return None if file.ends_well() else f"{path} is truncated: its compressed data end"
    except (ImageNotFoundError, InvalidFitsError) as error:
        return str(error)
