"""Loading raw frames of any camera: one image a file, or one an extension, told by the file.

Unlike `ImageLoader` alone this asks for no core field: `HeaderNormaliser` writes them next. Only
headers are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mirar_dask.data import Image
from mirar_dask.data.header_edits import put_texts
from mirar_dask.errors import ImageNotFoundError, UsageError
from mirar_dask.io import (
    SeveralImagesError,
    combine_mef_extension_file_headers,
    is_frame_name,
    open_lazy,
)
from mirar_dask.io.extensions import add_names
from mirar_dask.io.lazy import open_extensions_lazy
from mirar_dask.io.names import extension_name, header_text
from mirar_dask.paths import BASE_NAME_KEY, PROC_FAIL_KEY, PROC_HISTORY_KEY, RAW_IMG_SUB_DIR
from mirar_dask.processors.utils import ImageLoader
from mirar_dask.processors.utils.frame_header import FOLDER_KEY
from mirar_dask.processors.utils.header_normalise import EXTENSION_KEY

NO_SKY = frozenset({"BPM", "DQ", "ERR", "MASK", "QUAL", "UNCERT", "VAR", "WEIGHT", "WHT"})
"""Names of extensions that say something about the pixels of another."""

NOT_FRAMES = (".mask.fits", ".weight.fits")
"""Ends of the names of what lies beside frames."""
RUNS = "runs"
"""Folder that every night's output has; what lies beside it are products."""


def open_frame(path: Path) -> list[Image]:
    """Open a raw frame without reading its pixels and without asking for any header key.

    Parameters
    ----------
    path : Path
        A FITS file of one image, or of several extensions.

    Returns
    -------
    list of Image
        One image, or one for each extension that holds one, named ``<stem>_<position>.fits``;
        their headers then have EXTPOS, the position, counted from 0.

    Raises
    ------
    InvalidFitsError
        If it is not a complete FITS image.
    """
    try:
        pixels, header = open_lazy(path)
    except SeveralImagesError:
        images = _open_extensions(path)
    else:
        add_names(header, path)
        images = [Image(pixels, header)]
    for image in images:
        absent = [key for key in (PROC_HISTORY_KEY, PROC_FAIL_KEY) if key not in image]
        put_texts(image.header, dict.fromkeys(absent, ""))
    return images


def _open_extensions(path: Path) -> list[Image]:
    primary, opened = open_extensions_lazy(path)
    add_names(primary, path)
    sky = [one for one in opened if str(one.header.get("EXTNAME", "")).upper() not in NO_SKY]
    images = []
    for one in sky or opened:
        header = combine_mef_extension_file_headers(primary, one.header)
        if len(sky) != 1:
            # The position in the file, so that a table between two images changes no name.
            position = one.hdu.index - 1
            header[BASE_NAME_KEY] = extension_name(str(primary[BASE_NAME_KEY]), position)
            header[EXTENSION_KEY] = position
        images.append(Image(one.pixels, header))
    return images


def frames_below(folder: Path, *, products: bool = True) -> Iterator[Path]:
    """FITS files of a folder and of those below it, in order; hidden folders are left out.

    Parameters
    ----------
    folder : Path
        Where to look.
    products : bool
        Whether what runs wrote is looked at too.
    """
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place).stat()
        if (here.st_dev, here.st_ino) in seen:  # links may lead back to where they are
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        if RUNS in folders and not products:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if is_frame_name(name) and not name.lower().endswith(NOT_FRAMES):
                yield Path(place) / name


def note_folder(images: Iterable[Image], path: Path, above: Path) -> None:
    """Write into headers in which folder, seen from one above, the file of the images lies."""
    if path.parent != above and path.is_relative_to(above):
        inside = header_text(path.parent.relative_to(above))
        for image in images:
            put_texts(image.header, {FOLDER_KEY: inside})


class FrameLoader(ImageLoader):
    """Load the raw frames of a night, whatever their keywords; extensions become images.

    Where the night's folder holds no frame itself, those of all folders below it are taken
    (``LIGHTS/g/...``, ``FLATS/g/...``).

    Parameters
    ----------
    input_sub_dir : str
        Folder of the raw frames below the night's.
    input_img_dir : str or Path, optional
        Folder in which the night's folder is looked for; the root of raw data by default.

    Notes
    -----
    Reads no header key (a `HeaderNormaliser` is meant to follow); writes RAWPATH, BASENAME, and
    SUBDIR where frames lie in folders of the night's.
    """

    base_key = "load_frames"
    headers_only = True

    def __init__(
        self, input_sub_dir: str = RAW_IMG_SUB_DIR, input_img_dir: str | Path | None = None
    ) -> None:
        super().__init__(input_sub_dir, input_img_dir, load_image=open_frame)

    def list_inputs(self) -> list[Path]:
        """Return the frames of the night, sorted by name; else those of the folders below it.

        Raises
        ------
        ImageNotFoundError
            If there are none.
        UsageError
            If two of them have one name.
        """
        try:
            return super().list_inputs()
        except ImageNotFoundError:
            folder = self.input_folder()
            found = list(frames_below(folder, products=False)) if folder.is_dir() else []
            if not found:
                raise
        first: dict[str, Path] = {}
        for path in found:
            other = first.setdefault(path.name, path)
            if other is not path:
                here, there = (str(one.relative_to(folder)) for one in (other, path))
                raise UsageError(
                    f"two frames below {folder} have one name, {here} and {there}; frames and "
                    "products are told apart by it: rename them, or make a folder of links whose "
                    "names differ"
                )
        return found

    def load_one(self, path: Path) -> list[Image]:
        """Open the image, or images, of one file."""
        images = open_frame(Path(path))
        note_folder(images, Path(path), self.input_folder())
        return images
