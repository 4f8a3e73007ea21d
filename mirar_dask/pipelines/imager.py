"""`imager`: the pipeline that reduces a night of any optical camera.

What a camera does its own way stands in an instrument file; without one, plain standard headers
are enough. The steps, their names and parameters are those of `mirar_dask.pipelines.steps`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mirar_dask.data import Image, ImageBatch
from mirar_dask.errors import UsageError
from mirar_dask.pipelines.archive import add_archived, archived_masters
from mirar_dask.pipelines.base_pipeline import Adaptation, Pipeline
from mirar_dask.pipelines.calibrations import Archive, held, scan_archive
from mirar_dask.pipelines.frames import open_frame
from mirar_dask.pipelines.instrument import Instrument, read_instrument
from mirar_dask.pipelines.night_needs import decide, describe_assumed
from mirar_dask.pipelines.recipe import CONFIGURATIONS, Recipe
from mirar_dask.processors.base_processor import BaseProcessor
from mirar_dask.processors.header_words import CALIBRATIONS, is_absent
from mirar_dask.processors.utils.header_normalise import ASSUMED_KEY, HeaderNormaliser


class ImagerPipeline(Pipeline):
    """Reduces any optical camera's night: calibrated frames, stacks, source tables.

    Parameters
    ----------
    selected_configurations : str or list of str
        ``reduce`` (overscan, trim, bias, dark, flat; calibrated frames under their own names) or
        ``default`` (``reduce``, then stacks by target and filter, and their source tables).
    night : str or int
        Name of the night.
    instrument : Path or Instrument, optional
        Instrument file of the camera.
    settings : mapping of str, optional
        ``step.parameter`` -> value or its text; these win over the instrument file.
    calibrations : path or paths, optional
        Folders with calibration frames or masters of other nights, used where this night lacks a
        kind of calibration.

    Raises
    ------
    UsageError
        If a step, a parameter or a value is not known, or the instrument file cannot be read.
    """

    name: ClassVar[str] = "imager"
    non_linear_level = 60_000.0
    all_pipeline_configurations: dict[str, list[BaseProcessor]] = Recipe().configurations()

    def __init__(
        self,
        selected_configurations: str | list[str] = "default",
        night: int | str = "",
        *,
        instrument: Path | str | Instrument | None = None,
        settings: Mapping[str, Any] | None = None,
        calibrations: Path | str | Sequence[Path | str] = (),
    ) -> None:
        super().__init__(selected_configurations, night)
        if isinstance(instrument, Path | str):
            instrument = read_instrument(instrument)
        self.instrument = instrument or Instrument()
        self.recipe = Recipe(self.instrument, settings or {})
        folders = [calibrations] if isinstance(calibrations, Path | str) else calibrations
        self.calibrations = [_existing(Path(folder)) for folder in folders]
        self._scanned: Archive | None = None
        self.all_pipeline_configurations = self.recipe.configurations()
        for configuration in self.selected_configurations:
            if configuration in CONFIGURATIONS:
                self.recipe.check_settings_matter(configuration)
        if "SATURATE" in self.instrument.values:
            self.non_linear_level = float(self.instrument.values["SATURATE"])

    @staticmethod
    def _load_raw_image(path: Path) -> Image | list[Image]:
        """Open a raw frame, with mirar's core fields, without reading its pixels."""
        normaliser = HeaderNormaliser()
        images = [normaliser.apply_to_image(image) for image in open_frame(path)]
        return images[0] if len(images) == 1 else images

    def unpack_raw_image(self, path: Path) -> Image | list[Image]:
        """Open a raw frame as the pipeline does, by the words of its instrument."""
        normaliser = self.recipe.normaliser()
        images = [normaliser.apply_to_image(image) for image in open_frame(path)]
        return images[0] if len(images) == 1 else images

    def load_raw_image(self, path: Path) -> ImageBatch:
        """Open the image, or images, of a raw frame as a batch."""
        return ImageBatch(self.unpack_raw_image(path))

    def adapt(self, steps: list[BaseProcessor], images: list[Image]) -> Adaptation:
        """Leave out what the night gives no cause for, and bring in what other nights have.

        Parameters
        ----------
        steps : list of BaseProcessor
            The steps behind the loader and the normaliser.
        images : list of Image
            The night's images, their headers normalised.
        """
        steps = [step for step in steps if not _is_idle(step, images)]
        kinds = [step.step_name for step in steps if step.step_name in CALIBRATIONS]
        night = [held(image) for image in images]
        archive = self._archive(images) if kinds else None
        days = float(self.recipe.value("calibrations", "days"))
        skipping = [step.step_name for step in steps if getattr(step, "missing", "") == "skip"]
        decisions = decide(night, kinds, archive, days, skipping=skipping)
        gone = {*decisions.left_out, *(f"no_{kind}" for kind in decisions.left_out)}
        steps = [step for step in steps if step.step_name not in gone]
        steps = [archived_masters(step, decisions.associations) for step in steps]
        extra = add_archived(decisions.associations, taken=[frame.name for frame in night])
        caveats = [*decisions.caveats, *self._assumed(images)]
        if archive is not None and archive.unreadable:
            n = len(archive.unreadable)
            files = f"{n} files" if n > 1 else "1 file"
            caveats.append(
                f"{files} in the folders of calibrations could not be understood: "
                f"{archive.unreadable[0]}{' and others' if n > 1 else ''}"
            )
        return Adaptation(tuple(steps), tuple(extra), tuple(caveats))

    def _archive(self, images: Iterable[Image]) -> Archive | None:
        if not self.calibrations:
            return None
        own = {path for image in images for path in image.get_raw_img_list()}
        if self._scanned is None:  # once a run, however often the run looks at its night
            normaliser = self.recipe.normaliser()
            self._scanned = scan_archive(self.calibrations, open_frame, normaliser, exclude=own)
        return self._scanned.without(own)

    def _assumed(self, images: Iterable[Image]) -> list[str]:
        normaliser = self.recipe.normaliser()
        assumed = [(image.get_name(), str(image.get(ASSUMED_KEY, ""))) for image in images]
        fields = {field for _, fields in assumed for field in fields.split(",") if field}
        return describe_assumed(
            assumed, {field: normaliser.rules.keywords(field) for field in fields}
        )


def _is_idle(step: BaseProcessor, images: Iterable[Image]) -> bool:
    """Whether a step finds nothing to do in any image of a night: no section in any header."""
    keys = {"overscan": ["section_key"], "trim": ["section_keys"]}.get(step.step_name)
    if keys is None:
        return False
    names: list[str] = []
    for key in keys:
        value = getattr(step, key)
        names += [value] if isinstance(value, str) else value
    return not any(not is_absent(image.get(name)) for image in images for name in names)


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise UsageError(
            f"there is no folder {folder}; --calibrations names one that holds calibration "
            "frames or masters of other nights"
        )
    return folder
