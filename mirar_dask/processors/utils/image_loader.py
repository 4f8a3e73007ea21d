"""Loading raw frames: the sources of a pipeline.

A loader lists files and opens each; our own opening functions read headers only, so that a whole
night is planned before its first pixel is read. A file that cannot be read is reported by name
and never takes the others with it. Files are never renamed or changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mirar_dask.data import Image, ImageBatch
from mirar_dask.errors import ImageNotFoundError, NoncriticalProcessingError, ProcessorError
from mirar_dask.io import (
    MissingCoreFieldError,
    check_file_is_complete,
    check_image_has_core_fields,
    is_frame_name,
    list_frames,
    open_mef_image,
    open_raw_image,
)
from mirar_dask.paths import RAW_IMG_KEY, RAW_IMG_SUB_DIR, raw_img_dir
from mirar_dask.processors.base_processor import (
    BaseImageLoader,
    BaseImageProcessor,
    Record,
    Status,
)
from mirar_dask.processors.utils.header_values import as_list, callable_name, header_value

logger = logging.getLogger(__name__)

LoadImage = Callable[[Path], Image | list[Image]]
"""Opens a file; may raise BadImageError, or InvalidImage for a frame that is to be passed over."""


def reads_headers_only(open_f: LoadImage) -> bool:
    """Tell whether a function is one of ours that leave the pixels in the file."""
    if isinstance(open_f, partial):
        options = set(open_f.keywords) <= {"dtype", "extension_key"}
        return options and not open_f.args and reads_headers_only(open_f.func)
    return open_f in (open_raw_image, open_mef_image)


class BadImageError(ProcessorError):
    """Raised when a frame cannot be used: it is broken, or lacks what every image must have."""


class InvalidImage(NoncriticalProcessingError):
    """Raised by an opening function when a frame is of a kind that shall be passed over."""


def load_images(path: Path, open_f: LoadImage) -> list[Image]:
    """Open one file by a function and check what it gives.

    Raises
    ------
    BadImageError
        If the file is incomplete, the function returns no images, or one of them lacks a core
        field; the message names the file.
    """
    checked = reads_headers_only(open_f) or not is_frame_name(path.name)
    if not checked and path.is_file() and not check_file_is_complete(path):
        raise BadImageError(f"'{path}' is not complete; copy it again, or remove it")
    loaded: Any = open_f(path)
    several = isinstance(loaded, Iterable) and not isinstance(loaded, Image)
    images: list[Image] = list(loaded) if several else [loaded]
    if not all(isinstance(image, Image) for image in images):
        raise BadImageError(
            f"'{callable_name(open_f)}' returned {type(loaded).__name__} for '{path}', not an "
            "Image or a list of them"
        )
    for image in images:
        check_core_fields(image)
    return images


def check_core_fields(image: Image) -> None:
    """Raise BadImageError if an image lacks a core field."""
    try:
        check_image_has_core_fields(image)
    except MissingCoreFieldError as exc:
        raise BadImageError(str(exc.args[0]) if exc.args else str(exc)) from exc


def load_from_list(img_list: Sequence[str | Path], open_f: LoadImage) -> ImageBatch:
    """Load the images of a list of files, without those of files that cannot be read.

    Parameters
    ----------
    img_list : sequence of Path
        The files.
    open_f : callable
        Given a path, returns an Image or several.

    Returns
    -------
    ImageBatch
        The images in the order of the files. A file that is left out is named in the log, with
        the reason. (The loaders below report it instead.)
    """
    images = ImageBatch()
    for path in map(Path, img_list):
        try:
            images.extend(load_images(path, open_f))
        except InvalidImage as exc:
            logger.warning("%s is passed over: %s", path, exc or "it is of no use here")
        except Exception as exc:
            logger.error("%s is left out: %s: %s", path, type(exc).__name__, exc)
    return images


def load_from_dir(input_dir: str | Path, open_f: LoadImage) -> ImageBatch:
    """Load the images of all frames of a folder, sorted by name; see `load_from_list`.

    Raises
    ------
    ImageNotFoundError
        If there is no such folder, or no frame in it.
    """
    return load_from_list(frames_of(Path(input_dir)), open_f)


def frames_of(folder: Path) -> list[Path]:
    """Return the frames of a folder, sorted by name.

    Raises
    ------
    ImageNotFoundError
        If there is no such folder, or no frame in it; the message says what is there.
    """
    try:
        frames = list_frames(folder)
    except ImageNotFoundError as exc:
        raise ImageNotFoundError(
            f"no images found: there is no folder '{folder}'; it should hold the raw frames "
            "(check the night, and RAW_DATA_DIR or --raw)"
        ) from exc
    if not frames:
        others = sum(1 for _ in folder.iterdir())
        raise ImageNotFoundError(
            f"no images found in '{folder}': it holds {others} other files or folders and no "
            "frame; frames are .fits, .fit and .fts files, also compressed (.fz, .gz, .bz2)"
        )
    return frames


class _FileLoader(BaseImageLoader):
    """What the loaders share: how one file is opened."""

    image_type = Image
    default_load_image: Callable[..., Image | list[Image]] = staticmethod(open_raw_image)
    """Opens a file where the user names no function."""

    def __init__(self, load_image: LoadImage | None = None) -> None:
        super().__init__()
        self.load_image = self.default_load_image if load_image is None else load_image

    @property
    def headers_only(self) -> bool:  # type: ignore[override]
        """Whether no pixel is read: not known of a function of the user's."""
        return reads_headers_only(self.load_image)

    def load_one(self, path: Path) -> list[Image]:
        """Load the image, or images, of one file."""
        return load_images(Path(path), self.load_image)

    def load_file(self, path: Path) -> tuple[list[Image], list[Record]]:
        """Load one file; what fails is reported, and what shall be passed over is set aside."""
        images, records = super().load_file(path)
        return images, [_passed_over(record) for record in records]


def _passed_over(record: Record) -> Record:
    if record.report is None or not record.report.non_critical_bool:
        return record
    return Record(record.names, Status.SET_ASIDE, record.step, record.reason)


class ImageLoader(_FileLoader):
    """Load the raw frames of a night into one batch, sorted by file name.

    Frames are the files ``.fits``, ``.fit`` and ``.fts``, also compressed (``.fz``, ``.gz``,
    ``.bz2``), of ``<raw>/<night>/<input_sub_dir>``. A file that cannot be read, or that lacks a
    core field, fails alone with a report that names it. What came before is not looked at.

    Parameters
    ----------
    input_sub_dir : str
        Folder of the raw frames below the night's.
    input_img_dir : str or Path, optional
        Folder in which the night's folder is looked for; the root of raw data by default.
    load_image : callable, optional
        Given a path, returns an Image or a list of them. It may raise `InvalidImage` for a frame
        that shall be passed over. By default `open_raw_image`, which reads headers only.

    Notes
    -----
    Reads the core fields; writes RAWPATH, BASENAME.

    The images have the core fields (OBSCLASS, TARGET, DATE-OBS, COADDS, GAIN, CALSTEPS, PROCFAIL,
    RAWPATH, BASENAME, EXPTIME). Pixels stay in the files until they are looked at; integers then
    become floats, and pixels that the file declares blank become NaN.
    """

    base_key = "load"

    def __init__(
        self,
        input_sub_dir: str = RAW_IMG_SUB_DIR,
        input_img_dir: str | Path | None = None,
        load_image: LoadImage | None = None,
    ) -> None:
        super().__init__(load_image)
        self.input_sub_dir = input_sub_dir
        self.input_img_dir = None if input_img_dir is None else Path(input_img_dir).absolute()

    def description(self) -> str:
        """Name the folder and the function."""
        return (
            f"Load images from the '{self.input_sub_dir}' folder by the function "
            f"'{callable_name(self.load_image)}'"
        )

    def input_folder(self) -> Path:
        """Return the folder of the night's raw frames."""
        return raw_img_dir(
            self.night_sub_dir or "", raw_dir=self.input_img_dir, img_sub_dir=self.input_sub_dir
        )

    def list_inputs(self) -> list[Path]:
        """Return the frames of the night, sorted by name."""
        return frames_of(self.input_folder())


class MEFLoader(ImageLoader):
    """Load multi-extension frames: each extension becomes an image of its own.

    An image is called ``<stem>_<extension>.fits`` and has the keys of the primary header where
    its own lacks them. Otherwise as `ImageLoader`, with the same parameters.
    """

    base_key = "load_mef"
    default_load_image = staticmethod(open_mef_image)


class ImageListLoader(_FileLoader):
    """Load the images of a list of files into one batch, in the order of the list.

    A file that cannot be read fails alone with a report that names it. What came before is not
    looked at.

    Parameters
    ----------
    img_list : list of str or Path
        The files.
    load_image : callable, optional
        As in `ImageLoader`.

    Raises
    ------
    ImageNotFoundError
        If the list is empty.

    Notes
    -----
    Reads the core fields; writes RAWPATH, BASENAME.
    """

    base_key = "loadlist"

    def __init__(self, img_list: Sequence[str | Path], load_image: LoadImage | None = None) -> None:
        super().__init__(load_image)
        self.img_list = [Path(path).absolute() for path in img_list]
        if not self.img_list:
            raise ImageNotFoundError("ImageListLoader got an empty list; name at least one file")

    def description(self) -> str:
        """Count the files."""
        return f"Load images from a list of {len(self.img_list)} files"

    def list_inputs(self) -> list[Path]:
        """Return the files of the list."""
        return list(self.img_list)


class LoadImageFromHeader(BaseImageProcessor):
    """Replace every image by the one in a file that its header names.

    Parameters
    ----------
    header_key : str
        Header key with the path of the file; by default the raw frame's.
    copy_header_keys : str or list of str, optional
        Header keys that the new image gets from the old one, with their comments.
    load_image : callable
        Given a path, returns an Image.

    Notes
    -----
    Reads ``header_key``, ``copy_header_keys``; writes every key: the header is the file's apart
    from those copied. The new pixels, and which of them are masked, are the file's. An image that
    lacks a key, or whose file cannot be loaded, fails alone.
    """

    base_key = "load_from_header"
    writes_products = False
    fails_before_changing = True

    def __init__(
        self,
        header_key: str = RAW_IMG_KEY,
        copy_header_keys: str | list[str] | None = None,
        load_image: LoadImage = open_raw_image,
    ) -> None:
        super().__init__()
        self.header_key = header_key
        self.copy_header_keys = None if copy_header_keys is None else as_list(copy_header_keys)
        self.load_image = load_image

    def description(self) -> str:
        """Name the header key."""
        return f"Load images from the files named in header key {self.header_key}"

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Load the image that the header of another names.

        Raises
        ------
        BadImageError
            If the file holds several images or none, or one that lacks a core field.
        """
        path = Path(str(header_value(image, self.header_key)))
        copied = [
            (key, header_value(image, key), image.get_header().comments[key])
            for key in self.copy_header_keys or []
        ]
        images = load_images(path, self.load_image)
        if len(images) != 1:
            raise BadImageError(
                f"'{path}', named in {self.header_key} of '{image.get_name()}', holds "
                f"{len(images)} images; one is needed"
            )
        for key, value, comment in copied:
            images[0].get_header()[key] = (value, comment)
        return images[0]
