"""Pipeline: named configurations of processors for an instrument, with mirar's attributes.

A configuration is a list of processors; `set_configuration` gives it out as copies set up for a
night, so that one processor may stand at several places and in several runs at once.
"""

from __future__ import annotations

import copy
import difflib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mirar_dask.data import Dataset, Image, ImageBatch
from mirar_dask.engine.serial import SerialEngine
from mirar_dask.engine.types import Engine, RunSettings
from mirar_dask.errors import ErrorStack, ProcessorError, UsageError
from mirar_dask.paths import get_output_path
from mirar_dask.processors.base_processor import BaseProcessor, PrerequisiteError
from mirar_dask.processors.utils.error_annotator import ErrorStackAnnotator
from mirar_dask.registry import register_pipeline

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Adaptation:
    """What a pipeline makes of a configuration once it has seen a night's headers."""

    steps: tuple[BaseProcessor, ...]
    """The steps that remain to be run."""
    extra_images: tuple[Image, ...] = ()
    """Images from elsewhere that are reduced together with the night's."""
    caveats: tuple[str, ...] = ()
    """What the user should know, one sentence each."""


class Pipeline:
    """Base class of pipelines.

    Subclasses set ``name`` and ``all_pipeline_configurations``, and are then known by that name.

    Parameters
    ----------
    selected_configurations : str or list of str
        Configurations to run, in this order.
    night : str or int
        Folder of the night, below the folder of the pipeline.
    """

    name: ClassVar[str]
    """Unique name; folder of the pipeline below the raw and the output root."""
    all_pipeline_configurations: dict[str, list[BaseProcessor]]
    """Processors by name of configuration."""
    non_linear_level: float
    """Counts above which the detector is not linear."""
    default_cal_requirements: ClassVar[Any] = None

    def __init__(
        self,
        selected_configurations: str | list[str] = "default",
        night: int | str = "",
    ) -> None:
        self.night = str(night)
        self.night_sub_dir = str(Path(self.name) / self.night)
        if isinstance(selected_configurations, str):
            selected_configurations = [selected_configurations]
        self.selected_configurations = list(selected_configurations)
        self.latest_configuration: list[BaseProcessor] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if isinstance(cls.__dict__.get("name"), str):
            register_pipeline(cls)

    # -- what subclasses may override ---------------------------------------------------------

    def set_up_pipeline(self) -> None:
        """Do what must be done once before a run."""

    @staticmethod
    def _load_raw_image(path: Path) -> Image | list[Image]:
        """Open a raw frame of the instrument in the form that the processors expect."""
        raise NotImplementedError

    def adapt(self, steps: list[BaseProcessor], images: list[Image]) -> Adaptation:
        """Fit the remaining steps to what the night holds; by default nothing changes.

        Called once the night's headers are known; ``images`` must be looked at, not changed.
        """
        return Adaptation(tuple(steps))

    @staticmethod
    def download_raw_images_for_night(night: str | int) -> None:
        """Fetch the raw frames of a night from the telescope."""
        raise NotImplementedError

    # -- raw frames ---------------------------------------------------------------------------

    def load_raw_image(self, path: Path) -> ImageBatch:
        """Open the image, or images, of a raw frame as a batch."""
        images = self._load_raw_image(path)
        return ImageBatch(images)

    def unpack_raw_image(self, path: Path) -> Image | list[Image]:
        """Open a raw frame as the pipeline's own loader does."""
        return self._load_raw_image(path)

    # -- configurations -----------------------------------------------------------------------

    def load_pipeline_configuration(self, configuration: str = "default") -> list[BaseProcessor]:
        """Return the processors of a configuration.

        Raises
        ------
        UsageError
            If there is no such configuration; the message names those that exist.
        """
        known = self.all_pipeline_configurations
        if configuration not in known:
            near = difflib.get_close_matches(configuration, known, n=1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise UsageError(
                f"pipeline '{self.name}' has no configuration '{configuration}'{hint}; "
                f"it has {', '.join(sorted(known))}"
            )
        return list(known[configuration])

    def add_configuration(
        self, configuration_name: str, configuration: list[BaseProcessor]
    ) -> None:
        """Add a configuration to this pipeline object; its class keeps what it has."""
        self.all_pipeline_configurations = {
            **self.all_pipeline_configurations,
            configuration_name: configuration,
        }

    @staticmethod
    def configure_processors(
        processors: list[BaseProcessor], sub_dir: str = ""
    ) -> list[BaseProcessor]:
        """Set the night of processors."""
        for processor in processors:
            processor.set_night(night_sub_dir=sub_dir)
        return processors

    def set_configuration(self, new_configuration: str = "default") -> list[BaseProcessor]:
        """Return the processors of a configuration, set up for the night.

        They are copies, with a step name that is unique in the configuration.
        """
        processors = [copy.copy(p) for p in self.load_pipeline_configuration(new_configuration)]
        self.configure_processors(processors, sub_dir=self.night_sub_dir)
        name_steps(processors)
        for place, processor in enumerate(processors):
            processor.set_preceding_steps(previous_steps=processors[:place])
            try:
                processor.check_prerequisites()
            except PrerequisiteError as exc:
                logger.warning("step '%s': %s", processor.step_name, exc)
        return processors

    def get_latest_configuration(self) -> list[BaseProcessor]:
        """Return the processors of the last run.

        Raises
        ------
        ValueError
            If nothing was run yet.
        """
        if self.latest_configuration is None:
            raise ValueError("no configuration has been set yet")
        return self.latest_configuration

    def postprocess_configuration(
        self,
        errorstack: ErrorStack,
        selected_configurations: str | list[str],
        processed_images: list[str] | None = None,
    ) -> list[BaseProcessor]:
        """Return the processors that follow a reduction as it happens.

        The first writes the errors so far into the headers of the images.

        Parameters
        ----------
        errorstack : ErrorStack
            Errors so far.
        selected_configurations : str or list of str
            Configurations to run.
        processed_images : list of str, optional
            Names of the images that were processed.
        """
        names = (
            [selected_configurations]
            if isinstance(selected_configurations, str)
            else selected_configurations
        )
        steps = [step for name in names for step in self.load_pipeline_configuration(name)]
        return [ErrorStackAnnotator(errorstack, processed_images), *steps]

    # -- where things go ----------------------------------------------------------------------

    def get_error_output_path(self) -> Path:
        """Path of the error summary; its folder is made."""
        return self._output_path("error_stack.txt")

    def get_stats_output_path(self) -> Path:
        """Path of the statistics of a run; its folder is made."""
        return self._output_path("stats.tsv")

    def get_flowchart_output_path(self) -> Path:
        """Path of the flowchart; its folder is made."""
        return self._output_path("processing_flowchart.png")

    def _output_path(self, suffix: str) -> Path:
        night = Path(self.night).name
        path = Path(get_output_path(base_name=f"{night}_{suffix}", dir_root=self.night_sub_dir))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    # -- running ------------------------------------------------------------------------------

    def reduce_images(
        self,
        dataset: Dataset | None = None,
        output_error_path: str | Path | None = None,
        catch_all_errors: bool = True,
        selected_configurations: str | list[str] | None = None,
        *,
        engine: Engine | None = None,
        client: Client | None = None,
    ) -> tuple[Dataset, ErrorStack]:
        """Reduce a dataset.

        Parameters
        ----------
        dataset : Dataset, optional
            What to reduce; not needed where the configuration begins with a loader.
        output_error_path : str or Path, optional
            Where to write the error summary; a table goes beside it, with the suffix ``.tsv``.
        catch_all_errors : bool
            Report errors; otherwise the first one ends the run and is raised.
        selected_configurations : str or list of str, optional
            Configurations to run, in this order; those of the pipeline by default.
        engine : Engine, optional
            What runs the steps; by default they run serially in this process.
        client : distributed.Client, optional
            Runs the steps on the workers of this Dask cluster.

        Returns
        -------
        tuple of Dataset and ErrorStack
            What came out, and every error that was contained.
        """
        self.set_up_pipeline()
        runner = _engine(engine, client)
        dataset = Dataset([ImageBatch()]) if dataset is None else dataset
        chosen = selected_configurations or self.selected_configurations
        errors = ErrorStack()
        steps: list[BaseProcessor] = []
        settings = RunSettings(fail_fast=not catch_all_errors, adapt=self.adapt)
        for name in [chosen] if isinstance(chosen, str) else chosen:
            configuration = self.set_configuration(name)
            steps += configuration
            result = runner.run(configuration, dataset, settings)
            dataset, errors = result.dataset, errors + result.errors
            if not catch_all_errors and errors.reports:
                break
            if not len(dataset):
                logger.error("nothing is left of the dataset after configuration '%s'", name)
                break
        self.latest_configuration = steps
        path = Path(output_error_path or self.get_error_output_path())
        errors.summarise_error_stack(output_path=path)
        errors.summarise_error_stack_tsv(output_path=path.with_suffix(".tsv"))
        if not catch_all_errors and errors.reports:
            raise first_error(errors)
        return dataset, errors

    def lazy(self, dataset: Dataset | None = None, configuration: str | None = None) -> Any:
        """Return the reduction of a dataset as a Dask collection.

        Parameters
        ----------
        dataset : Dataset, optional
            What to reduce; not needed where the configuration begins with a loader.
        configuration : str, optional
            The first of the pipeline's configurations by default.

        Returns
        -------
        dask collection
            One task a batch and segment; it computes to the pair that `reduce_images` returns,
            with any Dask scheduler.
        """
        from mirar_dask.engine.lazy import lazy_reduction

        dataset = Dataset([ImageBatch()]) if dataset is None else dataset
        steps = self.set_configuration(configuration or self.selected_configurations[0])
        return lazy_reduction(steps, dataset, RunSettings(adapt=self.adapt))


def name_steps(processors: Sequence[BaseProcessor]) -> None:
    """Make the step names of processors unique by counting those that recur."""
    seen: dict[str, int] = {}
    for processor in processors:
        name = processor.__dict__.get("step_name") or processor.base_key
        seen[name] = seen.get(name, 0) + 1
        processor.step_name = name if seen[name] == 1 else f"{name}{seen[name]}"


def first_error(errors: ErrorStack) -> BaseException:
    """Return the first error of a stack: itself, or its text if it came from another process."""
    report = errors.reports[0]
    error = getattr(report, "error", None)
    if isinstance(error, BaseException):
        return error
    return ProcessorError(f"{report.error_name}: {report.message}")


def _engine(engine: Engine | None, client: Client | None) -> Engine:
    if engine is not None and client is not None:
        raise UsageError("give reduce_images an engine or a client, not both")
    if engine is not None:
        return engine
    if client is None:
        return SerialEngine()
    from mirar_dask.engine.driver import DaskEngine

    return DaskEngine(client)
