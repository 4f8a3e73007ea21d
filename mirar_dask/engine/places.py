"""The cache of one run: its folder, its mark, and what is left in it when the run ends."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from mirar_dask.data import DataBlock, Dataset, Image, NpyPixels
from mirar_dask.data.cache import CachePlace, cache, new_key, use_cache
from mirar_dask.engine.pending import PendingMember, PendingPixels
from mirar_dask.engine.types import RunSettings
from mirar_dask.life import sign_folder
from mirar_dask.private import make_private


class RunPlace:
    """The cache of a run, emptied when the ``with`` block ends, whatever ended it.

    Parameters
    ----------
    settings : RunSettings
        Gives the run's folder. Without one the files lie, under a mark of their own, in the
        cache folder of this process.
    patience : float
        Seconds for which a file that another host has made is waited for.
    """

    def __init__(self, settings: RunSettings, *, patience: float = 0.0) -> None:
        self._own_folder = settings.cache_dir
        self._keep_results = settings.keep_results
        self._kept: set[Path] = set()
        if not use_cache():
            self.cache = CachePlace(None, "", patience)
            return
        folder = settings.cache_dir or cache.ensure_cache_dir()
        if settings.cache_dir is not None:
            make_private(folder)
            sign_folder(folder, settings.run_id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.cache = CachePlace(folder.absolute(), new_key(), patience)

    def __enter__(self) -> Self:
        return self

    def keep(self, dataset: Dataset) -> Dataset:
        """Hand the files behind a dataset over to the caller, if he is to have them.

        Otherwise its images keep their headers, and the pixels that are in no product go with
        the run.
        """
        return Dataset([type(batch)([self._keep(b) for b in batch]) for batch in dataset])

    def _keep(self, block: DataBlock) -> DataBlock:
        if not isinstance(block, Image):
            return block
        if self._keep_results:
            if isinstance(block.pixels, PendingPixels | PendingMember):
                block.set_data(block.get_data())
            block.publish()
        pixels = block.pixels
        if not isinstance(pixels, NpyPixels):
            return block
        block.disown()
        if not self._keep_results:
            return block
        self._kept.add(pixels.path)
        return Image(pixels.adopt(), block.travelling_header())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        folder = self.cache.folder
        if folder is None:
            return
        if self._own_folder is not None and not self._kept:
            shutil.rmtree(folder, ignore_errors=True)
            return
        with suppress(FileNotFoundError):
            for path in folder.iterdir():
                if self.cache.key in path.name and path not in self._kept:
                    path.unlink(missing_ok=True)
