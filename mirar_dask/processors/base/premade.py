"""Processors whose master was made before, such as on another night."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mirar_dask.data import Image, ImageBatch
from mirar_dask.paths import LATEST_SAVE_KEY, PRODKEY_KEY
from mirar_dask.processors.base.identity import digest, file_key
from mirar_dask.processors.base.masters import FINDING, NAMING, ProcessorWithCache


class ProcessorPremadeCache(ProcessorWithCache):
    """A processor whose master was made before.

    Parameters
    ----------
    master_image_path_generator : callable
        Given the images of a batch, returns the path of the master; None where the master is to
        be made of the batch's own frames after all.
    """

    def __init__(
        self,
        master_image_path_generator: Callable[[ImageBatch], str | Path | None],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.master_image_path_generator = master_image_path_generator

    def is_made_before(self, images: ImageBatch) -> bool:
        """Whether a batch gets a master that was made before; an error says so later."""
        try:
            return self.master_image_path_generator(images) is not None
        except Exception:  # the generator is the user's: it fails again where that is reported
            return True

    @property
    def names_masters_by_content(self) -> bool:
        """Whether the key of a master stands for all that it was made of; given ones have marks."""
        cls = type(self)
        own = all(getattr(cls, n) is getattr(ProcessorPremadeCache, n) for n in FINDING)
        return own and all(
            getattr(cls, n) is getattr(ProcessorWithCache, n) for n in NAMING if n not in FINDING
        )

    @staticmethod
    def premade_key(path: Path) -> str:
        """Key of a master that was made before: any other file there is another master."""
        return digest("premade", file_key(path))

    def get_cache_path(self, images: ImageBatch) -> Path:
        """Path of the master for a batch."""
        path = self.master_image_path_generator(images)
        return super().get_cache_path(images) if path is None else Path(path)

    def get_cache_file(self, images: ImageBatch) -> Image:
        """Open the master for a batch.

        Raises
        ------
        MissingCalibrationError
            If the file is not there.
        """
        if not self.is_made_before(images):
            return super().get_cache_file(images)
        path = self.get_cache_path(images)
        if not path.is_file():
            raise self.missing_error(f"no master at '{path}'; give the path of one that exists")
        master = self.open_fits(path)
        master[LATEST_SAVE_KEY] = str(path)  # it may have been moved since it was saved
        master[PRODKEY_KEY] = self.premade_key(path)
        return master
