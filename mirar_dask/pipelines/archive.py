"""Brings calibrations of other nights into a run.

A step takes their masters in place of one of its own making; their frames join the night's.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mirar_dask.data import Image, ImageBatch
from mirar_dask.paths import BASE_NAME_KEY, FILTER_KEY
from mirar_dask.pipelines.calibrations import Association, Held
from mirar_dask.processors.base_processor import BaseProcessor, ProcessorPremadeCache
from mirar_dask.processors.bias import MasterBiasCalibrator
from mirar_dask.processors.dark import MasterDarkCalibrator
from mirar_dask.processors.flat import MasterFlatCalibrator
from mirar_dask.processors.utils.header_normalise import GROUP_KEY

PREMADE: Mapping[str, type[ProcessorPremadeCache]] = {
    "bias": MasterBiasCalibrator,
    "dark": MasterDarkCalibrator,
    "flat": MasterFlatCalibrator,
}
"""Step -> the form of it that uses masters that were made before."""


@dataclass(frozen=True)
class MasterOfGroup:
    """Tells the master for a batch: that of another night where its group has one.

    Called with a batch by the processors that use masters made before; None leaves a batch to
    the frames that it holds.
    """

    paths: Mapping[tuple[str, str | None], Path]
    """(group, filter; None for any) -> path of the master."""

    def __call__(self, images: ImageBatch) -> Path | None:
        """Return the path of the master for a batch."""
        if not len(images):
            return None
        group = str(images[0][GROUP_KEY])
        any_filter = self.paths.get((group, None))
        return any_filter or self.paths.get((group, str(images[0][FILTER_KEY])))


def archived_masters(step: BaseProcessor, associations: Iterable[Association]) -> BaseProcessor:
    """Let a calibration step use the masters of other nights that were chosen for it.

    Parameters
    ----------
    step : BaseProcessor
        Any step; one for which no master was chosen is returned as it is.
    associations : iterable of Association
        What was chosen for the night.
    """
    paths = {
        (choice.need.group, choice.need.filter): choice.frames[0].path.absolute()
        for choice in associations
        if choice.is_master and choice.need.kind == step.step_name
    }
    if not paths:
        return step
    kind = PREMADE[step.step_name]
    # The same parameters, the same night and name: only where the master comes from differs.
    premade = kind.__new__(kind)
    premade.__dict__.update(step.__dict__)
    premade.master_image_path_generator = MasterOfGroup(paths)
    premade.set_night(step.night_sub_dir or "")  # another step: another fingerprint
    return premade


def add_archived(associations: Iterable[Association], taken: Sequence[str]) -> list[Image]:
    """Return the raw frames of other nights that join the night, under names of their own.

    Parameters
    ----------
    associations : iterable of Association
        What was chosen for the night.
    taken : sequence of str
        Names of the night's own images.
    """
    names = set(taken)
    frames: dict[int, Held] = {
        id(frame.image): frame
        for choice in associations
        if not choice.is_master
        for frame in choice.frames
    }
    images = []
    for frame in frames.values():
        assert frame.image is not None
        image = copy.copy(frame.image)  # a night that is watched asks for it again and again
        # Two nights often number their frames alike.
        name = f"{frame.night.replace('-', '')}_{frame.name}"
        while name in names:
            name = f"x{name}"
        names.add(name)
        image[BASE_NAME_KEY] = name
        images.append(image)
    return images
