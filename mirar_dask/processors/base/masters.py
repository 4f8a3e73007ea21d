"""Processors that combine frames of their batch into a master and apply it to every image."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from mirar_dask.data import Image, ImageBatch
from mirar_dask.data.metering import counted_as
from mirar_dask.errors import MissingCalibrationError, UsageError
from mirar_dask.paths import (
    BASE_NAME_KEY,
    CAL_OUTPUT_SUB_DIR,
    LATEST_SAVE_KEY,
    PROC_HISTORY_KEY,
    PRODKEY_KEY,
    RAW_IMG_KEY,
    get_output_path,
    safe_component,
)
from mirar_dask.processors.base.history import joint_key
from mirar_dask.processors.base.identity import digest, file_key
from mirar_dask.processors.base.images import BaseImageProcessor
from mirar_dask.processors.sky_level import sky_cards

Method = Literal["median", "mean", "sigma_clip"]
Missing = Literal["fail", "skip"]


class ProcessorWithCache(BaseImageProcessor):
    """A processor with a master image that it makes of frames of its batch, or finds on disk.

    Parameters
    ----------
    try_load_cache : bool
        Use the master of the same frames and parameters that an earlier run left.
    write_to_cache : bool
        Save the master under ``<output>/<night>/<cache_sub_dir>/``.
    overwrite : bool
        Replace a master that exists there.
    cache_sub_dir : str
        Folder for masters below the night's output folder.
    cache_image_name_header_keys : str or list of str, optional
        Header keys of the first frame whose values become part of the master's file name.
    method : {'median', 'mean', 'sigma_clip'}
        How frames are combined.
    sigma : float
        Clipping threshold of ``sigma_clip``, in standard deviations.
    max_iterations : int
        Most rounds of clipping.
    min_inputs : int
        Least number of frames that make a master.
    missing : {'fail', 'skip'}
        What becomes of images for which there is no master: they are blocked, or go on without.
    """

    writes_products = False
    neutral_parameters = frozenset(
        {"try_load_cache", "write_to_cache", "overwrite", "cache_sub_dir"}
    )
    scale_from_header: ClassVar[bool] = True
    """Whether `frame_scale` needs the header only."""

    def __init__(
        self,
        try_load_cache: bool = True,
        write_to_cache: bool = True,
        overwrite: bool = True,
        cache_sub_dir: str = CAL_OUTPUT_SUB_DIR,
        cache_image_name_header_keys: str | list[str] | None = None,
        *,
        method: Method = "median",
        sigma: float = 3.0,
        max_iterations: int = 5,
        min_inputs: int = 1,
        missing: Missing = "fail",
    ) -> None:
        super().__init__()
        if method not in ("median", "mean", "sigma_clip"):
            raise UsageError(
                f"method={method!r} of {type(self).__name__}: expected 'median', 'mean' or "
                "'sigma_clip'"
            )
        if missing not in ("fail", "skip"):
            raise UsageError(
                f"missing={missing!r} of {type(self).__name__}: expected 'fail' or 'skip'"
            )
        self.try_load_cache = try_load_cache
        self.write_to_cache = write_to_cache
        self.overwrite = overwrite
        self.cache_sub_dir = cache_sub_dir
        self.cache_image_name_header_keys = cache_image_name_header_keys
        self.method = method
        self.sigma = sigma
        self.max_iterations = max_iterations
        self.min_inputs = min_inputs
        self.missing = missing

    # -- which frames, and how ----------------------------------------------------------------

    def select_cache_images(self, images: ImageBatch) -> ImageBatch:
        """Pick, by their headers, the frames of which the master is made."""
        raise NotImplementedError

    def frame_scale(self, image: Image) -> float:
        """Say by what number a frame is divided before it is combined."""
        return 1.0

    def finish_master(self, frames: ImageBatch, data: np.ndarray) -> Image:
        """Make the master of combined pixels: its header, its mask, its normalisation.

        Parameters
        ----------
        frames : ImageBatch
            The frames that were combined; read their headers, not their pixels.
        data : ndarray, shape (ny, nx), float32
            The combined pixels; NaN where no frame had a value. The master may take it over.
        """
        raise NotImplementedError

    def missing_error(self, message: str) -> MissingCalibrationError:
        """Make the error that says that there is no master."""
        return MissingCalibrationError(message)

    def select_frames(self, batch: ImageBatch) -> ImageBatch:
        """Pick the frames of the master, or raise if they are too few.

        Raises
        ------
        MissingCalibrationError
            If there are fewer than ``min_inputs``.
        """
        frames = self.master_frames(batch)
        if len(frames) < max(1, self.min_inputs):
            raise self.missing_error(
                f"found {len(frames)} {self.base_key} frames among {len(batch)} images, "
                f"need {max(1, self.min_inputs)}; add frames, or set "
                f"{self.step_name}.missing=skip to go on without"
            )
        return frames

    def usable_frames(self, frames: ImageBatch) -> ImageBatch:
        """Leave out the frames of which their headers tell that they cannot be combined."""
        return frames

    def scaled_frames(self, frames: ImageBatch) -> tuple[ImageBatch, list[float]]:
        """Return frames and the numbers by which they are divided.

        Raises
        ------
        MissingCalibrationError
            If fewer than ``min_inputs`` are left without those of which `frame_scale` fails.
        """
        return frames, [self.frame_scale(frame) for frame in frames]

    @property
    def combines_rows(self) -> bool:
        """Whether rows of the master can be made from the same rows of the frames, apart."""
        return True

    def combine(self, frames: ImageBatch, scales: Sequence[float]) -> np.ndarray:
        """Combine frames, each divided by its scale."""
        from mirar_dask.processors.combine import combine_frames

        return combine_frames(
            list(frames),
            scales,
            method=self.method,
            sigma=self.sigma,
            max_iterations=self.max_iterations,
        )

    def make_image(self, images: ImageBatch) -> Image:
        """Make the master from the images of a batch."""
        frames, scales = self.scaled_frames(self.select_frames(images))
        return self.finish_master(frames, self.combine(frames, scales))

    # -- where it is kept ---------------------------------------------------------------------

    def get_cache_path(self, images: ImageBatch) -> Path:
        """Path of the master for a batch; a plan asks for it too, so nothing is made here."""
        return Path(
            get_output_path(
                base_name=self.get_cache_file_name(images),
                dir_root=self.cache_sub_dir,
                sub_dir=self.night_sub_dir or "",
            )
        )

    def get_cache_file_name(self, images: ImageBatch) -> str:
        """Name of the master: key, header values asked for, hash of frames and parameters."""
        frames = self.master_frames(images)
        keys = self.cache_image_name_header_keys or []
        keys = [keys] if isinstance(keys, str) else keys
        shown = "_".join(str(frames[0][key]) for key in keys) if len(frames) else ""
        return safe_component(f"{self.base_key}_{shown}_{self.master_hash(frames)}.fits")

    def master_hash(self, frames: ImageBatch) -> str:
        """Hash of what decides the master: its frames as they are here, and what is done to them.

        A frame counts by its PRODKEY, so that a changed frame, another parameter of any step
        before, or another master that it was corrected by, makes another master.
        """
        found = hashlib.sha1(usedforsecurity=False)
        for line in sorted(_identity(frame) for frame in frames):
            found.update(line.encode())
        found.update(self.fingerprint.encode())
        return found.hexdigest()[:20]

    def get_cache_file(self, images: ImageBatch) -> Image:
        """Return the master for a batch: the one on disk where there is one, else a new one."""
        path = self.get_cache_path(images)
        if self.try_load_cache and path.exists():
            master = self.open_fits(path)
            master[PRODKEY_KEY] = self.master_key(path)
            return master
        return self.keep_master(self.make_image(images), path)

    def keep_master(self, master: Image, path: Path) -> Image:
        """Save a new master where that is asked for; SAVEPATH is set in either case."""
        master[PRODKEY_KEY] = self.master_key(path)
        if self.write_to_cache and (self.overwrite or not path.exists()):
            path.parent.mkdir(parents=True, exist_ok=True)
            with counted_as("masters"):
                self.save_fits(master, path, measure=sky_cards)
        elif LATEST_SAVE_KEY not in master.keys():
            master[LATEST_SAVE_KEY] = path.name
        return master

    @staticmethod
    def master_key(path: Path) -> str:
        """Key of a master: its name holds the hash of frames and parameters."""
        return digest(path.name)

    @property
    def names_masters_by_content(self) -> bool:
        """Whether the name of a master stands for all that it was made of.

        Not if a subclass finds or names it in a way of its own.
        """
        cls = type(self)
        return all(getattr(cls, name) is getattr(ProcessorWithCache, name) for name in NAMING)

    @property
    def combines_plainly(self) -> bool:
        """Whether a master is what `combine_frames` and `finish_master` make of the frames.

        Not if a subclass makes, finds or prepares it in a way of its own.
        """
        cls = type(self)
        return all(getattr(cls, name) is getattr(ProcessorWithCache, name) for name in MAKING)

    def context_key(self, context: Any, batch: ImageBatch) -> str:
        """Key of the master; where its name tells too little, of what it was made of."""
        if context is None:
            return ""
        if self.names_masters_by_content and isinstance(context, Image):
            return str(context.get(PRODKEY_KEY, ""))
        frames = self.master_frames(batch) if self.combines_plainly else batch
        return joint_key(frames)

    def master_frames(self, images: ImageBatch) -> ImageBatch:
        """Pick the frames of which the master for a batch is made."""
        return self.usable_frames(self.select_cache_images(images))

    # -- gather, then image by image ----------------------------------------------------------

    def prepare(self, batch: ImageBatch) -> Image | None:
        """Return the master for a batch, or None where there is none and that is allowed."""
        try:
            return self.get_cache_file(batch)
        except MissingCalibrationError:
            if self.missing == "skip":
                return None
            raise


FINDING = ("get_cache_path", "get_cache_file")
NAMING = (*FINDING, "get_cache_file_name", "master_hash", "keep_master")
"""Methods by which a master is found and named."""
MAKING = ("make_image", "get_cache_file", "prepare", "select_frames", "keep_master")
"""Methods by which a master is made."""


def _identity(frame: Image) -> str:
    known = frame.get(PRODKEY_KEY)
    if known:
        return f"{frame[BASE_NAME_KEY]}|{known}\n"
    # Made by a caller who did not load it from a file.
    parts = [str(frame[BASE_NAME_KEY]), str(frame[PROC_HISTORY_KEY])]
    parts += [file_key(Path(name)) for name in str(frame[RAW_IMG_KEY]).split(",")]
    return "|".join(parts) + "\n"
