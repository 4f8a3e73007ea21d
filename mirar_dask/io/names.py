"""File names of frames: which files are frames, and what their images are called."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from mirar_dask.errors import ImageNotFoundError, UsageError
from mirar_dask.paths import COMPRESSION_SUFFIXES, strip_compression_suffix

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
FITS_SUFFIXES = (".fits", ".fit", ".fts")


def is_frame_name(name: str) -> bool:
    """Tell whether a file of this name may be a frame: ``.fits``, ``.fit``, ``.fts``, ``.fz``.

    In any case of letters, and also compressed (``.fits.gz``, ``.fits.bz2``, ``.fits.fz``);
    hidden files are none.
    """
    if name.startswith("."):
        return False
    lower = name.lower()
    if lower.endswith(".fz"):
        return len(lower) > len(".fz")
    for suffix in COMPRESSION_SUFFIXES:
        lower = lower.removesuffix(suffix)
    return lower.endswith(FITS_SUFFIXES)


def list_frames(folder: Path | str) -> list[Path]:
    """Return the frames of a folder, sorted by name; hidden files and sub-folders are no frames.

    Raises
    ------
    ImageNotFoundError
        If there is no such folder.
    UsageError
        If it is a file, or may not be read.
    """
    folder = Path(folder)
    try:
        entries = [e.name for e in folder.iterdir() if is_frame_name(e.name) and not e.is_dir()]
    except FileNotFoundError:
        raise ImageNotFoundError(errno.ENOENT, "no such folder", str(folder)) from None
    except NotADirectoryError:
        raise UsageError(f"{folder} is a file; give the folder that holds the frames") from None
    except PermissionError:
        raise UsageError(f"{folder} may not be read; change its permissions") from None
    return [folder / name for name in sorted(entries)]


def base_name(path: Path | str) -> str:
    """Return what the image in a file is called: its name without a compression suffix.

    Products are named after it, and are not compressed because the frame was.

    Examples
    --------
    >>> base_name("night/a.fits.fz"), base_name("b.fz"), base_name("c.fit")
    ('a.fits', 'b.fits', 'c.fit')
    """
    name = Path(path).name
    plain = strip_compression_suffix(name)
    if plain != name and not plain.lower().endswith(FITS_SUFFIXES):
        plain += ".fits"
    return plain


def extension_name(name: str, extension: object) -> str:
    """Return what an extension's image is called, ``<stem>_<extension>.fits``.

    Examples
    --------
    >>> extension_name("mosaic.fits.fz", 3)
    'mosaic_3.fits'
    """
    plain = base_name(name)
    for suffix in FITS_SUFFIXES:
        if plain.lower().endswith(suffix):
            plain = plain[: -len(suffix)]
            break
    return f"{plain}_{extension}.fits"


def header_text(path: Path | str) -> str:
    """Return a path as a header may hold it: a FITS header knows printable ASCII alone."""
    text = Path(path).as_posix().encode("ascii", "backslashreplace").decode()
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
