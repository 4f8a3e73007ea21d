"""The steps of `imager`: their names, what they are made of, and which parameters users may set.

One table, `STEPS`, in the order in which they run. Instrument files and ``--set`` are checked
against it, and `imager` builds its configurations from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mirar_dask.errors import UsageError
from mirar_dask.pipelines.frames import FrameLoader
from mirar_dask.pipelines.parameters import coerce, declared_type, default_of, describe, near
from mirar_dask.processors.base_processor import BaseProcessor
from mirar_dask.processors.bias import BiasCalibrator
from mirar_dask.processors.dark import DarkCalibrator
from mirar_dask.processors.flat import FlatCalibrator
from mirar_dask.processors.gain import GainCorrector
from mirar_dask.processors.mask import MaskAboveThreshold
from mirar_dask.processors.overscan import OverscanCorrector, SectionTrimmer
from mirar_dask.processors.sky import NightSkyMedianCalibrator
from mirar_dask.processors.sources import CSVExporter, ParquetWriter, SourceDetector
from mirar_dask.processors.stack import ImageStacker
from mirar_dask.processors.utils import ImageSaver

ENABLED = "enabled"
"""Parameter of every step that can be switched on and off."""

_COMBINING = ("method", "sigma", "max_iterations", "min_inputs", "missing")
_CACHING = ("try_load_cache", "write_to_cache", "overwrite", "cache_sub_dir")
_MASTER = (*_COMBINING, *_CACHING)
_COMBINE_STACK = (
    "method", "sigma", "max_iterations", "min_inputs", "weighting", "background", "flux_scaling",
    "extent", "output_sub_dir", "write_weights",
)  # fmt: skip
_ALIGN_STACK = (
    "align_by", "interpolation", "max_shift", "max_rotation", "min_matches", "max_rms",
)  # fmt: skip
_WINDOW = ("x_min", "x_max", "y_min", "y_max", "flat_nan_threshold")


@dataclass(frozen=True)
class Own:
    """A parameter that is no parameter of a processor."""

    kind: Any
    default: Any
    doc: str


@dataclass(frozen=True)
class Step:
    """A step that a user can name."""

    name: str
    doc: str
    """What it does, in one sentence."""
    processor: type[BaseProcessor] | None = None
    """Class whose constructor takes the parameters."""
    exposes: tuple[str, ...] = ()
    """Parameters of that constructor that users may set."""
    own: Mapping[str, Own] = field(default_factory=dict)
    """Parameters of the pipeline, not of the processor."""
    presets: Mapping[str, Any] = field(default_factory=dict)
    """Parameters that differ from the constructor's defaults here."""
    optional: bool = True
    """Whether it can be switched off."""
    on: bool = True
    """Whether it runs unless it is switched off."""

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of all parameters that can be set."""
        switch = (ENABLED,) if self.optional else ()
        return (*switch, *self.exposes, *self.own)

    def type_of(self, parameter: str) -> Any:
        """Type of a parameter."""
        if parameter == ENABLED:
            return bool
        if parameter in self.own:
            return self.own[parameter].kind
        assert self.processor is not None
        return declared_type(self.processor, parameter)

    def default_of(self, parameter: str) -> Any:
        """Value of a parameter that nobody sets."""
        if parameter == ENABLED:
            return self.on
        if parameter in self.own:
            return self.own[parameter].default
        if parameter in self.presets:
            return self.presets[parameter]
        assert self.processor is not None
        return default_of(self.processor, parameter)


def _named(*keys: str) -> dict[str, Any]:
    """Let the name of a master's file show the values of header keys."""
    return {"cache_image_name_header_keys": list(keys)}


STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step(
            "load",
            "Find the night's frames and read their headers.",
            FrameLoader,
            ("input_sub_dir",),
            optional=False,
        ),
        Step(
            "calibrations",
            "Use frames and masters of other nights for what the night itself lacks.",
            own={"days": Own(float, 30.0, "greatest distance in time, in days")},
            optional=False,
        ),
        Step(
            "shape",
            "Keep apart frames of different shape, binning, gain, camera or readout.",
            own={"keys": Own(list[str], [], "further header keys that frames must share")},
            optional=False,
        ),
        Step(
            "saturation",
            "Mask pixels above saturation: SATURATE of the header, or a threshold in ADU.",
            MaskAboveThreshold,
            ("threshold",),
            on=False,
        ),
        Step(
            "overscan",
            "Subtract the overscan (BIASSEC), where a header has one.",
            OverscanCorrector,
            ("method", "order", "axis", "section_key"),
        ),
        Step("trim", "Trim to TRIMSEC, else DATASEC, where a header has one.", SectionTrimmer),
        Step(
            "bias", "Subtract the master bias.", BiasCalibrator, _MASTER, presets=_named("BINNING")
        ),
        Step(
            "dark",
            "Subtract the master dark, scaled by exposure time.",
            DarkCalibrator,
            _MASTER,
            presets=_named("BINNING"),
        ),
        Step(
            "flat",
            "Divide by the master flat of the filter.",
            FlatCalibrator,
            (*_MASTER, *_WINDOW, "flat_mode"),
            presets=_named("BINNING", "FILTER"),
        ),
        Step(
            "sky",
            "Subtract the median of the science frames of a filter, scaled to each frame's level.",
            NightSkyMedianCalibrator,
            (*_MASTER, *_WINDOW),
            presets=_named("BINNING", "FILTER"),
            on=False,
        ),
        Step("gain", "Turn ADU into electrons.", GainCorrector, ("gain", "gain_key"), on=False),
        Step(
            "save",
            "Save the calibrated frames under their own names.",
            ImageSaver,
            ("output_dir_name", "write_mask", "compress", "measure_sky"),
            presets={"output_dir_name": "reduced", "measure_sky": True},
        ),
        Step(
            "group",
            "Bring together the images that are stacked: of one target and filter.",
            own={"keys": Own(list[str], ["TARGET", "FILTER"], "header keys that they share")},
            optional=False,
        ),
        Step(
            "stack",
            "Align the images of a group and combine them; writes a weight map.",
            ImageStacker,
            (*_COMBINE_STACK, *_ALIGN_STACK),
            presets={"output_sub_dir": "stacks"},
        ),
        Step(
            "savestack",
            "Save the stacks.",
            ImageSaver,
            ("output_dir_name", "write_mask", "compress", "measure_sky"),
            presets={"output_dir_name": "stacks", "measure_sky": True},
        ),
        Step(
            "detect",
            "Find and measure the sources of the stacks.",
            SourceDetector,
            (
                "threshold",
                "min_area",
                "aper_diameters",
                "background_box",
                "filter_fwhm",
                "deblend_levels",
                "deblend_contrast",
            ),
        ),
        Step(
            "export",
            "Write the sources as CSV: their columns, or those named.",
            CSVExporter,
            ("output_dir_name", "export_keys"),
            presets={"output_dir_name": "sources"},
        ),
        Step(
            "parquet",
            "Write the sources as Parquet, with the stack's header.",
            ParquetWriter,
            ("output_dir_name",),
            presets={"output_dir_name": "sources"},
            on=False,
        ),
    )
}


def steps_table() -> str:
    """All steps with their parameters, as the Markdown table of the manual."""
    rows = ["| step | what it does | parameters |", "|---|---|---|"]
    for step in STEPS.values():
        state = "" if step.on else " (off unless asked for)"
        names = ", ".join(f"`{name}`" for name in step.parameter_names)
        rows.append(f"| `{step.name}` | {step.doc}{state} | {names} |")
    return "\n".join(rows)


def check_step_value(step: str, parameter: str, value: object) -> Any:
    """Turn what a user wrote for a parameter into a value of its type.

    Parameters
    ----------
    step, parameter : str
        Names; a name that does not exist is an error that lists those that do.
    value : object
        Text or a value.

    Raises
    ------
    UsageError
        If there is no such step or parameter, or the value does not fit.
    """
    if step not in STEPS:
        raise UsageError(f"there is no step {step!r}{near(step, STEPS)}; steps: {', '.join(STEPS)}")
    known = STEPS[step].parameter_names
    if parameter not in known:
        raise UsageError(
            f"step {step!r} has no parameter {parameter!r}{near(parameter, known)}; "
            f"parameters: {', '.join(known)}"
        )
    kind = STEPS[step].type_of(parameter)
    try:
        return coerce(value, kind)
    except UsageError as error:
        raise UsageError(f"{parameter} = {value!r}, expected {describe(kind)}") from error
