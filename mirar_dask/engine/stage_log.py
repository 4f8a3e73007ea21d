"""StageLog: what an image was on its way through a task, so that a later run can begin there."""

from __future__ import annotations

from pathlib import Path

from mirar_dask.data import Image, ImageHandle
from mirar_dask.data.pixels import FitsFilePixels, FitsPixels
from mirar_dask.engine.travel import marks_of
from mirar_dask.engine.types import Aside, Stage
from mirar_dask.processors.base.outcome import Record, Row


class StageLog:
    """Notes the stages of one image.

    Parameters
    ----------
    position : int
        Its place in its batch.
    records, rows : list and dict
        Those of the task, which grow; the records that are there now are of other images.
    paths : list of Path
        Files that were written for this image, which grows.
    """

    def __init__(
        self,
        position: int,
        records: list[Record],
        rows: dict[tuple[int, int], list[Row]],
        paths: list[Path],
    ) -> None:
        self.position, self.records, self.rows, self.paths = position, records, rows, paths
        self._seen = len(records)
        self.stages: list[Stage] = []

    def note_product(self, passed: int, image: Image) -> None:
        """Note the image as it is here, if its pixels lie in a file that lasts."""
        if isinstance(image.pixels, FitsPixels | FitsFilePixels) and self.paths:
            handle = image.handle()
            if isinstance(handle.pixels, FitsPixels | FitsFilePixels):
                self.note(passed, handle)

    def note(self, passed: int, image: ImageHandle | None) -> None:
        """Note what came of the links so far."""
        rows = tuple(
            (*place, tuple(found))
            for place, found in self.rows.items()
            if place[1] == self.position
        )
        aside = Aside(tuple(self.records[self._seen :]), rows, marks_of(self.paths))
        self.stages.append(Stage(passed, image, aside))
