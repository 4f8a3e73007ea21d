"""Loading raw frames of any camera: one image a file, or one an extension, told by the file.

Unlike `ImageLoader` alone this asks for no core field: `HeaderNormaliser` writes them next. Only
headers are read.
"""

from __future__ import annotations

from pathlib import Path

from mirar_dask.data import Image
from mirar_dask.data.header_edits import put_texts
from mirar_dask.io import SeveralImagesError, combine_mef_extension_file_headers, open_lazy
from mirar_dask.io.extensions import add_names
from mirar_dask.io.lazy import open_extensions_lazy
from mirar_dask.io.names import extension_name
from mirar_dask.paths import BASE_NAME_KEY, PROC_FAIL_KEY, PROC_HISTORY_KEY, RAW_IMG_SUB_DIR
from mirar_dask.processors.utils import ImageLoader
from mirar_dask.processors.utils.header_normalise import EXTENSION_KEY

NO_SKY = frozenset({"BPM", "DQ", "ERR", "MASK", "QUAL", "UNCERT", "VAR", "WEIGHT", "WHT"})
"""Names of extensions that say something about the pixels of another."""


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


class FrameLoader(ImageLoader):
    """Load the raw frames of a night, whatever their keywords; extensions become images.

    Parameters
    ----------
    input_sub_dir : str
        Folder of the raw frames below the night's.
    input_img_dir : str or Path, optional
        Folder in which the night's folder is looked for; the root of raw data by default.

    Notes
    -----
    No header key is asked for: a `HeaderNormaliser` is meant to follow.
    """

    base_key = "load_frames"
    headers_only = True

    def __init__(
        self, input_sub_dir: str = RAW_IMG_SUB_DIR, input_img_dir: str | Path | None = None
    ) -> None:
        super().__init__(input_sub_dir, input_img_dir, load_image=open_frame)

    def load_one(self, path: Path) -> list[Image]:
        """Open the image, or images, of one file."""
        return open_frame(Path(path))
