"""Turns an instrument and a user's settings into the steps of `imager`'s configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mirar_dask.errors import UsageError
from mirar_dask.paths import CAND_DEC_KEY, CAND_RA_KEY, SOURCE_NAME_KEY
from mirar_dask.pipelines.instrument import Instrument
from mirar_dask.pipelines.parameters import near
from mirar_dask.pipelines.steps import ENABLED, STEPS, check_step_value
from mirar_dask.processors.base_processor import BaseProcessor
from mirar_dask.processors.sources import SourceDetector
from mirar_dask.processors.sources.extraction import empty_columns
from mirar_dask.processors.utils import ImageBatcher, ImageRejector, ImageSelector
from mirar_dask.processors.utils.header_normalise import (
    DEFAULT_GROUP_KEYS,
    GROUP_KEY,
    HeaderNormaliser,
)

CONFIGURATIONS = ("default", "reduce")

_REDUCE = (
    "load", "header", "sort", "shape", "saturation", "overscan", "trim", "bias", "no_bias",
    "dark", "no_dark", "filter", "flat", "science", "sky", "gain", "save",
)  # fmt: skip
_STRUCTURE = ("header", "sort", "no_bias", "no_dark", "filter", "science")
"""Steps that have no parameters of their own."""
_FOLLOWS = {"savestack": "stack", "export": "detect", "parquet": "detect"}
"""Steps that are pointless without another."""
_STACK = ("group", "stack", "savestack", "detect", "export", "parquet")


class Recipe:
    """How `imager` works for one instrument and one user's settings.

    Parameters
    ----------
    instrument : Instrument
        What the camera does its own way.
    settings : mapping
        ``step.parameter`` -> value, or its text; they win over the instrument's.

    Raises
    ------
    UsageError
        If a setting names a step or a parameter that does not exist, or a value does not fit.
    """

    def __init__(
        self, instrument: Instrument | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.instrument = instrument or Instrument()
        self.settings = parse_settings(settings or {})

    # -- what is set --------------------------------------------------------------------------

    def chosen(self, step: str) -> dict[str, Any]:
        """Return the parameters of a step that were set, by the instrument or by the user."""
        return {**self.instrument.steps.get(step, {}), **self.settings.get(step, {})}

    def value(self, step: str, parameter: str) -> Any:
        """Return the value of a parameter: as set, else its default."""
        chosen = self.chosen(step)
        return chosen[parameter] if parameter in chosen else STEPS[step].default_of(parameter)

    def is_on(self, step: str) -> bool:
        """Whether a step runs; those that have no switch always do."""
        if step in _FOLLOWS and not self.is_on(_FOLLOWS[step]):
            return False
        known = STEPS.get(step)
        return known is None or not known.optional or bool(self.value(step, ENABLED))

    def check_settings_matter(self, configuration: str) -> None:
        """Raise UsageError if a setting concerns a step that will not run."""
        running = {*steps_of(configuration), "calibrations"}
        for step, chosen in self.settings.items():
            if step not in running:
                raise UsageError(
                    f"step {step!r} is no part of configuration {configuration!r}; its steps are "
                    f"{', '.join(name for name in STEPS if name in running)}"
                )
            if not self.is_on(step) and ENABLED not in chosen:
                raise UsageError(
                    f"step {step!r} is off, so that {step}.{next(iter(chosen))} does nothing; "
                    f"switch it on by {step}.{ENABLED}=true"
                )

    # -- what is built ------------------------------------------------------------------------

    def configurations(self) -> dict[str, list[BaseProcessor]]:
        """Return the steps of all configurations, by name."""
        return {name: self.build(name) for name in CONFIGURATIONS}

    def build(self, configuration: str) -> list[BaseProcessor]:
        """Return the steps of one configuration that are on."""
        steps = []
        for name in steps_of(configuration):
            if self.is_on(name):
                step = self.make(name)
                step.step_name = name
                steps.append(step)
        return steps

    def make(self, name: str) -> BaseProcessor:
        """Make one step."""
        plain: dict[str, Any] = {
            "header": self.normaliser,
            "sort": lambda: ImageSelector(("OBSCLASS", ["bias", "dark", "flat", "science"])),
            "shape": lambda: ImageBatcher(GROUP_KEY),
            "no_bias": lambda: ImageRejector(("OBSCLASS", "bias")),
            "no_dark": lambda: ImageRejector(("OBSCLASS", "dark")),
            "filter": lambda: ImageBatcher("FILTER"),
            "science": lambda: ImageSelector(("OBSCLASS", "science")),
            "group": lambda: ImageBatcher(self.group_keys()),
        }
        if name in plain:
            return plain[name]()
        step = STEPS[name]
        chosen = {k: v for k, v in self.chosen(name).items() if k != ENABLED and k not in step.own}
        parameters = {**step.presets, **chosen}
        if name == "saturation" and parameters.get("threshold") is None:
            parameters = {"threshold_key": "SATURATE"}
        if name == "export" and parameters.get("export_keys") is None:
            parameters["export_keys"] = self.source_columns()
        assert step.processor is not None
        return step.processor(**parameters)

    def source_columns(self) -> list[str]:
        """Columns of the tables that the detector makes; mirar's CSV has the header beside each."""
        detector = self.make("detect")
        assert isinstance(detector, SourceDetector)
        return [SOURCE_NAME_KEY, CAND_RA_KEY, CAND_DEC_KEY, *empty_columns(detector.extraction)]

    def normaliser(self) -> HeaderNormaliser:
        """Make the processor that reads this instrument's headers."""
        instrument = self.instrument
        keys = [*instrument.calibration_keys, *self.value("shape", "keys")]
        return HeaderNormaliser(
            aliases=instrument.aliases,
            defaults=instrument.defaults,
            values=instrument.values,
            image_types=instrument.image_types,
            group_keys=list(dict.fromkeys([*DEFAULT_GROUP_KEYS, *keys])),
            trim=self.is_on("trim"),
        )

    def group_keys(self) -> list[str]:
        """Return the header keys that stacked images share."""
        if "keys" in self.chosen("group"):
            return [str(key).upper() for key in self.value("group", "keys")]
        return list(self.instrument.stack_keys)


def steps_of(configuration: str) -> tuple[str, ...]:
    """Names of all steps that a configuration can have, in order."""
    stacking = () if configuration == "reduce" else _STACK
    return tuple(name for name in (*_REDUCE, *stacking) if name in STEPS or name in _STRUCTURE)


def parse_settings(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Turn ``step.parameter`` -> value into step -> parameter -> value, checked.

    Raises
    ------
    UsageError
        If a step or a parameter does not exist, or a value does not fit.

    Examples
    --------
    >>> parse_settings({"flat.missing": "skip", "bias.sigma": "2.5"})
    {'flat': {'missing': 'skip'}, 'bias': {'sigma': 2.5}}
    """
    parsed: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        step, dot, parameter = str(name).strip().partition(".")
        if not dot:
            raise UsageError(
                f"setting {name!r} has not the form step.parameter (such as flat.missing)"
                f"{near(step, STEPS)}"
            )
        try:
            parsed.setdefault(step, {})[parameter] = check_step_value(step, parameter, value)
        except UsageError as error:
            where = f"{step}." if str(error).startswith(f"{parameter} =") else ""
            raise UsageError(f"{where}{error}") from error
    return parsed
