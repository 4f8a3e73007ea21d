"""Calibration frames that a night lacks, found among the raw frames of earlier nights.

mirar's `CalHunter` and its requirements. `imager` has a search of its own (``--calibrations``),
which chooses by what the frames need; this one looks for what a pipeline says that it needs.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from mirar_dask.data import Image, ImageBatch, ImageHandle
from mirar_dask.errors import ImageNotFoundError, MissingCalibrationError
from mirar_dask.io import list_frames, open_raw_image
from mirar_dask.paths import BASE_NAME_KEY, RAW_IMG_SUB_DIR, TARGET_KEY, raw_img_dir
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.header_values import as_list, callable_name
from mirar_dask.processors.utils.image_loader import (
    LoadImage,
    load_from_list,
    reads_headers_only,
)

logger = logging.getLogger(__name__)


class MissingCalibrationsError(MissingCalibrationError):
    """Raised when neither a night nor those before it hold a calibration that is required."""


class CalRequirement:
    """A kind of calibration frames that a reduction needs.

    Parameters
    ----------
    target_name : str
        TARGET of the frames, such as ``dark``.
    required_field : str
        Header key, such as ``EXPTIME``.
    required_values : str or list of str
        There must be frames with each of these values. Numbers are compared as such: ``"120.0"``
        is 120.

    Attributes
    ----------
    data : dict
        Value -> the frames that were found for it.
    success : bool
        Whether there are some for each.
    """

    def __init__(
        self, target_name: str, required_field: str, required_values: str | list[str]
    ) -> None:
        self.target_name = target_name
        self.required_field = required_field
        self.required_values: list[str] = as_list(required_values)
        self.success = False
        self.data: dict[str, ImageBatch] = {}

    @property
    def missing(self) -> list[str]:
        """Values for which no frame was found yet."""
        return [value for value in self.required_values if value not in self.data]

    def check_images(self, images: ImageBatch) -> None:
        """Take the frames for values that are still missing from a batch, and look again."""
        for value in self.missing:
            found = ImageBatch([image for image in images if self._fits(image, value)])
            if len(found):
                self.data[value] = found
        self.success = not self.missing

    def _fits(self, image: Image, value: str) -> bool:
        return _same(image.get(TARGET_KEY), self.target_name) and _same(
            image.get(self.required_field), value
        )

    def __str__(self) -> str:
        values = " or ".join(str(value) for value in self.missing or self.required_values)
        return f"'{self.target_name}' with {self.required_field} = {values}"

    def __repr__(self) -> str:
        return (
            f"CalRequirement({self.target_name!r}, {self.required_field!r}, "
            f"{self.required_values!r})"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CalRequirement) and repr(other) == repr(self)

    __hash__ = None  # type: ignore[assignment]


def _same(found: Any, wanted: str) -> bool:
    if found is None:
        return False
    if str(found) == str(wanted):
        return True
    try:
        return float(found) == float(wanted)
    except (TypeError, ValueError):
        return False


def update_requirements(
    requirements: list[CalRequirement], images: ImageBatch
) -> list[CalRequirement]:
    """Let requirements that are not met look for their frames in a batch; return them."""
    for requirement in requirements:
        if not requirement.success:
            requirement.check_images(images)
    return requirements


def earlier_nights(latest_dir: Path, night: str) -> tuple[Path, Path, list[str]]:
    """Find the nights before one, the newest first, by their folders' names.

    Parameters
    ----------
    latest_dir : Path
        Folder of the night's raw frames.
    night : str
        Name of the night. Only names of its form count, with a digit wherever it has one.

    Returns
    -------
    tuple of Path, Path and list of str
        The folder of all nights, where a night's frames lie in its own, and the nights.
    """
    parts = latest_dir.parts
    if night in parts:
        place = len(parts) - 1 - parts[::-1].index(night)
        root, inside = Path(*parts[:place]), Path(*parts[place + 1 :])
    else:
        root, inside = latest_dir, Path()
    form = re.sub(r"\d", "0", night)
    try:
        names = [path.name for path in root.iterdir() if path.is_dir()]
    except FileNotFoundError:
        names = []
    before = [name for name in names if re.sub(r"\d", "0", name) == form and name < night]
    return root, inside, sorted(before, reverse=True)


def find_required_cals(
    latest_dir: Path,
    night: str,
    requirements: list[CalRequirement],
    open_f: Callable[[Path], Image | list[Image]] = open_raw_image,
    images: ImageBatch | None = None,
    skip_latest_night: bool = False,
    *,
    scan_f: LoadImage | None = None,
) -> ImageBatch:
    """Add to images the calibration frames that they lack, from the nights before.

    Parameters
    ----------
    latest_dir : Path
        Folder of the night's raw frames.
    night : str
        Name of the night.
    requirements : list of CalRequirement
        What must be there; they are not changed.
    open_f : callable
        Opens a file as an image, or several.
    images : ImageBatch, optional
        What is there already; it is not changed.
    skip_latest_night : bool
        Do not look in the night's own folder.
    scan_f : callable, optional
        Opens a file for a look at its headers; `open_f` is then called for what is selected only.
        By default `open_f`, one file at a time.

    Returns
    -------
    ImageBatch
        The images, then the frames that were found, those of each value from the newest night that
        has any. One whose name is taken is called ``<night>_<name>``.

    Raises
    ------
    MissingCalibrationsError
        If something is found nowhere; the message names it.
    """
    images = ImageBatch() if images is None else images
    wanted = update_requirements(copy.deepcopy(requirements), images)
    root, inside, nights = earlier_nights(Path(latest_dir), str(night))
    looked = 0
    found: list[tuple[str, Image]] = []
    for name in [*([] if skip_latest_night else [str(night)]), *nights]:
        if all(requirement.success for requirement in wanted):
            break
        looked += 1
        folder = Path(latest_dir) if name == str(night) else root / name / inside
        found += [(name, image) for image in _look_in(folder, wanted, open_f, scan_f)]
    missing = [str(requirement) for requirement in wanted if not requirement.success]
    if missing:
        where = f"nor in the {looked} nights in {root} that were looked through"
        raise MissingCalibrationsError(
            f"there is no {'; no '.join(missing)}: not among the {len(images)} images of {night}, "
            f"{where}; add such frames, or take the requirement out of the pipeline"
        )
    if found:
        logger.info("%d calibration frames of earlier nights join %s", len(found), night)
    return ImageBatch([*images, *_named_apart(images, found)])


def _look_in(
    folder: Path, wanted: Sequence[CalRequirement], open_f: LoadImage, scan_f: LoadImage | None
) -> list[Image]:
    """Return the frames of a folder that fit what is still missing, in the order of their names."""
    try:
        paths = list_frames(folder)
    except ImageNotFoundError:
        return []
    values = [(requirement, value) for requirement in wanted for value in requirement.missing]
    found: list[Image] = []
    for path in paths:
        # One at a time: of a night that is loaded whole most would be thrown away.
        for image in _scan(path, scan_f or open_f):
            fitting = [(one, value) for one, value in values if one._fits(image, value)]
            if not fitting:
                continue
            loaded = image if scan_f is None else _same_image(image, path, open_f)
            found.append(loaded)
            for one, value in fitting:
                one.data.setdefault(value, ImageBatch()).append(loaded)
    for requirement in wanted:
        requirement.success = not requirement.missing
    return found


def _scan(path: Path, open_f: LoadImage) -> Iterable[Image]:
    """Load a file for a look at its headers; where no pixel is read, once for all looks."""
    if not reads_headers_only(open_f):
        return load_from_list([path], open_f)
    try:
        mark = path.stat()
    except OSError:
        return ()
    handles = _scanned(path, open_f, mark.st_size, mark.st_mtime_ns)
    return (handle.open() for handle in handles)


@lru_cache(maxsize=10_000)
def _scanned(path: Path, open_f: LoadImage, size: int, mtime_ns: int) -> tuple[ImageHandle, ...]:
    return tuple(image.handle() for image in load_from_list([path], open_f))


def _same_image(scanned: Image, path: Path, open_f: LoadImage) -> Image:
    """Load a file whole, and return the image of it that was scanned."""
    images = load_from_list([path], open_f)
    named = [image for image in images if image.get_name() == scanned.get_name()]
    if not named:
        raise ImageNotFoundError(f"'{path}' has no image '{scanned.get_name()}' when it is loaded")
    return named[0]


def _named_apart(images: Iterable[Image], found: Iterable[tuple[str, Image]]) -> list[Image]:
    """Give frames whose names are taken (nights often number alike) names of their own."""
    taken = {image.get_name() for image in images}
    named = []
    for night, image in found:
        name = image.get_name()
        if name in taken:
            name = image[BASE_NAME_KEY] = f"{night}_{name}"
        taken.add(name)
        named.append(image)
    return named


class CalHunter(BaseImageProcessor):
    """Find calibration frames that a night lacks among the raw frames of the nights before.

    To be put behind the loader, where all images of the night are one batch. Nights are folders
    beside the night's own, with names of the same form; the newest that has what is missing is
    taken.

    Parameters
    ----------
    requirements : CalRequirement or list of CalRequirement
        What must be there.
    input_sub_dir : str
        Folder of the raw frames below a night's.
    input_img_dir : str or Path, optional
        Folder in which the night's folder is looked for; the root of raw data by default.
    load_image : callable, optional
        Given a path, returns an Image or a list of them; by default `open_raw_image`.
    scan_image : callable, optional
        As `load_image`, for a look at the headers, if `load_image` reads pixels. Only what is
        selected is then loaded.

    Notes
    -----
    Reads TARGET, and the keys that the requirements name; writes BASENAME of frames whose name is
    taken. A requirement that is met nowhere fails the batch with an error that names it.
    """

    base_key = "calhunt"
    max_n_cpu = 1
    writes_products = False
    fails_before_changing = True

    def __init__(
        self,
        requirements: CalRequirement | list[CalRequirement],
        input_sub_dir: str = RAW_IMG_SUB_DIR,
        input_img_dir: str | Path | None = None,
        load_image: LoadImage | None = None,
        *,
        scan_image: LoadImage | None = None,
    ) -> None:
        super().__init__()
        self.requirements = (
            requirements if isinstance(requirements, list | tuple) else [requirements]
        )
        self.input_sub_dir = input_sub_dir
        self.input_img_dir = None if input_img_dir is None else Path(input_img_dir)
        self.load_image: LoadImage = load_image or open_raw_image
        self.scan_image = scan_image

    @property
    def headers_only(self) -> bool:  # type: ignore[override]
        """Whether no pixel is read: not known of a function of the user's."""
        return reads_headers_only(self.load_image)

    def description(self) -> str:
        """Name what is required."""
        named = "; ".join(str(requirement) for requirement in self.requirements)
        return f"Find, by {callable_name(self.load_image)}, what is missing of: {named}"

    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        folder = raw_img_dir(
            self.night_sub_dir or "", raw_dir=self.input_img_dir, img_sub_dir=self.input_sub_dir
        )
        return find_required_cals(
            folder,
            self.night or "",
            list(self.requirements),
            self.load_image,
            batch,
            skip_latest_night=True,
            scan_f=self.scan_image,
        )
